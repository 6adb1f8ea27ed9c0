"""Panels in a file, so that they are built once for all trials that share them: arrays only."""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from whichgoal.divergence.panels.build import build_panels
from whichgoal.divergence.panels.panel import Panel
from whichgoal.envs.contract import Design, World
from whichgoal.envs.registry import code_of
from whichgoal.source import digest
from whichgoal.spec import BatterySpec
from whichgoal.storage.atomic import make_folder, make_way, replacing
from whichgoal.storage.reading import GIB, opened, parse_json

_ABOUT = "about"
_MOST_BYTES = GIB
"""Of the file, and of all of its arrays: those of 512 levels a panel have 20 MB."""
_MOST_ARRAYS, _MOST_ENTRY = 10_000, 200
"""In a file, and bytes that its list of them has for each: ours have some 150."""
_END, _LOCATOR = struct.Struct("<4s4H2LH"), 20
"""What a ZIP archive ends with, and bytes before that: there one of more than 4 GB says so."""
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
    make_folder(path.parent)
    make_way(path)
    with replacing(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def load_panels(path: Path, world: World) -> dict[str, Panel] | None:
    """Returns the panels in a file that `save_panels` wrote, or None if it is not there or damaged.

    Every array is read with its checksum, and only if it is as large as the file says and as ours
    are; nothing in the file is executed.
    """
    try:
        arrays = _read(path)
        about = parse_json(path, arrays.pop(_ABOUT).tobytes())
        if about["key"] != path.stem:
            return None
        made = [_panel(world, arrays, i, a) for i, a in enumerate(about["panels"])]
    except Exception:  # whatever it is that is wrong in there: panels can be built again
        return None
    return {panel.name: panel for panel in made}


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """Returns the arrays of a file; raises where anything in it is not as `save_panels` writes."""
    found = {}
    with opened(path, _MOST_BYTES) as file:
        file.seek(-_END.size - _LOCATOR, os.SEEK_END)
        locator, (mark, *_, parts, length, _, _) = file.read(_LOCATOR), _END.unpack(file.read())
        if mark != b"PK\5\6" or locator[:4] == b"PK\6\7":
            raise ValueError("no archive, or a much larger one than ours")
        if parts > _MOST_ARRAYS or length > _MOST_ARRAYS * _MOST_ENTRY:
            raise ValueError(f"{parts} arrays, listed in {length} bytes")
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > _MOST_BYTES:
                raise ValueError("larger than any of ours")
            for member in members:
                with archive.open(member) as part:
                    array = _array(part, member.file_size)
                found[member.filename.removesuffix(".npy")] = array
    return found


def _array(part: IO[bytes], size: int) -> NDArray[Any]:
    """Returns an array in NumPy's format, whose header must speak of just as many bytes."""
    if np.lib.format.read_magic(part) != (1, 0):
        raise ValueError("not as we write arrays")
    shape, by_columns, dtype = np.lib.format.read_array_header_1_0(part)
    if dtype.kind not in "biuf" or any(side < 0 for side in shape):
        raise ValueError(f"an array of {dtype} {shape}")
    if math.prod(shape) * dtype.itemsize != size - part.tell():
        raise ValueError(f"an array of {dtype} {shape} in {size} bytes")
    numbers = np.frombuffer(bytearray(part.read()), dtype)
    return numbers.reshape(shape, order="F" if by_columns else "C")


def _panel(world: World, arrays: dict[str, NDArray[Any]], i: int, about: dict[str, Any]) -> Panel:
    levels = world.kind.levels
    panel = Panel(
        about["name"],
        about["role"],
        levels(**{field.name: arrays[f"{i}/{field.name}"] for field in fields(levels)}),
        proxy=about["proxy"],
        design=world.Design.model_validate(about["design"]),
        **{name: arrays[f"{i}/{name}"] for name in _FACTS},
    )
    n = len(panel.levels)
    shapes = {"start": (n, 3), "shortest": (n, len(world.goals)), "marks": (n, 3, 2)}
    every = {**panel.levels.named_arrays(), **{name: getattr(panel, name) for name in _FACTS}}
    for name, array in every.items():
        if array.shape[:1] != (n,) or array.shape != shapes.get(name, array.shape):
            raise ValueError(f"{name} of {n} levels has shape {array.shape}")
    return panel


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
