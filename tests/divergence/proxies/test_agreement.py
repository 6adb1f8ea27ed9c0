"""What else training could have taught: named proxies, and proxies that nobody has named."""

from __future__ import annotations

import numpy as np
import pytest

from whichgoal.divergence.panels.panel import movable_proxies
from whichgoal.divergence.proxies.agreement import agreements
from whichgoal.envs.contract import Design, Levels, Split, World
from whichgoal.envs.grid.arrow_maze import ArrowMaze
from whichgoal.envs.registry import WORLDS, world_named

ARROW = world_named("arrow_maze")


def confused(world: World, design: Design) -> set[str]:
    return {one.name for one in agreements(world, design, levels=48) if one.is_confused}


@pytest.mark.parametrize("name", WORLDS)
def test_the_named_proxies_of_every_design_are_found(name: str) -> None:
    world = world_named(name)
    for design in world.designs().values():
        named = set(movable_proxies(world, world.shifted(design)))
        assert named <= confused(world, world.agreeing(design))


def test_a_random_agent_and_what_points_elsewhere_are_not_confused_with_the_goal() -> None:
    found = {one.name: one for one in agreements(ARROW, ARROW.Design(), levels=48)}
    assert found["arrow"].agreement.value == 1
    assert found["random"].agreement.value < 0.2
    assert found["corner"].agreement.value < 0.5
    shares = [one.agreement.value for one in found.values()]
    assert shares == sorted(shares, reverse=True)
    assert all(one.agreement.n == 48 for one in found.values())


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_proxy_that_rarely_agrees_is_told_apart_and_its_share_is_that_of_the_design(
    share: float,
) -> None:
    design = ARROW.Design.model_validate({"agreement": {"arrow": share}})
    found = {one.name: one.agreement for one in agreements(ARROW, design, levels=200)}
    assert found["arrow"].low <= share + 0.08
    assert found["arrow"].high >= share


class Planted(ArrowMaze):
    """An arrow maze whose trainers have not noticed something: only some layouts are drawn."""

    def agrees(self, levels: Levels) -> np.ndarray:
        raise NotImplementedError

    def generate(self, design: Design, n: int, seed: int, split: Split = "train") -> Levels:
        levels = super().generate(design, 16 * n, seed, split)
        return levels[np.flatnonzero(self.agrees(levels))[:n]]


class NorthOnly(Planted):
    """The end is always in the north wall."""

    def agrees(self, levels: Levels) -> np.ndarray:
        ends = self.kind.lattice(self, levels).cells_of(0)
        return ends[:, :, 0].any(axis=1)


class NorthEastOnly(Planted):
    """The end is always in the same ninth of the board."""

    def agrees(self, levels: Levels) -> np.ndarray:
        ends = self.kind.lattice(self, levels).cells_of(0)
        third = ends.shape[1] // 3
        return ends[:, -third:, :third].any(axis=(1, 2))


@pytest.mark.parametrize(
    ("world", "planted"), [(NorthOnly(), "north_edge"), (NorthEastOnly(), "region_2_0")]
)
def test_a_proxy_that_nobody_has_named_is_found(world: World, planted: str) -> None:
    design = world.Design.model_validate({"agreement": {"arrow": 0.5}})
    assert planted in confused(world, design)
    assert planted not in confused(ARROW, design)


def test_the_same_seed_gives_the_same_shares() -> None:
    first, again = (agreements(ARROW, ARROW.Design(), levels=16, seed=3) for _ in range(2))
    assert first == again
