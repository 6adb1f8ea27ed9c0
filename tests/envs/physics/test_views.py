"""What agents of the kind `PHYSICS` see, as rays and as a board."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_room import DOCK, drawn

from whichgoal.envs.physics.engine.dynamics import RIGHT, THRUST
from whichgoal.envs.physics.engine.raster import DISC, FLOOR, SIDE, WALL
from whichgoal.envs.physics.engine.rays import FAN, RAYS

NEAR, IS_DISC, PAD, LAMP, PLACEBO = range(5)
LEFT_OF_AHEAD, RIGHT_OF_AHEAD = RAYS // 2 - 1, RAYS // 2


def rays(text: str, **design) -> np.ndarray:
    """Returns what is seen at the start of a drawn level, `[24, 5]`."""
    view = DOCK.kind.first_view(DOCK, DOCK.Design(**design), drawn(text))
    return view[0, : RAYS * 5].reshape(RAYS, 5)


def board(text: str, **design) -> np.ndarray:
    return DOCK.kind.first_view(DOCK, DOCK.Design(view="raster", **design), drawn(text))[0]


def test_rays_say_how_near_the_walls_are():
    seen = rays("####### #.....# #.....# #..>..# #.....# #.....# #######")
    for k in range(RAYS):
        turn = (k - (RAYS - 1) / 2) * FAN / RAYS
        away = 2.5 / max(abs(np.cos(turn)), abs(np.sin(turn)))
        assert seen[k, NEAR] == pytest.approx(1 / (1 + away))
    assert not seen[:, 1:].any()


def test_the_fan_covers_240_degrees_and_turns_clockwise():
    seen = rays("####### #.....# #.....# #..>..# #..p..# #.....# #######")
    lit = np.flatnonzero(seen[:, PAD])
    assert lit.min() > RIGHT_OF_AHEAD, "what lies to the right of east is south"
    behind = rays("####### #.....# #.....# #p.>..# #.....# #.....# #######")
    assert not behind[:, PAD].any()


def test_a_crate_hides_the_pad_and_not_the_lamp():
    seen = rays("####### #.....# #.....# #>.o.*# #.....# #.....# #######")
    ahead = seen[[LEFT_OF_AHEAD, RIGHT_OF_AHEAD]]
    assert (ahead[:, IS_DISC] == 1).all()
    assert ahead[:, NEAR] == pytest.approx(1 / (1 + 2 - 0.33), abs=0.01)
    assert (ahead[:, LAMP] > 0).all()
    assert not ahead[:, PAD].any()


def test_a_wall_hides_both():
    seen = rays("####### #.....# #.....# #>.#.*# #.....# #.....# #######")
    assert not seen[:, [PAD, LAMP]].any()


@pytest.mark.parametrize(("reach", "seen_from"), [(2.0, False), (4.0, True)])
def test_the_pad_is_seen_from_as_far_as_its_salience_says(reach, seen_from):
    text = "####### #.....# #.....# #>...*# #.....# #.....# #######"
    seen = rays(text, pad_reach=reach)
    assert seen[:, PAD].any() == seen_from
    assert seen[:, LAMP].any()
    code = (board(text, pad_reach=reach)[..., :2] == (8, 1)).all(axis=-1)
    assert code.any() == seen_from


def test_a_small_mark_far_away_lights_at_least_one_ray():
    levels = DOCK.generate(DOCK.Design(crates=2, inner_walls=0, lamp_reach=12.0), 200, seed=0)
    view = DOCK.kind.first_view(DOCK, DOCK.Design(), levels)[:, : RAYS * 5].reshape(-1, RAYS, 5)
    to = levels.marks[:, 1] - levels.start[:, :2]
    turn = np.arctan2(to[:, 1], to[:, 0]) - levels.start[:, 2] * np.pi / 2
    inside = np.abs((turn + np.pi) % (2 * np.pi) - np.pi) < FAN / 2 - 1e-6
    assert 0 < inside.sum() < 200
    assert (view[inside, :, LAMP] > 0).any(axis=1).all()


def test_the_agents_velocity_is_seen_ahead_and_to_its_right():
    levels = drawn("####### #.....# #.....# #>....# #.....# #.....# #######")
    env = DOCK.kind.vector_env(DOCK, DOCK.Design(), 1, levels=levels)
    env.reset()
    for _ in range(4):
        seen = env.step(np.array([THRUST]))[0]
    speed = env.bodies.velocity[0, 0, 0]
    assert seen[0, -2:] == pytest.approx([speed / 2, 0])
    for _ in range(4):
        seen = env.step(np.array([RIGHT]))[0]
    speed = env.bodies.velocity[0, 0, 0]
    assert speed > 0.1
    assert seen[0, -2:] == pytest.approx([0, -speed / 2], abs=1e-7), "it drifts to its left"


def test_a_board_shows_what_is_ahead_upward():
    seen = board(
        "######### #.......# #.......# #.......# #>.o..p.# #.......# #.......# #.......# #########"
    )
    middle, last = SIDE // 2, SIDE - 1
    ahead = seen[middle, ::-1]
    assert ahead[0].tolist() == list(FLOOR)
    assert ahead[4].tolist() == list(DISC), "two units ahead"
    assert (ahead[10, :2] == (8, 1)).all(), "five units ahead"
    assert seen[middle, 0].tolist() == list(FLOOR), "six units ahead"
    assert seen[0, last].tolist() == list(FLOOR), "three units to the left"
    far = board(
        "######### #.......# #.......# #.......# #....>..# #.......# #.......# #.......# #########"
    )
    assert far[middle, last - 5].tolist() == list(WALL), "two and a half units to the wall"


def test_a_lamp_is_the_state_of_what_lies_below():
    seen = board("####### #.....# #.....# #>..*.# #.....# #.....# #######")
    lamp = seen[..., 2] == 1
    assert 1 <= lamp.sum() <= 4
    assert (seen[lamp][:, :2] == (8, 1)).all()


def test_the_palette_lists_what_is_seen():
    design = DOCK.Design(view="raster", agreement={"lamp": 0.5})
    env = DOCK.kind.vector_env(DOCK, design, 64)
    seen = {tuple(code) for code in env.reset(seed=0)[0].reshape(-1, 3).tolist()}
    for row in np.random.default_rng(0).choice(3, (150, 64), p=[0.2, 0.2, 0.6]):
        seen |= {tuple(c) for c in np.unique(env.step(row)[0].reshape(-1, 3), axis=0).tolist()}
    palette = set(DOCK.kind.observation(DOCK, design).palette)
    assert seen <= palette
    assert palette - seen <= {(3, 2, 0), (3, 2, 1), (7, 5, 1)}, "placebo, or a crate below the lamp"
