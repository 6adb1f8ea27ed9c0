"""One environment for `gymnasium.make`, of any kind: a row of the kind's vector environment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, SupportsFloat, get_args

import gymnasium
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from whichgoal.envs.autoreset import Mode, mode_given
from whichgoal.envs.contract import Design, LevelVectorEnv, Split, World
from whichgoal.envs.registry import world_named
from whichgoal.envs.rng import seed_given
from whichgoal.explain import describe
from whichgoal.spec import did_you_mean


class OneOfBatch(gymnasium.Env[NDArray[Any], np.int64]):
    """The first row of a batch of one, without autoreset.

    `info["goals"]` is `float32 [k]`, what each goal paid in the step.

    Args:
        world: The world that is played.
        design: Its design.
        split: Which layouts are generated.
        render_mode: `rgb_array` or None.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(
        self,
        world: World,
        design: Design,
        *,
        split: Split = "train",
        render_mode: str | None = None,
    ) -> None:
        self.world, self.design, self.render_mode = world, design, render_mode
        self._batch: LevelVectorEnv = world.kind.vector_env(world, design, 1, split=split)
        self.observation_space = self._batch.single_observation_space
        self.action_space = self._batch.single_action_space
        self._over = True
        self._seeded = False
        self._next: NDArray[Any] | None = None
        """What is seen first of a level that the batch has begun, as one ended, and none played."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begins the next level; with a seed, the levels' random stream begins anew.

        The first reset draws a seed where none is given.
        """
        seed = seed_given(seed)
        super().reset(seed=seed)
        first, self._next = self._next, None
        if seed is not None or first is None:
            if seed is None and not self._seeded:
                seed = int(self.np_random.integers(2**31))
            first = self._batch.reset(seed=seed)[0][0]
        self._seeded, self._over = True, False
        return first, {}

    def step(
        self, action: np.int64
    ) -> tuple[NDArray[Any], SupportsFloat, bool, bool, dict[str, Any]]:
        """Plays one action.

        Raises:
            RuntimeError: The episode is over; call `reset`.
        """
        if self._over:
            raise RuntimeError("the episode is over; call reset() before step()")
        obs, reward, terminated, truncated, infos = self._batch.step(np.array([action]))
        self._over = bool(terminated[0] or truncated[0])
        self._next = obs[0] if self._over else None
        seen = infos["final_obs"][0] if self._over else obs[0]
        goals = {"goals": infos["goals"][0]}
        return seen, float(reward[0]), bool(terminated[0]), bool(truncated[0]), goals

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """Returns a picture of the level as it stands, `uint8 [height, width, 3]`."""
        if self.render_mode is None:
            return None
        levels = replace(self._batch.levels_now, start=self._batch.pose)
        return self.world.kind.picture(self.world, self.design, levels)


def make_single(
    world: str, *, render_mode: str | None = None, split: Split = "train", **design: Any
) -> gymnasium.Env[Any, Any]:
    """Returns one environment of the world of this name; further keywords are keys of its design.

    This is what `gymnasium.make` calls.

    Raises:
        ValueError: If there is no such world or split, or its design has no such key or value.
    """
    _check_split(split)
    found = world_named(world)
    own = design_with(found, design)
    return one_env(found, own, split=split, render_mode=render_mode)


def one_env(
    world: World, design: Design, *, split: Split = "train", render_mode: str | None = None
) -> gymnasium.Env[Any, Any]:
    """Returns one environment of a world: its kind's own, or a row of a batch."""
    own = world.kind.single_env(world, design, split=split, render_mode=render_mode)
    return own or OneOfBatch(world, design, split=split, render_mode=render_mode)


def make_vector(
    world: str,
    *,
    num_envs: int = 1,
    split: Split = "train",
    seed: int = 0,
    autoreset_mode: Mode | None = None,
    **design: Any,
) -> LevelVectorEnv:
    """Returns the vector environment of the world of this name; keywords as in `make_single`.

    This is what `gymnasium.make_vec(..., vectorization_mode="vector_entry_point")` calls. The
    `autoreset_mode` is Gymnasium's default, NEXT_STEP, unless another one is asked for: our
    training asks for SAME_STEP, which is all that some kinds have.

    Raises:
        ValueError: As `make_single`, or the world's kind does not have that `autoreset_mode`.
    """
    _check_split(split)
    found = world_named(world)
    offered = found.kind.autoreset_modes
    mode = mode_given(autoreset_mode or ("NEXT_STEP" if "NEXT_STEP" in offered else offered[0]))
    if mode.name not in offered:
        allowed = f"allowed with {world}: {', '.join(offered)}"
        raise ValueError(f"autoreset_mode is {mode.name!r}; {allowed}")
    more: dict[str, Any] = {"autoreset_mode": mode} if len(offered) > 1 else {}
    return found.kind.vector_env(
        found, design_with(found, design), num_envs, split=split, seed=seed, **more
    )


def _check_split(split: object) -> None:
    if split not in get_args(Split):
        allowed = ", ".join(get_args(Split))
        raise ValueError(f"split is {split!r}; allowed: {allowed}")


def design_with(world: World, keys: dict[str, Any]) -> Design:
    """Returns a world's design with some of its keys; `ValueError` says what is wrong with one."""
    for key in keys:
        if key not in world.Design.model_fields:
            known = did_you_mean(key, world.Design.model_fields)
            raise ValueError(f"the design of {world.name} has no key {key!r}; {known}")
    try:
        return world.Design(**keys)
    except ValidationError as error:
        raise ValueError(f"the design of {world.name}: {describe(error, world.Design)}") from None
