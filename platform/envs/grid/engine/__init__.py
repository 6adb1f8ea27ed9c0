"""MiniGrid's dynamics, compiled; vector and single environments; mazes and shortest paths."""
