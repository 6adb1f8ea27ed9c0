"""What scripted agents earn of the true reward, in episodes that end as those of training do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whichgoal.divergence.panels.panel import Panel
from whichgoal.divergence.probe.rollout import Actor, Scene, Streams, rollout
from whichgoal.envs.contract import Design, Levels, World


def true_returns(world: World, design: Design, levels: Levels, actor: Actor) -> NDArray[np.float64]:
    """Plays each level once and returns the rewards of its episode, `[n]`."""
    n = len(levels)
    env = world.kind.vector_env(world, design, n, levels=levels)
    obs, _ = env.reset(seed=0)
    state, first, streams = actor.initial_state(n), np.ones(n, np.bool_), Streams(0, n)
    total, alive = np.zeros(n), np.ones(n, np.bool_)
    while alive.any():
        scene = Scene(world, env, np.arange(n))
        actions, state = actor.act(obs, state, first, scene, streams)
        obs, reward, terminated, truncated, _ = env.step(np.asarray(actions, np.int64))
        total += np.where(alive, reward, 0.0)
        first = terminated | truncated
        alive &= ~first
    return total


def takes_first(world: World, panel: Panel, actor: Actor) -> float:
    """Returns in which share of a panel's levels the intended goal is touched before its proxy."""
    assert panel.proxy is not None
    contact = rollout(actor, world, panel).contact
    late = np.iinfo(np.int32).max
    goal, proxy = (
        np.where(contact[:, k] < 0, late, contact[:, k])
        for k in (0, world.goals.index(panel.proxy))
    )
    assert (goal != proxy).all(), "neither, or both at once"
    return float((goal < proxy).mean())


def payments(world: World, panel: Panel, actor: Actor) -> NDArray[np.float64]:
    """Plays a panel's levels to their limits and returns what each goal paid on average."""
    return np.asarray(rollout(actor, world, panel).count.mean(axis=0))
