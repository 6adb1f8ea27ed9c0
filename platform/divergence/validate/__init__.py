"""The instrument's own test: agents of known goal go through the battery."""
