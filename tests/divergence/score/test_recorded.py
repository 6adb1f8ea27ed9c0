"""Each stage reads what the one before recorded: by its marker and checksum, never the newest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from simulated_agents import ADOPTS, card

from whichgoal.cli.main import main
from whichgoal.divergence.probe import playing
from whichgoal.divergence.probe.episodes import check_places
from whichgoal.divergence.probe.stage import panels_of, probe, trained_agent
from whichgoal.divergence.score import recorded
from whichgoal.divergence.score.stage import evaluate_checkpoint, score
from whichgoal.envs.registry import world_named
from whichgoal.models import checkpoint
from whichgoal.models.agent import Agent
from whichgoal.spec import BatterySpec, TrialSpec
from whichgoal.storage import ledger, tables
from whichgoal.storage.files import write_text
from whichgoal.sweep.trials import design_of, trial_spec

SMALL = BatterySpec(episodes=16)
LEAVES = {
    "world.name": "arrow_maze",
    "world.size": 7,
    "world.test_size": 9,
    "model.arch": "mlp",
    "model.capacity": 5_000,
}
SPEC = trial_spec(LEAVES, 0)
STEPS = (512, 1024, 4096)


def add_checkpoint(folder: Path, spec: TrialSpec, env_steps: int) -> Path:
    torch.manual_seed(env_steps)
    world = world_named("arrow_maze")
    palette = world.palette(world.Design())
    agent = Agent((7, 7, 3), 3, palette, spec.model)
    where = folder / "checkpoints" / f"{env_steps:012d}"
    return checkpoint.save(where, agent, spec, env_steps, palette)


@pytest.fixture
def trial(tmp_path: Path) -> ledger.TrialFolder:
    """A trial with three checkpoints, of which training recorded the second as its end."""
    folder = tmp_path / "trial"
    ledger.claim(folder, SPEC)
    ledger.keep_battery(folder, SMALL)
    made = [add_checkpoint(folder, SPEC, env_steps) for env_steps in STEPS]
    found = ledger.TrialFolder(folder)
    found.finish("train", sorted(made[1].iterdir()), {"trial": SPEC.id})
    return found


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The env steps of the agents that played; none of them takes a step."""
    log: list[int] = []

    def noted(**how):
        log.append(how["env_steps"])
        return tables.EPISODES.empty_table()

    monkeypatch.setattr(playing, "play", noted)
    return log


def test_what_training_recorded_is_played_not_the_newest(trial, played, tmp_path):
    assert trained_agent(trial).env_steps == 1024
    probe(SMALL, trial, tmp_path / "panels")
    assert played == [1024]


def test_a_trained_agent_that_changed_is_not_played_nor_is_another_in_its_place(trial, played):
    weights = trial.path / "checkpoints" / f"{1024:012d}" / checkpoint.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(ValueError, match="it changed since stage 'train' recorded it") as caught:
        probe(SMALL, trial)
    assert str(caught.value).startswith(str(weights))
    assert played == []


def test_a_sound_checkpoint_put_in_the_trained_ones_place_is_not_played(trial, played):
    add_checkpoint(trial.path, SPEC, 9999).rename(trial.path / "9999")
    place = trial.path / "checkpoints" / f"{1024:012d}"
    place.rename(trial.path / "old")
    (trial.path / "9999").rename(place)
    with pytest.raises(ValueError, match="it changed since stage 'train' recorded it"):
        probe(SMALL, trial)
    assert played == []


def test_the_agent_of_another_trial_is_refused(trial, played):
    other = trial_spec(LEAVES, 1)
    path = add_checkpoint(trial.path, other, 1024)
    trial.finish("train", sorted(path.iterdir()), {"trial": SPEC.id})
    with pytest.raises(ValueError, match=f"is of trial {other.id}, but"):
        probe(SMALL, trial)
    assert played == []


def test_a_trial_that_is_not_trained_to_its_end_has_no_agent(trial, capsys):
    (trial.path / "done" / "train.json").unlink()
    with pytest.raises(ValueError, match="is not trained to its end"):
        trained_agent(ledger.TrialFolder(trial.path))
    assert main(["play", str(trial.path)]) == 2
    assert "is not trained to its end" in capsys.readouterr().err


def test_episodes_that_changed_since_they_were_played_are_not_scored(trial, played):
    probe(SMALL, trial)
    tables.write(
        tables.EPISODES.empty_table().replace_schema_metadata({"more": "x" * 99}),
        trial.path / recorded.EPISODES,
        tables.EPISODES,
    )
    (trial.path / recorded.EPISODES).write_bytes(b"PAR1")
    with pytest.raises(ValueError, match="it changed since stage 'probe' recorded it"):
        score(SMALL, trial)


def test_a_scorecard_that_its_marker_does_not_name_is_not_read(trial):
    write_text(trial.path / recorded.CARD, card(ADOPTS).model_dump_json())
    write_text(trial.path / recorded.SCORES, "scores")
    trial.finish("score", [trial.path / recorded.SCORES], {})
    with pytest.raises(ValueError, match="is no product of stage 'score'"):
        recorded.card(trial)
    trial.finish("score", [trial.path / recorded.CARD], {})
    assert recorded.card(trial).verdict == ADOPTS


def test_a_product_that_is_a_link_out_of_the_folder_is_not_read(trial, tmp_path):
    write_text(tmp_path / "card.json", card(ADOPTS).model_dump_json())
    write_text(trial.path / recorded.CARD, card(ADOPTS).model_dump_json())
    trial.finish("score", [trial.path / recorded.CARD], {})
    (trial.path / recorded.CARD).unlink()
    (trial.path / recorded.CARD).symlink_to(tmp_path / "card.json")
    with pytest.raises(ValueError, match="a link that leads out of the trial's folder"):
        recorded.card(ledger.TrialFolder(trial.path))


def replaced(table: pa.Table, column: str, values: object) -> pa.Table:
    field = table.schema.field(column)
    made = pa.array(values, field.type)
    return table.set_column(table.column_names.index(column), field, made)


def test_episodes_that_leave_their_boards_are_refused(trial):
    world, design = world_named("arrow_maze"), design_of(SPEC)
    panels = panels_of(world, design, SMALL, None)
    table = evaluate_checkpoint(trial, SMALL).episodes
    check_places(table, panels, world)
    path = table.column("path").to_pylist()
    for column, values, told in (
        ("path", [[255, *rest] for _, *rest in path], "a path leaves its board of (7 x 7|9 x 9)"),
        ("path", [[7 << 16, *rest] for _, *rest in path], "a path leaves its board"),
        ("path", [[-1, *rest] for _, *rest in path], "a path leaves its board"),
        ("path", [rest for _, *rest in path], "a path is not as long as its episode"),
        ("length", np.full(len(table), -1), "a path is not as long"),
        ("level", np.full(len(table), 10**6), "levels; an episode is of another"),
        ("level", np.full(len(table), -1), "levels; an episode is of another"),
        ("panel", ["x"] * len(table), "episodes of panel 'x'; played were: "),
    ):
        with pytest.raises(ValueError, match=told):
            check_places(replaced(table, column, values), panels, world)
