"""Policies of any library in the battery: what they may be, and what they are told otherwise."""

from collections import namedtuple

import numpy as np
import pytest
import torch
from by_hand import poses_of

from whichgoal.divergence.panels.build import build_panels
from whichgoal.divergence.probe.external import (
    ActionActor,
    External,
    PolicyError,
)
from whichgoal.divergence.probe.rollout import PolicyActor, rollout
from whichgoal.divergence.score.evaluate import evaluate_policy
from whichgoal.envs.registry import world_named
from whichgoal.spec import BatterySpec

WORLD = world_named("arrow_maze")
SMALL = WORLD.Design(size=7, test_size=9)
BATTERY = BatterySpec(episodes=16)
FORWARD = 2


def first_view(obs):
    """A policy without memory whose logits depend on what is seen."""
    codes = obs[..., 0].reshape(len(obs), -1).astype(np.float64)
    return np.stack([codes[:, 0::3].sum(1), codes[:, 1::3].sum(1), codes[:, 2::3].sum(1)], 1) % 3


def spinning(obs, state, is_first):
    """Turns left in episodes of even number, right in the others; only the state says which."""
    if state is None:
        assert is_first.all()
        state = {"of": (np.arange(len(obs)),)}
    numbers = state["of"][0]
    assert len(numbers) == len(is_first) == len(obs)
    return numbers % 2, state


def try_policy(policy):
    external = External(policy, WORLD.num_actions)
    external.try_out(WORLD, SMALL)
    return external


def play(actor):
    return rollout(actor, WORLD, build_panels(WORLD, SMALL, BATTERY)["shift"], seed=0)


def test_logits_are_scored_sampled_and_greedy():
    found = evaluate_policy(first_view, WORLD, SMALL, BATTERY)
    assert set(found.cards) == {"sampled", "greedy"}
    assert found.card is found.cards["sampled"]
    assert found.card.trial == ""


def test_actions_are_scored_as_they_are_under_the_batterys_own_way():
    for way in ("sampled", "greedy"):
        battery = BatterySpec(episodes=16, actions=way)
        found = evaluate_policy(lambda obs: np.full(len(obs), FORWARD), WORLD, SMALL, battery)
        assert set(found.cards) == {way}
        assert found.card.actions == way


def test_greedy_logits_play_like_their_argmax():
    greedy = play(PolicyActor(External(first_view, 3), greedy=True))
    own = play(ActionActor(External(lambda obs: first_view(obs).argmax(1), 3)))
    assert np.array_equal(greedy.path, own.path)


def test_a_memory_follows_its_episode_when_others_leave_the_batch():
    rollout = play(ActionActor(External(spinning, 3)))
    assert len(set(rollout.length.tolist())) > 4, "all end together: nothing is tested"
    for level in range(len(rollout.length)):
        headings = poses_of(rollout, level)[:, 2]
        turns = np.diff(headings) % 4
        assert set(turns.tolist()) == {3 if level % 2 == 0 else 1}


Pair = namedtuple("Pair", ["one", "two"])


@pytest.mark.parametrize(
    "begin",
    [
        lambda n: torch.zeros(n, 2),
        lambda n: [np.zeros(n), np.zeros((n, 3, 3))],
        lambda n: Pair(np.zeros(n), {"deep": torch.zeros(n)}),
        lambda n: {"nothing": None, "some": np.zeros(n)},
        lambda n: (),
        lambda n: None,
    ],
    ids=["tensor", "list", "namedtuple", "dict", "empty", "none"],
)
def test_a_memory_may_have_any_form(begin):
    def policy(obs, state, is_first):
        new = begin(len(obs))
        assert is_first.all() or type(state) is type(new)
        return np.zeros(len(obs), int), new

    try_policy(policy)


def test_a_tensor_that_wants_gradients_is_an_answer():
    assert try_policy(lambda obs: torch.zeros(len(obs), 3, requires_grad=True)).has_logits


