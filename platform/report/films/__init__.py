"""One episode to be watched: in a terminal, as a GIF, as a strip of pictures."""
