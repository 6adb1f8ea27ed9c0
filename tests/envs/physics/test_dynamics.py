"""The engine of discs: laws of mechanics, and pymunk on the same scenes."""

from __future__ import annotations

import numpy as np
import pytest
from chipmunk import Chipmunk, Scene, batch, draw, ours, room
from hypothesis import given, settings
from hypothesis import strategies as st

from whichgoal.envs.physics.engine.dynamics import COAST, LEFT, MARGIN, RIGHT, THRUST, step
from whichgoal.envs.physics.engine.laws import laws

LAWS = laws()


def played(scene: Scene, actions, own=LAWS) -> tuple[np.ndarray, np.ndarray]:
    """Returns positions after each step, `[T, B, 2]`, and the last velocities, `[B, 2]`."""
    bodies, touched, path = batch([scene]), np.zeros(1, np.int64), []
    for action in actions:
        step(own, np.array([action]), bodies, touched)
        path.append(bodies.at[0].copy())
    return np.array(path), bodies.velocity[0]


def test_an_agent_that_thrusts_comes_to_thrust_over_drag():
    path, velocity = played(room(size=60), [THRUST] * 40)
    assert velocity[0] == pytest.approx([6 / 3, 0], abs=1e-6)
    assert np.diff(path[-2:, 0, 0]) == pytest.approx(0.4, abs=1e-6)


def test_sixteen_turns_are_a_full_one_and_four_a_quarter():
    bodies, touched = batch([room()]), np.zeros(1, np.int64)
    for turn in (RIGHT, LEFT):
        seen = []
        for _ in range(16):
            step(LAWS, np.array([turn]), bodies, touched)
            seen.append(int(bodies.heading[0]))
        assert seen == [(k * (1 if turn == RIGHT else -1)) % 16 for k in range(1, 17)]
    path, _ = played(room(), [RIGHT] * 4 + [THRUST] * 5)
    assert path[-1, 0, 0] == 2.0, "south is exactly south"
    assert path[-1, 0, 1] > 5.0


@pytest.mark.parametrize("speed", [3.0, 2.96, 2.87])
def test_a_disc_that_slides_stops_by_coulombs_law_and_then_sleeps_exactly(speed):
    slides = room((4.5, 4.5), size=20)
    slides.velocity[1] = 0.6 * speed, 0.8 * speed
    path, velocity = played(slides, [COAST] * 20)
    assert (velocity[1] == 0).all()
    assert np.array_equal(path[-1, 1], path[-5, 1])
    slower = np.maximum(speed - 3.0 * LAWS.dt * np.arange(20), 0)  # substep by substep
    assert np.linalg.norm(path[-1, 1] - 4.5) == pytest.approx(LAWS.dt * slower.sum(), abs=1e-12)
    assert LAWS.dt * slower.sum() == pytest.approx(speed**2 / (2 * 3), rel=0.06)


def test_ground_moves_what_lies_on_it_only_where_it_is_steeper_than_friction_holds():
    for steep, moves in ((2.9, False), (3.1, True)):
        bodies = batch([room((5.5, 4.5))])
        bodies.ground[:, 0] = steep
        for _ in range(5):
            step(LAWS, np.array([COAST]), bodies, np.zeros(1, np.int64))
        assert (bodies.at[0, 1, 0] > 5.5) == moves
        assert bodies.at[0, 0, 0] > 2, "nothing holds the agent but its drag"


def test_who_coasts_comes_to_rest_at_the_lowest_point():
    bodies, touched = batch([room(agent=(2.0, 2.0), size=12)]), np.zeros(1, np.int64)
    bodies.ground[0] = 0, 0, 2.0, 7.5, 6.5
    fastest = 0.0
    for _ in range(120):
        step(LAWS, np.array([COAST]), bodies, touched)
        fastest = max(fastest, float(np.linalg.norm(bodies.velocity[0, 0])))
    assert bodies.at[0, 0] == pytest.approx([7.5, 6.5], abs=0.01)
    assert 0.4 < fastest < 2.0 / 3.0, "the cone draws by 2.0 at most, against a drag of 3"


