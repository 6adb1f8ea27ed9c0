"""The text of a sweep file: read, and checked, every mistake told at once with its place."""
