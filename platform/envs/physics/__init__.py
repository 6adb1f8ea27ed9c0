"""Worlds of the kind `PHYSICS`: discs that are pushed about among the walls of a lattice."""
