"""Whether a trial's processes can be placed at all on the nodes that there are, and are.

Arithmetic on Ray's words: a bundle and a node are both resource name -> amount. Imports no Ray.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

Bundle = dict[str, float]
"""What one process asks for: resource name (`CPU`, `GPU`) -> amount."""
_ASK_EVERY_S = 2.0


def why_unplaceable(wanted: Sequence[Bundle], nodes: Sequence[Mapping[str, float]]) -> str | None:
    """Returns why a trial could never start on these nodes, even if all were idle; None if it can.

    Bundles are placed largest first on the first node that has room, as a packing scheduler would.

    Args:
        wanted: The trial's bundles.
        nodes: What each node has in all.
    """
    room = [dict(node) for node in nodes]
    for bundle in sorted(wanted, key=_size, reverse=True):
        for node in room:
            if all(node.get(name, 0) >= amount for name, amount in bundle.items()):
                for name, amount in bundle.items():
                    node[name] -= amount
                break
        else:
            largest_first = sorted(nodes, key=_size, reverse=True)
            have = "; ".join(map(_text_of, largest_first)) or "no node at all"
            parts = [(_text_of(one), len(list(same))) for one, same in groupby(wanted)]
            asked = " + ".join(f"{n} x ({text})" if n > 1 else text for text, n in parts)
            return f"a trial asks for {asked}, which no choice of these nodes has: {have}"
    return None


class Standstill:
    """Notices that no trial runs and none ever could, as when nodes were lost.

    Args:
        why: Returns why none could, if so; asked only once trials have waited in vain for a while.
        after_s: How long they may wait, as for nodes that are being started.
        clock: Returns seconds.
    """

    def __init__(
        self,
        why: Callable[[], str | None],
        after_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.after_s = after_s
        self._why, self._clock = why, clock
        self._ask_at: float | None = None
        self._told = False

    def news(self, *, running: bool, waiting: bool) -> str | None:
        """Takes in whether any trial runs or waits; returns why none can, once per standstill."""
        now = self._clock()
        if running or not waiting:
            self._ask_at, self._told = None, False
            return None
        if self._ask_at is None:
            self._ask_at = now + self.after_s
        if self._told or now < self._ask_at:
            return None
        self._ask_at = now + _ASK_EVERY_S  # a node counts as alive for a while after its death
        why = self._why()
        self._told = why is not None
        return why


def _size(resources: Mapping[str, float]) -> tuple[float, float]:
    return resources.get("GPU", 0), resources.get("CPU", 0)


def _text_of(resources: Mapping[str, float]) -> str:
    named = [(name, resources.get(name, 0)) for name in ("CPU", "GPU")]
    return " and ".join(f"{amount:g} {name}s" for name, amount in named if amount or name == "CPU")
