"""MiniGrid's codes of objects, colors, door states and actions, and how things are packed."""

from __future__ import annotations

EMPTY, WALL, FLOOR, DOOR, KEY, BALL, BOX, GOAL, LAVA, AGENT = range(1, 11)
RED, GREEN, BLUE, PURPLE, YELLOW, GREY = range(6)
OPEN, CLOSED, LOCKED = range(3)
LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE, DONE = range(7)

BITS = 9
"""Per object in a packed stack (`levels.pack_object`): so `MAX_HELD` of them have room in 63."""
LOOK = 127
"""The bits of an object and its color in a packed stack: `uses.code` of the outermost."""
