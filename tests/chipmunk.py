"""The same scenes in pymunk 7 (Chipmunk): the reference that the physics engine is held against."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pymunk

from whichgoal.envs.physics.engine.dynamics import LEFT, RIGHT, THRUST, Bodies, Laws, step
from whichgoal.envs.physics.engine.headings import COS, SIN
from whichgoal.envs.physics.engine.laws import CONTROL_STEP_S

SIZE = 9


@dataclass(frozen=True)
class Scene:
    """One scene: `wall [W, H]`; `at`, `velocity` `[B, 2]`; `radius`, `inverse_mass` `[B]`."""

    wall: np.ndarray
    at: np.ndarray
    velocity: np.ndarray
    heading: int
    radius: np.ndarray
    inverse_mass: np.ndarray


def room(*discs: tuple[float, float], agent=(2.0, 4.5), heading=0, size=SIZE, **more) -> Scene:
    """Returns an empty room with the agent, heading east, and some discs at rest."""
    wall = np.zeros((size, size), np.uint8)
    wall[[0, -1]] = wall[:, [0, -1]] = 1
    at, n = np.array([agent, *discs], float), 1 + len(discs)
    given = Scene(
        wall,
        at,
        np.zeros((n, 2)),
        heading,
        np.r_[0.3, [0.33] * (n - 1)],
        np.r_[1.0, [0.7] * (n - 1)],
    )
    return replace(given, **more)


def draw(rng: np.random.Generator) -> Scene:
    """Draws a room with a few walls, one disc or two, and an agent that looks toward a disc."""
    cells = rng.permutation([(x, y) for x in range(1, SIZE - 1) for y in range(1, SIZE - 1)])
    discs, blocks = rng.integers(1, 3), rng.integers(0, 5)
    free = cells[blocks : blocks + discs + 1] + 0.5
    drawn = room(*map(tuple, free[1:]), agent=free[0])
    drawn.wall[tuple(cells[:blocks].T)] = 1
    x, y = free[1] - free[0]
    aim = int(np.rint(np.arctan2(y, x) / (2 * np.pi) * 16)) % 16
    return replace(
        drawn,
        heading=(aim + int(rng.integers(-1, 2))) % 16,
        radius=np.r_[0.3, rng.choice([0.25, 0.33, 0.4], discs)],
        inverse_mass=np.r_[1.0, rng.choice([0.5, 0.7, 2.0], discs)],
    )


def batch(scenes: list[Scene]) -> Bodies:
    """Returns scenes as the engine takes them; those with fewer bodies are filled up with none."""
    most = max(len(scene.at) for scene in scenes)

    def filled(name: str, value: float) -> np.ndarray:
        parts = [getattr(scene, name) for scene in scenes]
        width = [(0, 0)] * (parts[0].ndim - 1)
        ends = [[(0, most - len(part)), *width] for part in parts]
        return np.stack(
            [np.pad(p, e, constant_values=value) for p, e in zip(parts, ends, strict=True)]
        )

    return Bodies(
        np.stack([scene.wall for scene in scenes]),
        filled("at", 1.5),
        filled("velocity", 0.0),
        np.array([scene.heading for scene in scenes]),
        filled("radius", 0.1),
        filled("inverse_mass", 0.0),
        np.zeros((len(scenes), 5)),
    )


def ours(scenes: list[Scene], laws: Laws, actions: np.ndarray) -> np.ndarray:
    """Returns where all bodies are after each control step, `[T, N, B, 2]`; `actions [T, N]`."""
    bodies, touched = batch(scenes), np.zeros(len(scenes), np.int64)
    path = np.empty((len(actions), *bodies.at.shape))
    for t, row in enumerate(actions):
        step(laws, row, bodies, touched)
        path[t] = bodies.at
    return path


class Chipmunk:
    """One scene in pymunk, with the same forces, drag and floor.

    Attributes:
        contacts: How often two shapes came into contact.
    """

    def __init__(self, scene: Scene, laws: Laws, substeps: int | None = None) -> None:
        self.laws, self.substeps = laws, substeps or laws.substeps
        self.heading, self.push, self.contacts = scene.heading, (0.0, 0.0), 0
        self.space = space = pymunk.Space()
        space.iterations, space.collision_slop, space.collision_bias = 20, 1e-3, 0.7**60
        space.on_collision(begin=self._count)
        bounce = laws.bounce**0.5  # it takes the product of the two
        for points in _walls(scene.wall):
            shape = pymunk.Poly(space.static_body, points)
            shape.elasticity, shape.friction = bounce, 0.0
            space.add(shape)
        self.bodies = []
        for b, radius in enumerate(scene.radius):
            body = pymunk.Body(1 / scene.inverse_mass[b], float("inf"))
            body.position, body.velocity = tuple(scene.at[b]), tuple(scene.velocity[b])
            body.velocity_func = self._drive if b == 0 else self._slide
            shape = pymunk.Circle(body, radius)
            shape.elasticity, shape.friction = bounce, 0.0
            shape.filter = pymunk.ShapeFilter(categories=1 if b == 0 else 2)  # for rays
            space.add(body, shape)
            self.bodies.append(body)

    def play(self, actions: np.ndarray) -> np.ndarray:
        """Returns where all bodies are after each control step, `[T, B, 2]`."""
        return np.array([self.step(int(action)) for action in actions])

    def step(self, action: int) -> list[tuple[float, float]]:
        """Plays one control step; returns where all bodies are."""
        self.heading = (self.heading + (action == RIGHT) - (action == LEFT)) % 16
        push = self.laws.thrust if action == THRUST else 0.0
        self.push = push * COS[self.heading], push * SIN[self.heading]
        for _ in range(self.substeps):
            self.space.step(CONTROL_STEP_S / self.substeps)
        return [tuple(body.position) for body in self.bodies]

    def _count(self, arbiter, space, data) -> None:
        self.contacts += 1

    def _drive(self, body, gravity, damping, dt) -> None:
        keep, (ax, ay), v = 1 / (1 + dt * self.laws.drag), self.push, body.velocity
        body.velocity = (v.x + dt * ax) * keep, (v.y + dt * ay) * keep

    def _slide(self, body, gravity, damping, dt) -> None:
        speed, slow = body.velocity.length, dt * self.laws.friction
        body.velocity = body.velocity * (0.0 if speed <= slow else 1 - slow / speed)


def _walls(wall: np.ndarray) -> list[list[tuple[int, int]]]:
    """Returns walls as rectangles, runs of cells joined, so that nothing catches on their seams."""
    left, found = wall.astype(bool).copy(), []
    for x, y in np.argwhere(wall).tolist():
        if not left[x, y]:
            continue
        wide = deep = 1
        while x + wide < len(wall) and left[x + wide, y]:
            wide += 1
        while wide == 1 and y + deep < wall.shape[1] and left[x, y + deep]:
            deep += 1
        left[x : x + wide, y : y + deep] = False
        found.append([(x, y), (x + wide, y), (x + wide, y + deep), (x, y + deep)])
    return found
