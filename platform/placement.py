"""Whether a trial's processes can be placed at all on the nodes that there are.

Arithmetic on Ray's words: a bundle and a node are both resource name -> amount. Imports no Ray.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

Bundle = dict[str, float]
"""What one process asks for: resource name (`CPU`, `GPU`) -> amount."""


def unplaceable(wanted: Sequence[Bundle], nodes: Sequence[Mapping[str, float]]) -> str | None:
    """Returns why a trial could never start on these nodes, even if all were idle; None if it can.

    Bundles are placed largest first on the first node that has room, as a packing scheduler would.

    Args:
        wanted: The trial's bundles.
        nodes: What each node has in all.
    """
    room = [dict(node) for node in nodes]
    for bundle in sorted(wanted, key=lambda b: (b.get("GPU", 0), b["CPU"]), reverse=True):
        for node in room:
            if all(node.get(name, 0) >= amount for name, amount in bundle.items()):
                for name, amount in bundle.items():
                    node[name] -= amount
                break
        else:
            have = "; ".join(_shown(node) for node in nodes) or "no node at all"
            return f"a trial asks for {_listed(wanted)}, which no choice of these nodes has: {have}"
    return None


def _listed(wanted: Sequence[Bundle]) -> str:
    parts = [(_shown(b), len(list(same))) for b, same in groupby(wanted)]
    return " + ".join(f"{n} x ({text})" if n > 1 else text for text, n in parts)


def _shown(resources: Mapping[str, float]) -> str:
    named = [(name, resources.get(name, 0)) for name in ("CPU", "GPU")]
    return " and ".join(f"{amount:g} {name}s" for name, amount in named if amount or name == "CPU")
