"""What people look at: tables in a terminal, figures, pictures of episodes, the HTML page.

Runs no agent. `load_results` is what other programs and notebooks use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whichgoal.report.frames import load_results

__all__ = ["load_results"]


def __getattr__(name: str) -> Any:
    """Loads what this package offers when it is asked for: nothing heavy is loaded before."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.frames"), name)
