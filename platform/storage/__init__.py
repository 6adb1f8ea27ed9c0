"""The storage root: its files, what is done, who may write, and its copy where it lies at a URL."""
