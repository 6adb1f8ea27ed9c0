"""Panels that are kept in a file come back as they were built, or are built again."""

import io
import os
import zipfile
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from whichgoal.divergence.panels import file
from whichgoal.divergence.panels.build import build_panels
from whichgoal.divergence.panels.file import load_or_build, load_panels, panels_path
from whichgoal.divergence.panels.panel import Panel
from whichgoal.envs.contract import Levels
from whichgoal.envs.registry import world_named
from whichgoal.spec import BatterySpec, Thresholds

WORLD = world_named("arrow_maze")
DESIGN = WORLD.Design.model_validate({"size": 7, "test_size": 9})
BATTERY = BatterySpec(episodes=16)


def assert_same(one: dict[str, Panel], other: dict[str, Panel]) -> None:
    assert list(one) == list(other)
    for name, panel in one.items():
        twin = other[name]
        assert (panel.name, panel.role, panel.proxy) == (twin.name, twin.role, twin.proxy)
        assert panel.design == twin.design
        facts = ("shortest", "attainable", "fewest", "base", "marks")
        pairs = [(getattr(panel, fact), getattr(twin, fact)) for fact in facts]
        pairs += [
            (getattr(panel.levels, f.name), getattr(twin.levels, f.name)) for f in fields(Levels)
        ]
        for a, b in pairs:
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


def test_panels_come_back_as_they_were_built(tmp_path):
    made = load_or_build(tmp_path, WORLD, DESIGN, BATTERY)
    (path,) = tmp_path.iterdir()
    kept = load_panels(path, WORLD)
    assert kept is not None
    assert_same(kept, made)
    assert_same(kept, build_panels(WORLD, DESIGN, BATTERY))


def test_panels_that_are_kept_are_not_built_again(tmp_path, monkeypatch):
    made = load_or_build(tmp_path, WORLD, DESIGN, BATTERY)
    monkeypatch.setattr(file, "build_panels", None)
    assert_same(load_or_build(tmp_path, WORLD, DESIGN, BATTERY), made)


@pytest.mark.parametrize("damage", ["empty", "cut", "changed", "foreign", "renamed", "lost"])
def test_damaged_panels_are_built_again(tmp_path, damage):
    made = load_or_build(tmp_path, WORLD, DESIGN, BATTERY)
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    if damage == "changed":
        with zipfile.ZipFile(path) as archive:
            largest = max(archive.infolist(), key=lambda member: member.compress_size)
        data[largest.header_offset + largest.compress_size // 2] ^= 1
    elif damage == "renamed":
        other = WORLD.Design.model_validate({"size": 9, "test_size": 11})
        data = bytearray(content_of(tmp_path / "other", other))
    path.write_bytes({"empty": b"", "cut": data[:-100], "foreign": b"pickle"}.get(damage, data))
    if damage == "lost":
        path.unlink()
    assert load_panels(path, WORLD) is None
    assert_same(load_or_build(tmp_path, WORLD, DESIGN, BATTERY), made)
    assert load_panels(path, WORLD) is not None


def rewritten(path: Path, name: str, data: bytes) -> None:
    """Puts other bytes into one member of an archive, with the checksum that they have."""
    with zipfile.ZipFile(path) as archive:
        parts = {one: archive.read(one) for one in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for one, content in {**parts, name: data}.items():
            archive.writestr(one, content)


def array_of(shape: tuple[int, ...], dtype: str, data: bytes = b"") -> bytes:
    """Returns an array's bytes in NumPy's format, whose header may be a lie."""
    file = io.BytesIO()
    header = {"shape": shape, "fortran_order": False, "descr": dtype}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + data


FORGERIES = {
    "a header that is a lie": array_of((2**40,), "<i4"),
    "objects": array_of((16,), "|O", b"x" * 128),
    "other rows": array_of((15,), "<i4", bytes(60)),
    "no array": b"no array",
    "nothing": b"",
    "another format": b"\x93NUMPY\x09\x00" + bytes(100),
}
INSTEAD = {
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "a link to nowhere": lambda path: path.symlink_to("nowhere"),
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "an enormous file": lambda path: (path.touch(), os.truncate(path, 2**40)),
}


@pytest.mark.timeout(30)
def test_whatever_lies_in_the_place_of_panels_they_are_built_again(tmp_path, monkeypatch):
    made = load_or_build(tmp_path, WORLD, DESIGN, BATTERY)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    monkeypatch.setattr(file, "build_panels", lambda *_: made)
    for name, data in FORGERIES.items():
        rewritten(path, "0/limit.npy", data)
        assert load_panels(path, WORLD) is None, name
        path.write_bytes(whole)
    bomb = array_of((file._MOST_BYTES // 4,), "<i4", bytes(2**20))
    rewritten(path, "0/limit.npy", bomb)
    assert load_panels(path, WORLD) is None
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(file._MOST_ARRAYS + 1):
            archive.writestr(str(i), b"")
    assert load_panels(path, WORLD) is None
    for name, make in INSTEAD.items():
        path.unlink()
        make(path)
        assert load_panels(path, WORLD) is None, name
        assert_same(load_or_build(tmp_path, WORLD, DESIGN, BATTERY), made)
        assert path.is_file(), name
    assert_same(load_panels(path, WORLD), made)


def test_a_file_where_the_folder_of_panels_is_to_be_is_set_aside(tmp_path):
    (tmp_path / "panels").write_text("mine")
    load_or_build(tmp_path / "panels", WORLD, DESIGN, BATTERY)
    assert (tmp_path / "panels.damaged").read_text() == "mine"


def content_of(folder, design) -> bytes:
    load_or_build(folder, WORLD, design, BATTERY)
    (path,) = folder.iterdir()
    return path.read_bytes()


def test_thresholds_do_not_matter_but_levels_do():
    def name(battery: BatterySpec, design=DESIGN) -> str:
        return panels_path(Path(), WORLD, design, battery).name

    strict = BATTERY.model_copy(update={"thresholds": Thresholds(trained=0.99)})
    assert name(strict) == name(BATTERY)
    assert name(BatterySpec(episodes=17)) != name(BATTERY)
    assert name(BatterySpec(episodes=16, seed=1)) != name(BATTERY)
    assert name(BATTERY, DESIGN.model_copy(update={"loops": 0.5})) != name(BATTERY)
