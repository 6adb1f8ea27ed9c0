"""Worlds. To add one: write its file, add its line to `WORLDS`."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path

_HERE = Path(__file__).parent
if "NUMBA_CACHE_DIR" not in os.environ:
    # Numba's cache does not notice a change in a function that another file inlined, so the cache
    # folder is named by all our compiled sources. It also works from a read-only installation.
    _digest = hashlib.sha256(b"".join(p.read_bytes() for p in sorted(_HERE.glob("*.py"))))
    _root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    if not os.access(_root if _root.exists() else _root.parent, os.W_OK):
        _root = Path(tempfile.gettempdir())
    os.environ["NUMBA_CACHE_DIR"] = str(_root / "whichgoal" / f"numba-{_digest.hexdigest()[:12]}")
    if "numba" in sys.modules:  # imported before us: it has read its environment already
        sys.modules["numba"].config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"]

from whichgoal.envs.arrow_maze import ArrowMaze
from whichgoal.envs.contract import World

WORLDS: dict[str, World] = {
    "arrow_maze": ArrowMaze(),
}