def test_a_factory_is_called_once():
    calls = []

    def make():
        calls.append(1)
        return lambda obs: np.zeros(len(obs), int)

    assert try_policy(make).has_logits is False
    assert calls == [1]


class Counter:
    """A policy that is an object; its class is a factory."""

    def __init__(self, per_row=0):
        self.per_row = per_row

    def __call__(self, obs):
        return np.zeros(len(obs), np.int8)


def test_objects_and_their_classes_are_policies():
    assert try_policy(Counter()).has_logits is False
    assert try_policy(Counter).has_logits is False


def zeros(*shape):
    return np.zeros(shape)


def changing_its_mind():
    calls = iter(range(9))
    return lambda obs: zeros(len(obs), 3) if next(calls) else np.zeros(len(obs), int)


WRONG = {
    "too few logits": (lambda obs: zeros(len(obs), 2), "returned float64 (4, 2); allowed: logits"),
    "one row of logits": (lambda obs: zeros(3), r"floats (4, 3), or actions, integers (4,)"),
    "one action for all": (lambda obs: 2, "returned int64 (); allowed: logits"),
    "an action more": (lambda obs: np.zeros(5, int), "returned int64 (5,)"),
    "an axis too many": (lambda obs: np.zeros((len(obs), 1), int), "returned int64 (4, 1)"),
    "floats for actions": (lambda obs: zeros(len(obs)), "returned float64 (4,)"),
    "booleans": (lambda obs: zeros(len(obs), 3) > 0, "returned bool (4, 3)"),
    "nothing": (lambda obs: None, "returned object ()"),
    "text": (lambda obs: "left", "returned <U4 ()"),
    "NaN": (lambda obs: zeros(len(obs), 3) * np.nan, "returned NaN or infinite logits"),
    "infinite": (lambda obs: zeros(len(obs), 3) - np.inf, "-1e9 rules an action out"),
    "an action that is none": (lambda obs: np.full(len(obs), 3), "action 3; allowed: 0 to 2"),
    "a negative action": (lambda obs: np.full(len(obs), -1), "action -1; allowed: 0 to 2"),
    "ragged": (lambda obs: [[1], [1, 2]], "returned list; allowed: what becomes an array"),
    "a state not asked for": (
        lambda obs: (np.zeros(len(obs), int), None),
        "returned a tuple of 2; allowed: a tuple only of policies that take (obs, state, is_first)",
    ),
    "no state": (
        lambda obs, state, is_first: np.zeros(len(obs), int),
        "returned int64 (4,); allowed: a pair (actions or logits, state)",
    ),
    "layers first": (
        lambda obs, state, is_first: (np.zeros(len(obs), int), (zeros(1, len(obs), 8),)),
        "returned a state with float64 (1, 4, 8); allowed: arrays (4, ...)",
    ),
    "a number in the state": (
        lambda obs, state, is_first: (np.zeros(len(obs), int), {"steps": 1}),
        "returned a state with int; allowed: arrays (4, ...)",
    ),
    "first actions, then logits": (changing_its_mind(), "always the same, actions as before"),
    "squeezed where one is left": (
        lambda obs: zeros(len(obs), 3).squeeze(),
        "returned float64 (3,); allowed: logits, floats (1, 3)",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_answer_is_told_in_one_line(case):
    policy, told = WRONG[case]
    with pytest.raises(PolicyError) as caught:
        evaluate_policy(policy, WORLD, SMALL, BATTERY, name="mine:policy")
    line = str(caught.value)
    assert line.startswith("mine:policy ")
    assert told in line
    assert "uint8 (" in line
    assert "\n" not in line


def test_what_goes_wrong_late_is_told_too():
    seen = []

    def policy(obs):
        seen.append(len(obs))
        return np.full(len(obs), 7 if len(seen) > 20 else FORWARD)

    with pytest.raises(PolicyError, match="action 7; allowed: 0 to 2"):
        evaluate_policy(policy, WORLD, SMALL, BATTERY)


def test_an_exception_keeps_its_cause_and_names_the_line():
    def policy(obs):
        raise KeyError("weights\nare gone")

    with pytest.raises(PolicyError, match=r"raised KeyError: .*gone.* \(test_external.py:") as told:
        try_policy(policy)
    assert isinstance(told.value.__cause__, KeyError)
    assert "\n" not in str(told.value)


def test_a_policy_made_for_one_board_size_is_told_that_the_test_has_another():
    whole = WORLD.Design(size=7, test_size=9, view="full")
    weights = np.zeros((7 * 7 * 3, 3))
    with pytest.raises(PolicyError, match=r"9, 9, 3.*larger than those of training"):
        evaluate_policy(lambda obs: obs.reshape(len(obs), -1) @ weights, WORLD, whole, BATTERY)


def softmax(obs, kind=np.float64):
    weights = np.exp(first_view(obs))
    return (weights / weights.sum(1, keepdims=True)).astype(kind)


@pytest.mark.parametrize(
    "policy",
    [
        softmax,
        lambda obs: softmax(obs, np.float16),
        lambda obs: torch.from_numpy(softmax(obs, np.float32)),
        lambda obs: np.round(softmax(obs), 3),
        lambda obs: np.eye(3)[first_view(obs).argmax(1)],
        lambda obs: np.tile([0.2, 0.0, 0.8], (len(obs), 1)),
        lambda obs, state, is_first: (softmax(obs), None),
    ],
    ids=["float64", "float16", "tensor", "rounded", "one-hot", "constant", "with memory"],
)
def test_probabilities_are_not_taken_for_logits(policy):
    with pytest.raises(PolicyError, match=r"returned probabilities .*np.log\(p \+ 1e-9\)") as told:
        try_policy(policy)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "policy",
    [
        lambda obs: zeros(len(obs), 3),
        lambda obs: np.ones((len(obs), 3)),
        lambda obs: np.log(softmax(obs) + 1e-9),
        lambda obs: np.tile([1.5, -0.5, 0.0], (len(obs), 1)),
        lambda obs: softmax(obs) * np.linspace(1, 2, len(obs) + 1)[1:, None],
    ],
    ids=["uniform", "ones", "logarithms", "one negative", "some rows sum to 1"],
)
def test_logits_may_be_any_others(policy):
    assert try_policy(policy).has_logits


def test_a_policy_that_has_given_logits_may_give_a_row_that_sums_to_one():
    external = External(lambda obs: np.abs(obs[:, :3].astype(float)), 3)
    is_first = np.ones(1, bool)
    for row in ([3, 0, 2], [1, 0, 0]):
        external.step(np.array([row]), external.initial_state(1), is_first)
    assert External(lambda obs: np.ones((len(obs), 1)), 1).step(np.zeros((2, 1)), {}, is_first)


def takes_two(obs, state):
    return obs, state


class NeedsWeights:
    def __init__(self, weights):
        self.weights = weights


def leaving():
    raise SystemExit(3)


def failing():
    raise OSError("no weights here")


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        (3, "the policy is int; allowed: policy"),
        (takes_two, "takes 2 arguments; allowed: policy"),
        (NeedsWeights, "is a class; allowed: policy"),
        (torch.nn.Linear(2, 2), "takes any arguments"),
        (lambda: 3, r"the policy\(\) is int; allowed"),
        (lambda: lambda: 3, r"the policy\(\) takes 0 arguments"),
        (failing, r"the policy\(\) raised OSError: no weights here \(test_external.py:"),
        (leaving, r"the policy\(\) raised SystemExit: 3 \(test_external.py:"),
    ],
    ids=[
        "number",
        "two arguments",
        "class",
        "module",
        "makes none",
        "factory twice",
        "fails",
        "exits",
    ],
)
def test_what_is_no_policy_is_told(policy, told):
    with pytest.raises(PolicyError, match=told):
        External(policy, 3)