@pytest.mark.parametrize(
    ("scene", "actions"),
    [
        pytest.param(room(heading=2), [THRUST] * 30, id="free run into a wall"),
        pytest.param(room((4, 4.5)), [THRUST] * 12, id="head-on push"),
        pytest.param(room((4, 4.7)), [THRUST] * 8, id="push off the center"),
        pytest.param(room((4, 4.5), (5, 4.5)), [THRUST] * 10, id="push two in a row"),
        pytest.param(room((6.5, 4.5)), [THRUST] * 25, id="push to the wall"),
        pytest.param(room((3.0, 4.5)), [THRUST] * 4 + [COAST] * 10, id="knock and let it slide"),
    ],
)
def test_a_push_goes_where_it_goes_in_pymunk(scene, actions):
    reference = Chipmunk(scene, LAWS).play(actions)
    finer = Chipmunk(scene, LAWS, 16).play(actions)
    path, _ = played(scene, actions)
    apart = np.linalg.norm(path - reference, axis=-1).max()
    assert apart <= max(2 * np.linalg.norm(reference - finer, axis=-1).max(), 2 * MARGIN)


@pytest.mark.parametrize("bounce", [0.0, 0.5, 1.0])
def test_what_hits_a_wall_keeps_its_share_of_the_speed(bounce):
    own = laws(bounce=bounce, friction=0.0)
    flies = room((4.5, 4.5))
    flies.velocity[1] = 1.5, 0.5
    _, velocity = played(flies, [COAST] * 12, own)
    assert velocity[1] == pytest.approx([-1.5 * bounce, 0.5], abs=1e-12)


