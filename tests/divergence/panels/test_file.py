"""Panels that are kept in a file come back as they were built, or are built again."""

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
