"""What is started on this machine and leaves nothing: temporary folders, and a Ray of our own."""
