"""Tables for people in a terminal."""
