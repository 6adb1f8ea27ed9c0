"""What a scorecard says of the instrument: by which code it was tested, world by world."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from whichgoal import source
from whichgoal.divergence.score import stamp
from whichgoal.envs.registry import WORLDS, world_named

ARROW, KEYS = world_named("arrow_maze"), world_named("keys_and_chests")


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record of three agents on the arrow maze by this code, and of one on keys by other code."""
    one = {"world": "arrow_maze", "kind": "pure", "right": True}
    agents = [one, one | {"right": False}, one | {"kind": "several"}, one | {"world": KEYS.name}]
    code = {ARROW.name: stamp.code(ARROW), KEYS.name: "0" * 12}
    record = tmp_path / "validation.json"
    record.write_text(json.dumps({"battery": 7, "code": code, "agents": agents}))
    monkeypatch.setattr(stamp, "RECORD", record)
    stamp.stamp.cache_clear()


@pytest.mark.usefixtures("recorded")
def test_it_says_how_many_agents_of_one_goal_were_named_right() -> None:
    assert stamp.stamp(ARROW) == (
        "battery 7: 1 of 2 agents of known goal named right on arrow_maze"
    )


@pytest.mark.usefixtures("recorded")
def test_code_that_changed_since_is_told_of_the_world_that_it_concerns() -> None:
    assert stamp.stamp(KEYS) == (
        "battery 7: 1 of 1 agents of known goal named right on keys_and_chests, "
        "by an earlier version of its code"
    )


def test_the_code_is_that_of_the_world_and_of_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stamp.code(ARROW) != stamp.code(KEYS)
    seen = []
    monkeypatch.setattr(stamp, "digest", lambda *names, without: seen.append((names, without)))
    stamp.code(ARROW)
    (names, without), *_ = seen
    closure = source.import_closure(*names, without=without)
    modules = {name: place.partition(":")[0] for name, place in WORLDS.items()}
    assert {name for name, module in modules.items() if module in closure} == {"arrow_maze"}
    assert "whichgoal.divergence.score.rules" in closure
    assert not {name for name in closure if name.endswith(".core")}, "architectures decide nothing"
