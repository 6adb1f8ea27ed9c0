"""What every scorecard says of the instrument itself: how it did on agents of known goal.

`whichgoal validate` writes the record, which is shipped with the code that it speaks of.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from whichgoal.source import digest

RECORD = Path(__file__).parent / "validation.json"
"""What `whichgoal validate --record` last wrote of this battery."""


@cache
def stamp(world: str) -> str:
    """Returns, e.g., `battery 1: 14 of 14 agents of known goal named right on arrow_maze`."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    version = f"battery {record['battery']}"
    pure = [a for a in record["agents"] if a["kind"] == "pure" and a["world"] == world]
    if not pure:
        return f"{version}: not validated on {world}"
    right = sum(agent["right"] for agent in pure)
    told = f"{version}: {right} of {len(pure)} agents of known goal named right on {world}"
    return told if record["code"] == code() else f"{told}, by an earlier version of its code"


def code() -> str:
    """Returns a digest of the code that decides which verdict comes out."""
    # Not by literal names: scoring imports this module, but does not depend on playing.
    around = __package__.removesuffix(".score")
    return digest(*(f"{around}.{n}" for n in ("panels.build", "probe.playing", "score.scoring")))
