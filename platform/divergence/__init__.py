"""The shared divergence-test harness: which goal an agent pursues. No training code, no Ray.

`score_policy` is what other programs use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whichgoal.divergence.score.agents import score_policy

__all__ = ["score_policy"]


def __getattr__(name: str) -> Any:
    """Loads what this package offers when it is asked for: nothing heavy is loaded before."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Not by a literal name: all that probes and scores is in this package, and depends on less.
    return getattr(importlib.import_module(f"{__name__}.score.agents"), name)
