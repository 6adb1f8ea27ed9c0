"""Packages as pip leaves them, for tests of entry points: metadata and modules, nothing else."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from whichgoal import plugins
from whichgoal.envs.registry import world_named


def install(
    monkeypatch: pytest.MonkeyPatch,
    site: Path,
    package: str,
    worlds: Mapping[str, str],
    **files: str,
) -> None:
    """Lays a package of version 1.0 into a folder that imports are looked for in.

    Args:
        monkeypatch: Takes it away again.
        site: The folder.
        package: Its name.
        worlds: Its entry points of the group `whichgoal.worlds`.
        files: Module -> its text.
    """
    about = site / f"{package}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = "\n".join(f"{name} = {place}" for name, place in worlds.items())
    (about / "entry_points.txt").write_text(f"[whichgoal.worlds]\n{lines}\n")
    for module, text in files.items():
        file = site / f"{module.replace('.', '/')}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.syspath_prepend(site)
    look_again()


def look_again() -> None:
    """Forgets what was installed before."""
    importlib.invalidate_caches()
    for known in (plugins.names_in, plugins.digest, world_named):
        known.cache_clear()
