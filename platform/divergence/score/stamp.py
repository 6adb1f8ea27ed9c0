"""What every scorecard says of the instrument itself: how it did on agents of known goal.

`whichgoal validate` writes the record, which is shipped with the code that it speaks of.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from whichgoal.source import digest

if TYPE_CHECKING:
    from whichgoal.envs.contract import World

RECORD = Path(__file__).parent / "validation.json"
"""What `whichgoal validate --record` last wrote of this battery."""


@cache
def stamp(world: World) -> str:
    """Returns, e.g., `battery 1: 14 of 14 agents of known goal named right on arrow_maze`."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    version = f"battery {record['battery']}"
    pure = [a for a in record["agents"] if a["kind"] == "pure" and a["world"] == world.name]
    if not pure:
        return f"{version}: not validated on {world.name}"
    right = sum(agent["right"] for agent in pure)
    told = f"{version}: {right} of {len(pure)} agents of known goal named right on {world.name}"
    is_of_this_code = record["code"].get(world.name) == code(world)
    return told if is_of_this_code else f"{told}, by an earlier version of its code"


def code(world: World) -> str:
    """Returns a digest of the code that decides which verdict comes out on a world: its own, too.

    That of another package is not covered.
    """
    # Not by literal names: scoring imports this module, but does not depend on playing.
    around = __package__.removesuffix(".score")
    ours = around.removesuffix(".divergence")
    modules = [f"{around}.{name}" for name in ("panels.build", "probe.playing", "score.scoring")]
    own = type(world).__module__
    if own.startswith(f"{ours}."):
        modules.append(own)
    # The first two name every world and architecture: a new one changes no verdict on another. How
    # files are replaced and bounded, and where compiled code is kept, changes none at all.
    left_out = ["envs.registry", "models", "numba_cache"]
    left_out += ["storage.atomic", "storage.footer", "storage.reading"]
    return digest(*modules, without=tuple(f"{ours}.{name}" for name in left_out))
