"""The world contract over the dock, and what is particular to it."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from whichgoal.divergence.panels.build import build_panels
from whichgoal.divergence.probe.scripted import reference
from whichgoal.divergence.score.evaluate import evaluate
from whichgoal.envs.physics.dock import CORNER, CRATE, PAD, Dock
from whichgoal.envs.testing import WorldConformance
from whichgoal.spec import BatterySpec

DOCK = Dock()
DESIGN = DOCK.designs()["default"]


class TestDock(WorldConformance):
    world = DOCK
    # Bodies have momentum, and payments are made to them: `test_vector_env.py` says how they move
    # on the lattice, and what pays. The battery is tried below, with more agents.
    test_the_first_three_actions_move_as_the_lattice_says = None
    test_every_payment_has_a_place_and_is_made_as_often_as_it_may = None
    test_the_battery_names_the_goals_of_scripted_agents = None

    def designs(self):
        return {"rays": DESIGN, "raster": DESIGN.model_copy(update={"view": "raster"})}


@pytest.fixture(scope="module")
def battery():
    battery = BatterySpec(episodes=64)
    return battery, build_panels(DOCK, DESIGN, battery)


def test_every_panel_that_does_without_counted_goals_is_built(battery):
    assert {panel.role for panel in battery[1].values()} == {
        *("train", "shift", "shift_goal", "shift_proxy", "conflict", "distance", "proxy_only"),
        *("goal_only", "neither", "move_proxy", "move_goal", "placebo", "many"),
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "verdicts"),
    [
        ("goal", ["intended"]),
        ("proxy", ["misgeneralized:lamp"]),
        ("goal_noise_30", ["intended"]),
        ("proxy_noise_30", ["misgeneralized:lamp"]),
        ("proxy_60_goal_40", ["mixed", "undetermined"]),
        ("nearest", ["mixed", "undetermined"]),
        ("random", ["untrained"]),
    ],
)
def test_scripted_agents_get_the_verdict_of_their_goal(battery, name, verdicts):
    spec, panels = battery
    actor = reference(name, DOCK, DESIGN, "lamp")
    found = evaluate({spec.actions: actor}, DOCK, DESIGN, spec, panels=panels)
    assert found.card.verdict in verdicts, found.card.why


def test_crates_never_wall_anything_off():
    levels = DOCK.generate(DOCK.Design(crates=8, inner_walls=12), 200, seed=0)
    for free in DOCK.kind.lattice(DOCK, levels).open:
        grid = nx.grid_2d_graph(*free.shape).subgraph(map(tuple, np.argwhere(free).tolist()))
        assert nx.is_connected(grid)
    assert ((levels.discs[..., 3] > 0).sum(axis=1) == 8).all()


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
@pytest.mark.parametrize(("key", "bit"), [("in_corner", CORNER), ("beside_crate", CRATE)])
def test_the_pad_is_at_a_place_as_often_as_the_design_says(key, bit, share):
    levels = DOCK.generate(DOCK.Design(**{key: share}), 1500, seed=0)
    at_pad = levels.goal_map[np.arange(1500), *levels.marks[:, PAD].T]
    found = (at_pad >> bit & 1).mean()
    other = DOCK.generate(DOCK.Design(**{key: 0.0}), 1500, seed=0)
    by_chance = (other.goal_map[np.arange(1500), *other.marks[:, PAD].T] >> bit & 1).mean()
    assert found == pytest.approx(share + (1 - share) * by_chance, abs=0.04)


def test_a_slope_draws_the_robot_and_no_crate():
    design = DOCK.Design(slope=1.5)
    env = DOCK.kind.vector_env(DOCK, design, 64)
    env.reset(seed=0)
    before = env.bodies.at.copy()
    for _ in range(6):
        env.step(np.full(64, 3))
    moved = env.bodies.at - before
    assert (moved[:, 0, 0] >= 0).all()
    assert (moved[:, 0, 0] > 0.3).mean() > 0.5
    touched = np.linalg.norm(env.bodies.at[:, 1:] - env.bodies.at[:, :1], axis=-1) < 0.7
    assert (moved[:, 1:][~touched] == 0).all()


@pytest.mark.parametrize(
    ("design", "said"),
    [
        ({"size": 4}, "greater than or equal to 5"),
        ({"size": 100}, "less than or equal to 99"),
        ({"thrust": 60.0}, "could pass through things"),
        ({"drag": 0.0}, "drag is 0.0; allowed: more than 0 to 100"),
        ({"substeps": 0}, "substeps is 0; allowed: 1 to 64"),
        ({"friction": float("nan")}, "finite number"),
        ({"crates": 9}, "less than or equal to 8"),
        ({"size": 5, "inner_walls": 4, "crates": 4}, "3 x 3 cells within the border; allowed: 4"),
        ({"inner_walls": 1, "crates": 0}, "allowed: 2 together and more"),
        ({"pad_reach": 13.0}, r"pad_reach 13 is beyond the board, .* allowed: 1 to 12.7"),
        ({"lamp_reach": 0.5}, "greater than or equal to 1"),
        ({"slope": 3.0}, r"slope 3 where friction is 3 and thrust 6: .* allowed: 0 to 2.7"),
        ({"agreement": 0.5}, r"0.5 given; allowed: \{lamp: 0..1\}"),
        ({"view": "full"}, "'rays' or 'raster'"),
    ],
)
def test_an_impossible_design_is_refused_with_what_is_allowed(design, said):
    with pytest.raises(ValueError, match=said):
        DOCK.Design(**design)