def compare(n: int, bounce: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns ours against pymunk, and its own 4 against 16 substeps: of what moves, all steps."""
    rng, own = np.random.default_rng(int(10 * bounce)), laws(bounce=bounce)
    scenes, plays, references = [], [], []
    while len(scenes) < n:
        scene, actions = draw(rng), rng.choice(4, 20, p=[0.15, 0.15, 0.6, 0.1])
        reference = Chipmunk(scene, own)
        path = reference.play(actions)
        if 1 <= reference.contacts <= 2:
            scenes.append(scene)
            plays.append(actions)
            references.append((path, Chipmunk(scene, own, 16).play(actions)))
    paths = ours(scenes, own, np.array(plays).T)
    found: list[list[np.ndarray]] = [[], []]
    for i, (path, finer) in enumerate(references):
        moves = (path[-1] != scenes[i].at).any(axis=-1)
        mine = paths[:, i, : len(moves)]
        found[0].append(np.linalg.norm(mine - path, axis=-1)[:, moves].ravel())
        found[1].append(np.linalg.norm(path - finer, axis=-1)[:, moves].ravel())
    return np.concatenate(found[0]), np.concatenate(found[1])


@pytest.mark.parametrize("bounce", [0.0, 0.5])
@pytest.mark.parametrize(
    "n", [40, pytest.param(500, marks=[pytest.mark.examine, pytest.mark.timeout(600)])]
)
def test_random_scenes_of_at_most_two_contacts_go_as_in_pymunk(n, bounce):
    apart, its_own = compare(n, bounce)
    for share in (0.5, 0.95):
        assert np.quantile(apart, share) <= 2 * np.quantile(its_own, share)
    assert apart.max() < 0.5


SPEEDS = st.floats(-2, 2, allow_nan=False)


@st.composite
def crowds(draw, apart: float = 1.0):
    """Draws discs with speeds in a hall so large that none comes to a wall; the agent is away."""
    n = draw(st.integers(2, 6))
    cells = draw(st.permutations([(x, y) for x in range(3) for y in range(3)]))[:n]
    hall = room(*[(20.5 + apart * x, 20.5 + apart * y) for x, y in cells], size=41)
    hall.velocity[1:] = [(draw(SPEEDS), draw(SPEEDS)) for _ in range(n)]
    hall.inverse_mass[1:] = [draw(st.sampled_from([0.5, 0.7, 2.0])) for _ in range(n)]
    return hall


def momentum(scene: Scene, velocity: np.ndarray) -> np.ndarray:
    return (velocity[1:] / scene.inverse_mass[1:, None]).sum(axis=0)


def energy(scene: Scene, velocity: np.ndarray) -> float:
    return float((velocity[1:] ** 2 / scene.inverse_mass[1:, None]).sum() / 2)


@settings(max_examples=60, deadline=None)
@given(crowds(), st.sampled_from([0.0, 0.4, 1.0]))
def test_discs_that_collide_keep_their_momentum_and_gain_no_energy(hall, bounce):
    own = laws(friction=0.0, bounce=bounce)._replace(fastest=np.inf)
    _, velocity = played(hall, [COAST] * 8, own)
    assert momentum(hall, velocity) == pytest.approx(momentum(hall, hall.velocity), abs=1e-9)
    assert energy(hall, velocity) <= energy(hall, hall.velocity) * (1 + 1e-9) + 1e-12


@settings(max_examples=40, deadline=None)
@given(crowds())
def test_on_a_rough_floor_all_comes_to_rest_and_stays_there(hall):
    path, velocity = played(hall, [COAST] * 30)
    assert (velocity[1:] == 0).all()
    assert np.array_equal(path[-1, 1:], path[-8, 1:])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.lists(st.integers(0, 3), min_size=20, max_size=20))
def test_no_disc_gets_into_a_wall_or_through_another_one(seed, actions):
    scene = draw(np.random.default_rng(seed))
    path, _ = played(scene, actions)
    for at in path:
        near = np.clip(at[:, None], *(np.argwhere(scene.wall)[None] + k for k in (0, 1)))
        gap = np.linalg.norm(at[:, None] - near, axis=-1).min(axis=1) - scene.radius
        assert gap.min() > -0.03
        for b, c in np.argwhere(np.triu(np.ones((len(at),) * 2), 1)):
            gap = np.linalg.norm(at[b] - at[c]) - scene.radius[b] - scene.radius[c]
            assert gap > -0.05


def test_a_scene_is_the_same_alone_and_in_any_batch():
    rng = np.random.default_rng(0)
    scenes = [draw(rng) for _ in range(12)]
    actions = rng.integers(0, 4, (40, 12))
    whole = ours(scenes, LAWS, actions)
    for i, scene in enumerate(scenes):
        alone = ours([scene], LAWS, actions[:, [i]])[:, 0]
        assert np.array_equal(alone, whole[:, i, : len(scene.at)])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"thrust": -1.0}, r"thrust is -1.0; allowed: 0 to 100"),
        ({"thrust": float("nan")}, r"thrust is nan; allowed: 0 to 100"),
        ({"drag": 0.0}, r"drag is 0.0; allowed: more than 0 to 100"),
        ({"friction": float("inf")}, r"friction is inf; allowed"),
        ({"bounce": 1.5}, r"bounce is 1.5; allowed: 0 to 1"),
        ({"substeps": 0}, r"substeps is 0; allowed: 1 to 64"),
        ({"substeps": 2.5}, r"substeps is 2.5; allowed: 1 to 64"),
        ({"substeps": 65}, r"substeps is 65; allowed: 1 to 64"),
        ({"substeps": 1}, r"moves by 0.4 units .* allowed: 4 substeps and more, or thrust / drag"),
        ({"thrust": 60.0}, r"allowed: 40 substeps and more, or thrust / drag of at most 2"),
        ({"thrust": 100.0, "drag": 0.01}, r"allowed: thrust / drag of at most 2"),
    ],
)
def test_laws_with_which_a_scene_would_blow_up_are_refused(given, said):
    with pytest.raises(ValueError, match=said) as error:
        laws(**given)
    assert "\n" not in str(error.value)
