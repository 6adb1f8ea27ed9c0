"""Any policy, from any library, as an actor of the battery.

A policy is a function of what is seen, with or without memory:

    policy(obs) -> answer
    policy(obs, state, is_first) -> (answer, state)

`obs` is `uint8 [n, v, v, 3]`, what MiniGrid's `ImgObsWrapper` gives, or `float32 [n, m]` in a world
whose observations are vectors, for n episodes at once. The answer is either logits, floats
`[n, actions]`, from which the battery draws (sampled) or takes the largest (greedy), or actions,
integers `[n]`, which are played as they are. `state` is None at first, then whatever was returned:
arrays with n as first axis, or tuples, lists and dicts of such. Episodes that have ended leave the
batch, and their rows the state. `is_first` is `bool [n]`.

The number of parameters without a default says which of the two it is. With none, it is a factory:
called once, it returns the policy.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whichgoal.divergence.probe.external_memory import Memory, kind, wrong_memory
from whichgoal.divergence.probe.rollout import Actor, PolicyActor, RandomNumbers, Scene, State
from whichgoal.envs.contract import Design, World
from whichgoal.explain import reason
from whichgoal.spec import BatterySpec

_FORMS = "policy(obs), or policy(obs, state, is_first), or a function of nothing that returns one"


class PolicyError(ValueError):
    """A policy is none, or gave what is not allowed. One line; the cause is kept."""


class External:
    """A policy of any library, every answer of which is checked.

    Args:
        policy: The policy, or a factory of one.
        num_actions: How many actions the world has.
        name: What errors call it.

    Raises:
        PolicyError: It cannot be called in either form, or the factory failed.
    """

    def __init__(
        self, policy: Callable[..., Any], num_actions: int, name: str = "the policy"
    ) -> None:
        self.name, self.num_actions = name, num_actions
        self.has_logits: bool | None = None
        """Whether it answers with logits; None before its first answer."""
        self._trained_on: tuple[int, ...] | None = None
        self._may_be_probabilities = num_actions > 1
        takes = _parameters(policy, name)
        if takes == 0:
            try:
                policy = policy()
            except (Exception, SystemExit) as error:
                raise PolicyError(f"{name}() raised {reason(error)}") from error
            self.name = f"{name}()"
            takes = _parameters(policy, self.name)
        if takes not in (1, 3) or inspect.isclass(policy):
            what = "is a class" if inspect.isclass(policy) else f"takes {takes} arguments"
            raise PolicyError(f"{self.name} {what}; allowed: {_FORMS}")
        self._policy, self._remembers = policy, takes == 3

    def initial_state(self, n: int) -> State:
        """Returns the memory before the first step: none."""
        return {}

    def step(
        self, obs: NDArray[Any], state: State, is_first: NDArray[np.bool_]
    ) -> tuple[NDArray[Any], State]:
        """Asks for the next step of n episodes.

        Returns:
            Logits, floats `[n, actions]`, or actions, integers `[n]`; and the next memory.

        Raises:
            PolicyError: The policy failed, or answered with what is not allowed.
        """
        self._trained_on = self._trained_on or obs.shape[1:]
        memory = state["memory"].tree if state else None
        try:
            given = self._policy(obs, memory, is_first) if self._remembers else self._policy(obs)
        except (Exception, SystemExit) as error:
            raise PolicyError(f"{self.name} raised {reason(error)}{self._on(obs)}") from error
        if self._remembers:
            if not (isinstance(given, tuple) and len(given) == 2):
                allowed = "a pair (actions or logits, state)"
                raise self._refusal(kind(given), allowed, obs)
            given, memory = given
            problem = wrong_memory(memory, len(obs))
            if problem:
                raise self._refusal(f"a state with {problem}", f"arrays ({len(obs)}, ...)", obs)
            return self._check(given, obs), {"memory": Memory(memory)}
        if isinstance(given, tuple):
            allowed = "a tuple only of policies that take (obs, state, is_first), none with default"
            raise self._refusal(kind(given), allowed, obs)
        return self._check(given, obs), {}

    def try_out(self, world: World, design: Design) -> None:
        """Asks for a few steps of few episodes, as panels will: learns whether it has logits.

        Raises:
            PolicyError: The policy failed, or answered with what is not allowed.
        """
        for tried in (design, world.shifted(design)):
            obs, _ = world.kind.vector_env(world, tried, 4, split="test").reset(seed=0)
            _, state = self.step(obs, self.initial_state(4), np.ones(4, np.bool_))
            for rows in (np.array([0, 2, 3]), np.array([1])):
                obs = obs[rows]
                state = {name: part[rows] for name, part in state.items()}
                _, state = self.step(obs, state, np.zeros(len(rows), np.bool_))

    def _check(self, given: Any, obs: NDArray[Any]) -> NDArray[Any]:
        try:
            answer = np.asarray(given.detach().cpu() if hasattr(given, "detach") else given)
        except Exception as error:
            allowed = f"what becomes an array, but: {reason(error)}"
            raise self._refusal(kind(given), allowed, obs) from error
        n, most = len(obs), self.num_actions - 1
        logits = bool(np.issubdtype(answer.dtype, np.floating))
        allowed = f"logits, floats {(n, self.num_actions)}, or actions, integers {(n,)}"
        if not logits and not np.issubdtype(answer.dtype, np.integer):
            raise self._refusal(kind(answer), allowed, obs)
        if answer.shape != ((n, self.num_actions) if logits else (n,)):
            raise self._refusal(kind(answer), allowed, obs)
        if logits and not np.isfinite(answer).all():
            allowed = "finite logits (-1e9 rules an action out)"
            raise self._refusal("NaN or infinite logits", allowed, obs)
        if logits and self._may_be_probabilities:
            self._may_be_probabilities = _are_probabilities(answer)
            if self._may_be_probabilities:
                allowed = "logits, such as np.log(p + 1e-9) of probabilities p, or actions"
                what = "probabilities (no row has a negative number, and each sums to 1)"
                raise self._refusal(what, allowed, obs)
        if not logits and (answer.min() < 0 or answer.max() > most):
            wrong = answer.min() if answer.min() < 0 else answer.max()
            raise self._refusal(f"action {wrong}", f"0 to {most}", obs)
        if self.has_logits not in (None, logits):
            before = "logits" if self.has_logits else "actions"
            raise self._refusal(kind(answer), f"always the same, {before} as before", obs)
        self.has_logits = logits
        return answer

    def _refusal(self, given: str, allowed: str, obs: NDArray[Any]) -> PolicyError:
        return PolicyError(f"{self.name} returned {given}; allowed: {allowed}{self._on(obs)}")

    def _on(self, obs: NDArray[Any]) -> str:
        text = f"; observations: {obs.dtype} {obs.shape}"
        if obs.shape[1:] == self._trained_on:
            return text
        return f"{text}, for the boards of the test are larger than those of training"


class ActionActor:
    """A policy that chooses its actions by itself."""

    def __init__(self, policy: External) -> None:
        self.policy = policy

    def initial_state(self, n: int) -> State:
        return self.policy.initial_state(n)

    def act(
        self,
        obs: NDArray[Any],
        state: State,
        is_first: NDArray[np.bool_],
        env: Scene,
        rng: RandomNumbers,
    ) -> tuple[NDArray[np.integer], State]:
        return self.policy.step(obs, state, is_first)


def actors_of_policy(
    policy: Callable[..., Any],
    world: World,
    design: Design,
    battery: BatterySpec,
    name: str = "the policy",
) -> dict[str, Actor]:
    """Returns the actors that a policy is scored as; see the top of the file for what one is.

    A policy with logits is scored sampled and greedy. One with actions is scored once, under the
    battery's own way of choosing (`BatterySpec.actions`); if it draws them itself, scores repeat
    only as far as its own random numbers do. Before the battery it is called a few times on other
    levels.

    Raises:
        PolicyError: The policy failed, or answered with what is not allowed.
    """
    external = External(policy, world.num_actions, name)
    external.try_out(world, design)
    if not external.has_logits:
        return {battery.actions: ActionActor(external)}
    return {
        "sampled": PolicyActor(external, greedy=False),
        "greedy": PolicyActor(external, greedy=True),
    }


def _are_probabilities(answer: NDArray[np.floating]) -> bool:
    """Whether all rows are distributions, as far as rounding tells.

    A row of logits that is one by chance is rare, all rows of a first answer rarer still.
    """
    slack = 1e-2 if answer.dtype.itemsize < 4 else 2e-3
    sums = answer.sum(axis=1, dtype=np.float64)
    return bool((answer >= 0).all() and (np.abs(sums - 1) < slack).all())


def _parameters(policy: object, name: str) -> int:
    """Returns how many positional parameters without a default a policy has."""
    if not callable(policy):
        raise PolicyError(f"{name} is {kind(policy)}; allowed: {_FORMS}")
    try:
        parameters = inspect.signature(policy).parameters.values()
    except (TypeError, ValueError) as error:
        raise PolicyError(f"{name} does not say what it takes; wrap it in {_FORMS}") from error
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        raise PolicyError(f"{name} takes any arguments (*args); wrap it in {_FORMS}")
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in positional and p.default is p.empty for p in parameters)
