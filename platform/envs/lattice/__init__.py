"""Geometry over (cell, heading), of no kind of world: search, soft values, candidate goals."""
