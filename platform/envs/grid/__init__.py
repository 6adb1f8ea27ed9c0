"""Worlds on MiniGrid's boards: the engine, what is exact about its levels, and one file a world."""
