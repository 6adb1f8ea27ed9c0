"""`whichgoal proxies --measure`: agents are trained once, and what was measured is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from whichgoal.cli.main import main
from whichgoal.divergence.proxies import simplicity
from whichgoal.local import node
from whichgoal.rllib import Progress
from whichgoal.spec import TrialSpec

ARGV = ["proxies", "arrow_maze", "--set", "size=7", "--levels", "8", "--measure", "--seeds", "2"]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[TrialSpec]:
    """The trials that were trained: seed 0 learns after 3,000 env steps, others never do."""
    trials: list[TrialSpec] = []

    def train(spec: TrialSpec, folder: Path) -> Iterator[Progress]:
        trials.append(spec)
        for env_steps in range(1000, 8000, 1000):
            learned = spec.seed == 0 and env_steps >= 3000
            yield Progress(env_steps=env_steps, success=0.95 if learned or env_steps == 1000 else 0)

    monkeypatch.setattr("whichgoal.rllib.train", train)
    monkeypatch.setattr(node, "start", lambda *_: None)
    monkeypatch.setattr(simplicity, "MOST", 40)
    monkeypatch.setattr(simplicity, "POSES", 2000)
    return trials


@pytest.fixture
def said(tmp_path: Path, capsys: pytest.CaptureFixture) -> Callable[..., str]:
    def run(*more: str) -> str:
        assert main([*ARGV, *more, "--storage", str(tmp_path / "runs")]) == 0
        return capsys.readouterr().out

    return run


def test_goal_and_proxy_are_trained_for_where_they_are_apart_and_never_twice(
    trained: list[TrialSpec], said: Callable[..., str]
) -> None:
    (design,) = json.loads(said("--json"))["designs"]
    efforts = {one["goal"]: one["env_steps"] for one in design["measured"]["efforts"]}
    assert efforts == {"end": {"0": 3000, "1": None}, "arrow": {"0": 3000, "1": None}}
    assert design["measured"]["design"]["agreement"]["arrow"] == 0
    wanted = [(None, 0), (None, 1), ("arrow", 0), ("arrow", 1)]
    assert [(spec.world.design()["reward"], spec.seed) for spec in trained] == wanted
    out = said()
    assert len(trained) == 4
    assert "3,000, never" in out
    assert "simplicity: gradient steps" in out
    said("--seeds", "3")
    assert [spec.seed for spec in trained[4:]] == [2, 2]


def test_what_was_kept_and_is_damaged_is_measured_again(
    trained: list[TrialSpec], said: Callable[..., str], tmp_path: Path
) -> None:
    said()
    (file,) = (tmp_path / "runs" / "proxies").iterdir()
    file.write_text("{")
    said()
    assert len(trained) == 8
