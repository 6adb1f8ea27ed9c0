"""When checkpoints are due, and that a trial keeps its id when a key is added."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whichgoal.spec import TrainSpec, TrialSpec, WorldSpec
from whichgoal.storage import ledger


def due(env_steps, parts, spacing, batch=64):
    train = TrainSpec(
        env_steps=env_steps,
        num_checkpoints=parts,
        spacing=spacing,
        num_envs=batch // 32,
        rollout_len=32,
        minibatch_size=32,
    )
    assert train.batch_size == batch
    return train.checkpoint_steps()


def test_evenly_unless_told_otherwise():
    assert TrainSpec(env_steps=1000, num_checkpoints=4).spacing == "linear"
    assert due(1000, 4, "linear") == (250, 500, 750, 1000)
    assert due(10, 3, "linear") == (4, 7, 10)


def test_log_spacing_doubles_from_the_first_batch_on():
    assert due(64 * 16, 5, "log") == (64, 128, 256, 512, 1024)


def test_log_spacing_ends_with_training_also_inside_a_batch():
    assert due(1000, 2, "log") == (64, 1000)
    assert due(1000, 1, "log") == (1000,)


def test_more_checkpoints_than_batches_are_one_per_batch():
    assert due(200, 50, "log") == (64, 128, 192, 200)


@given(env_steps=st.integers(1, 10**9), parts=st.integers(1, 200))
def test_log_spaced_checkpoints_are_distinct_batches_farther_and_farther_apart(env_steps, parts):
    steps = due(env_steps, parts, "log", batch=2048)
    batches = -(-env_steps // 2048)
    assert len(steps) == min(parts, batches)
    assert steps[-1] == env_steps
    assert all(step % 2048 == 0 for step in steps[:-1])
    gaps = [b - a for a, b in zip((0, *steps), steps, strict=False)]
    assert min(gaps) > 0
    assert len(steps) < 3 or steps[0] == 2048


@given(env_steps=st.integers(1, 10**6), parts=st.integers(1, 50), batch=st.integers(1, 40))
def test_even_spacing_is_due_as_it_always_was(env_steps, parts, batch):
    marks, now = TrainSpec(env_steps=env_steps, num_checkpoints=parts).checkpoint_steps(), 0
    batch = max(1, env_steps * batch // 40)
    while now < env_steps:
        before, now = now, now + batch
        reached = min(now, env_steps)
        as_before = reached * parts // env_steps > before * parts // env_steps
        assert any(before < mark <= reached for mark in marks) == as_before


def trial(**train):
    world = WorldSpec.model_validate({"name": "arrow_maze", "size": 9})
    return TrialSpec(world=world, train=TrainSpec(**train))


def test_a_trial_that_says_nothing_of_spacing_has_the_id_that_it_had_before_there_was_any():
    assert trial().id == "b05fb61b967f"
    assert trial().cell_id == "b0b31603752b"
    assert trial(spacing="linear").id == trial().id
    assert trial(spacing="log").id != trial().id
    assert trial(spacing="log").cell_id != trial().cell_id


@pytest.mark.parametrize("spacing", ["linear", "log"])
def test_a_claimed_folder_is_the_same_trials_again(tmp_path, spacing):
    ledger.claim(tmp_path, trial(spacing=spacing))
    ledger.claim(tmp_path, trial(spacing=spacing))
    assert ledger.TrialFolder(tmp_path).spec == trial(spacing=spacing)
    assert ("spacing" in (tmp_path / "spec.json").read_text()) == (spacing == "log")
