"""Numba, for all of ours that is compiled; where it keeps what it compiled is settled here first.

Numba's cache does not notice a change in a function that another file inlined. So its folder is
named by all of our files that hold compiled functions, before the first of them is compiled: every
one gets numba from here, whichever is imported first.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path

from numba import njit, types
from numba.core import cgutils, config
from numba.extending import intrinsic

__all__ = ["cgutils", "intrinsic", "njit", "types"]

_SOURCES = Path(__file__).parent


def _digest() -> str:
    """Returns 12 hex digits of our files that hold compiled functions or constants of theirs.

    That is of those that name this module: the former import it, the latter say so in a comment.
    """
    total = hashlib.sha256()
    for file in sorted(_SOURCES.rglob("*.py")):
        source = file.read_bytes()
        if __name__.encode() in source:
            total.update(f"{file.relative_to(_SOURCES)} {len(source)}\n".encode() + source)
    return total.hexdigest()[:12]


def _root() -> Path:
    """Returns where the folders of all versions lie: the user's `NUMBA_CACHE_DIR`, or our own."""
    given = os.environ.get("NUMBA_CACHE_DIR")
    if given:
        ours = re.fullmatch("numba-[0-9a-f]{12}", Path(given).name)  # our parent process set it
        return Path(given).parent if ours else Path(given)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    if not os.access(home if home.exists() else home.parent, os.W_OK):  # a read-only installation
        home = Path(tempfile.gettempdir())
    return home / "whichgoal"


os.environ["NUMBA_CACHE_DIR"] = str(_root() / f"numba-{_digest()}")
config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"]  # numba has read the environment already
