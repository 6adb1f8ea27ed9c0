"""One self-contained HTML file of a sweep: figures, every agent, films of recorded episodes."""
