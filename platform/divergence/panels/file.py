"""Panels in a file, so that they are built once for all trials that share them: arrays only."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whichgoal.divergence.panels.build import build_panels
from whichgoal.divergence.panels.panel import Panel
from whichgoal.envs.contract import Design, World
from whichgoal.envs.registry import code_of
from whichgoal.source import digest
from whichgoal.spec import BatterySpec
from whichgoal.storage.atomic import replacing

_ABOUT = "about"
_FACTS = ("shortest", "attainable", "fewest", "base", "marks")


def panels_path(folder: Path, world: World, design: Design, battery: BatterySpec) -> Path:
    """Returns where these panels lie under `folder`: named by all that they follow from.

    That is the design, the battery's levels, and the code that makes levels.
    """
    return folder / f"{_key(world, design, battery)}.npz"


def load_or_build(
    folder: Path, world: World, design: Design, battery: BatterySpec
) -> dict[str, Panel]:
    """Returns the panels kept under `folder`; builds and keeps them if they are not, or damaged.

    Raises:
        ValueError: Too few levels of this design qualify.
    """
    path = panels_path(folder, world, design, battery)
    kept = load_panels(path, world)
    if kept is not None:
        return kept
    made = build_panels(world, design, battery)
    save_panels(made, path)
    return made


def save_panels(made: dict[str, Panel], path: Path) -> None:
    """Writes panels as one `.npz` file: the old one or the whole new one, never a part."""
    arrays: dict[str, NDArray[Any]] = {}
    about = []
    for i, panel in enumerate(made.values()):
        record = {"name": panel.name, "role": panel.role, "proxy": panel.proxy}
        about.append({**record, "design": panel.design.model_dump(mode="json")})
        arrays |= {f"{i}/{name}": part for name, part in panel.levels.named_arrays().items()}
        for name in _FACTS:
            arrays[f"{i}/{name}"] = getattr(panel, name)
    text = json.dumps({"key": path.stem, "panels": about})
    arrays[_ABOUT] = np.frombuffer(text.encode(), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def load_panels(path: Path, world: World) -> dict[str, Panel] | None:
    """Returns the panels in a file that `save_panels` wrote, or None if it is not there or damaged.

    Every array is read with its checksum; nothing in the file is executed.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            about = json.loads(arrays[_ABOUT].tobytes())
            if about["key"] != path.stem:
                return None
            made = [_panel(world, arrays, i, a) for i, a in enumerate(about["panels"])]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    return {panel.name: panel for panel in made}


def _panel(world: World, arrays: Any, i: int, about: dict[str, Any]) -> Panel:
    levels = world.kind.levels
    return Panel(
        about["name"],
        about["role"],
        levels(**{field.name: arrays[f"{i}/{field.name}"] for field in fields(levels)}),
        proxy=about["proxy"],
        design=world.Design.model_validate(about["design"]),
        **{name: arrays[f"{i}/{name}"] for name in _FACTS},
    )


def _key(world: World, design: Design, battery: BatterySpec) -> str:
    record = {
        "world": world.name,
        "design": design.model_dump(mode="json"),
        "battery": battery.model_dump(mode="json", include={"version", "episodes", "seed"}),
        "code": digest("whichgoal.divergence.panels.build"),
        "numpy": np.__version__,
    }
    others = code_of(world.name)  # ours is among the code above
    if others is not None:
        record["world_code"] = others
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:20]
