"""Scripted agents that get nothing but the observation, and keep a map of their own."""
