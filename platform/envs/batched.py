"""What environments of every kind share: goals as bits, checks, what Gymnasium wants of an end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from whichgoal.spec import did_you_mean

Array = NDArray[Any]


class Named(Protocol):
    """A world, as far as it is looked at here."""

    @property
    def name(self) -> str:
        """Its name, for messages."""

    @property
    def goals(self) -> tuple[str, ...]:
        """Names of its goals, the intended one first."""


def rewarded_goal(world: Named, reward: str | None) -> int:
    """Returns the number of the goal that training rewards; None is the intended one.

    Raises:
        ValueError: The world has no such goal.
    """
    if reward is None:
        return 0
    if reward not in world.goals:
        raise ValueError(
            f"{world.name} has no goal {reward!r} to reward; {did_you_mean(reward, world.goals)}"
        )
    return world.goals.index(reward)


def goal_bits(world: Named, names: tuple[str, ...] | None, otherwise: int = 0) -> int:
    """Returns the named goals of a world as bits; None means the one of number `otherwise`."""
    if isinstance(names, str):
        raise ValueError(f"ends_on is the text {names!r}; did you mean ({names!r},)?")
    bits = 0
    for name in (world.goals[otherwise],) if names is None else names:
        if name not in world.goals:
            raise ValueError(
                f"{world.name} has no goal {name!r}; {did_you_mean(name, world.goals)}"
            )
        bits |= 1 << world.goals.index(name)
    return bits


def check_actions(actions: Array, num_envs: int) -> Array:
    """Returns actions as an array. Raises `ValueError` where they are not `int [num_envs]`."""
    actions = np.asarray(actions)
    if actions.shape != (num_envs,) or actions.dtype.kind not in "iu":
        raise ValueError(
            f"actions have shape {actions.shape} and dtype {actions.dtype}; "
            f"allowed: integers of shape ({num_envs},)"
        )
    return actions


def no_such_actions(actions: Array, num_actions: int) -> ValueError:
    """Returns the error of actions out of range."""
    return ValueError(
        f"actions reach from {actions.min()} to {actions.max()}; allowed: 0 to {num_actions - 1}"
    )


def check_state(state: Mapping[str, Array], own: Mapping[str, Array]) -> None:
    """Raises `ValueError` where names, shapes or types differ from an environment's own state."""
    if state.keys() != own.keys():
        raise ValueError(f"state has keys {sorted(state)}; allowed: exactly {sorted(own)}")
    for name, array in own.items():
        given = np.asarray(state[name])
        if given.shape != array.shape or given.dtype != array.dtype:
            raise ValueError(
                f"state[{name!r}] is {given.dtype} {given.shape}; "
                f"allowed: {array.dtype} {array.shape}"
            )


def tell_of_ended(
    infos: dict[str, Any], rows: NDArray[np.int64], views: Array, goals: Array
) -> None:
    """Writes what Gymnasium wants of episodes that ended into `infos`, with SAME_STEP.

    Args:
        infos: Of a step, written.
        rows: Which rows ended.
        views: Their last observations.
        goals: What each goal paid in the step, `[N, k]`, of all rows.
    """
    final = np.empty(len(goals), dtype=object)  # holds None
    for i, view in zip(rows.tolist(), views, strict=True):
        final[i] = view
    mask = np.zeros(len(goals), np.bool_)
    mask[rows] = True
    infos["final_obs"], infos["_final_obs"] = final, mask
    infos["final_info"] = {"goals": goals * mask[:, None], "_goals": mask}
    infos["_final_info"] = mask


def read_only(array: Array) -> Array:
    """Returns a view of an array that cannot be written to."""
    same = array.view()
    same.flags.writeable = False
    return same
