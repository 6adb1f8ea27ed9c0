"""Discs among the walls of a lattice: forces, drag, impulses, friction on the floor; compiled.

A control step is a number of substeps. In each, in this order (Chipmunk's):

1. Positions: x += dt v.
2. Contacts are found. What overlaps is moved apart along the line of centers, in proportion to the
   inverse masses; how fast it comes together says how fast it is to bounce.
3. Velocities, semi-implicit: the agent's v = (v + dt a) / (1 + dt drag), that of all other discs
   loses dt * friction by Coulomb's law of sliding on a floor, down to 0 exactly.
4. Contacts are solved by sequential impulses that are clamped as they add up (Catto, "Iterative
   dynamics with temporal coherence", 2005), without warm start: what was found in one substep is
   forgotten in the next.

A disc whose velocity is exactly 0 sleeps: it is not looked at until something touches it or the
ground draws it harder than friction holds it. So positions, velocities and headings are all there
is to a scene: it goes on from them bit by bit. No sum depends on other scenes, and compiled code
may not reorder any (no fastmath): a scene is the same alone and in every batch.

Letters: N scenes, B bodies (number 0 is the agent), W x H cells of side 1. x points right, y down.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.physics.engine.headings import COS, HEADINGS, SIN
from whichgoal.numba_cache import njit

LEFT, RIGHT, THRUST, COAST = range(4)
"""The actions: turn left or right by 22.5 degrees, push oneself ahead, do nothing."""
MARGIN = 1e-3
"""Units by which two discs may be apart, and count as touching."""
WALL = -1
"""In a contact, instead of the second body."""
NX, NY, LEAST, WANTED, IMPULSE = range(5)
"""What is kept of a contact: its normal, from the first body to the second; of a wall, the least
distance of the center along the way out of it; the speed of parting after the contact; the impulse
so far."""
_ROUNDS = 6  # of impulses over all contacts
_SEPARATIONS = 3  # of moving apart what overlaps
_SMALL = 1e-10  # changes of units, or of momentum, after which there is no further round
_COINCIDENT = 1e-9  # distance of centers below which they have no line


class Bodies(NamedTuple):
    """N scenes as compiled code takes them; what changes is changed in place.

    Attributes:
        wall: `uint8 [N, W, H]`, 1 where there is wall; the border always is.
        at: `float64 [N, B, 2]`, centers.
        velocity: `float64 [N, B, 2]`, units per second.
        heading: `int64 [N]`, the agents', 0 to 15.
        radius: `float64 [N, B]`.
        inverse_mass: `float64 [N, B]`; 0: there is no such body.
        ground: `float64 [N, 5]`, how the ground draws: (gx, gy, g, cx, cy). It falls evenly, which
            accelerates by (gx, gy), and toward a lowest point c, at r from which it accelerates by
            -g r / sqrt(1 + r^2): a bowl there, and a cone of steepness g farther out.
    """

    wall: NDArray[np.uint8]
    at: NDArray[np.float64]
    velocity: NDArray[np.float64]
    heading: NDArray[np.int64]
    radius: NDArray[np.float64]
    inverse_mass: NDArray[np.float64]
    ground: NDArray[np.float64]


class Laws(NamedTuple):
    """What holds in all scenes; see `laws`.

    Attributes:
        thrust: Acceleration of the agent ahead, units / s^2.
        drag: Of the agent, per second.
        friction: Deceleration of sliding discs, units / s^2.
        bounce: Share of the speed of approach that is kept, 0 to 1.
        dt: Seconds of a substep.
        substeps: Of a control step.
        fastest: No disc is faster, units / s: a substep leads less far than the smallest is wide.
    """

    thrust: float
    drag: float
    friction: float
    bounce: float
    dt: float
    substeps: int
    fastest: float


@njit(cache=True)
def step(laws, actions, bodies, touched):
    """Plays one control step of every scene.

    Args:
        laws: `Laws`.
        actions: `int64 [N]`, `LEFT`, `RIGHT`, `THRUST`; any other is `COAST`.
        bodies: `Bodies`, changed in place.
        touched: `int64 [N]`, written: the bits of the discs that the agent was in contact with.
    """
    count = bodies.radius.shape[1]
    most = count * (count - 1) // 2 + 8 * count
    pair, line = np.empty((most, 2), np.int64), np.empty((most, 5))
    awake = np.empty(count, np.bool_)
    for i in range(len(actions)):
        heading = bodies.heading[i]
        if actions[i] == LEFT:
            heading = (heading + HEADINGS - 1) % HEADINGS
        elif actions[i] == RIGHT:
            heading = (heading + 1) % HEADINGS
        bodies.heading[i] = heading
        push = laws.thrust if actions[i] == THRUST else 0.0
        touched[i] = _step_scene(
            laws,
            push * COS[heading],
            push * SIN[heading],
            bodies.wall[i],
            bodies.at[i],
            bodies.velocity[i],
            bodies.radius[i],
            bodies.inverse_mass[i],
            bodies.ground[i],
            pair,
            line,
            awake,
        )


@njit(cache=True)
def _step_scene(laws, ax, ay, wall, at, velocity, radius, inverse, ground, pair, line, awake):
    """Plays one control step of a scene; returns the bits of what the agent touched."""
    for b in range(len(at)):
        awake[b] = inverse[b] > 0.0 and (b == 0 or velocity[b, 0] != 0.0 or velocity[b, 1] != 0.0)
    touched = 0
    for _ in range(laws.substeps):
        for b in range(len(at)):
            if awake[b]:
                at[b, 0] += laws.dt * velocity[b, 0]
                at[b, 1] += laws.dt * velocity[b, 1]
        contacts = _find(wall, at, radius, inverse, pair, line, awake)
        if contacts > 0:
            touched |= _approach(laws.bounce, velocity, pair, line, contacts)
            for _ in range(_SEPARATIONS):
                if not _separate(at, radius, inverse, pair, line, contacts):
                    break
        _accelerate(laws, ax, ay, at, velocity, inverse, ground, awake)
        if contacts > 0:
            _solve(velocity, inverse, pair, line, contacts)
        _limit(velocity, laws.fastest)
    return touched


@njit(cache=True)
def _accelerate(laws, ax, ay, at, velocity, inverse, ground, awake):
    """Step 3 of the top of the file; wakes what lies on ground that is too steep for it."""
    level = ground[0] == 0.0 and ground[1] == 0.0 and ground[2] == 0.0
    keep, slow = 1.0 / (1.0 + laws.dt * laws.drag), laws.dt * laws.friction
    for b in range(len(at)):
        if not awake[b] and (level or inverse[b] == 0.0):
            continue
        vx, vy = velocity[b, 0], velocity[b, 1]
        if not level:
            dx, dy = at[b, 0] - ground[3], at[b, 1] - ground[4]
            pull = ground[2] / np.sqrt(1.0 + dx * dx + dy * dy)
            vx += laws.dt * (ground[0] - pull * dx)
            vy += laws.dt * (ground[1] - pull * dy)
        if b == 0:
            vx, vy = (vx + laws.dt * ax) * keep, (vy + laws.dt * ay) * keep
        else:
            speed = np.sqrt(vx * vx + vy * vy)
            if speed <= slow:
                vx, vy = 0.0, 0.0
            else:
                left = 1.0 - slow / speed
                vx, vy = vx * left, vy * left
                awake[b] = True
        velocity[b, 0], velocity[b, 1] = vx, vy


@njit(cache=True)
def _find(wall, at, radius, inverse, pair, line, awake):
    """Lists the contacts of what is awake, which wakes what it touches; returns how many."""
    found = 0
    for b in range(len(at)):
        if inverse[b] == 0.0:
            continue
        for c in range(b + 1, len(at)):
            if not (awake[b] or awake[c]) or inverse[c] == 0.0:
                continue
            dx, dy = at[c, 0] - at[b, 0], at[c, 1] - at[b, 1]
            reach = radius[b] + radius[c] + MARGIN
            if dx * dx + dy * dy < reach * reach:
                awake[b] = awake[c] = True
                pair[found, 0], pair[found, 1] = b, c
                _aim(at, pair, line, found)
                found += 1
    for b in range(len(at)):
        if awake[b]:
            found = _find_walls(wall, at[b, 0], at[b, 1], radius[b], b, pair, line, found)
    return found


@njit(cache=True)
def _aim(at, pair, line, k):
    """Writes the line of centers of the k-th contact, of two discs; returns their distance."""
    b, c = pair[k, 0], pair[k, 1]
    dx, dy = at[c, 0] - at[b, 0], at[c, 1] - at[b, 1]
    distance = np.sqrt(dx * dx + dy * dy)
    if distance < _COINCIDENT:
        line[k, NX], line[k, NY] = 1.0, 0.0
        return 0.0
    line[k, NX], line[k, NY] = dx / distance, dy / distance
    return distance


@njit(cache=True)
def _parting(velocity, pair, line, k):
    """Returns how fast the two of the k-th contact part, along its normal."""
    b, c = pair[k, 0], pair[k, 1]
    vx, vy = -velocity[b, 0], -velocity[b, 1]
    if c != WALL:
        vx, vy = vx + velocity[c, 0], vy + velocity[c, 1]
    return vx * line[k, NX] + vy * line[k, NY]


@njit(cache=True)
def _approach(bounce, velocity, pair, line, contacts):
    """Writes how fast each contact is to part; returns the bits of what the agent touches."""
    touched = 0
    for k in range(contacts):
        parting = _parting(velocity, pair, line, k)
        line[k, WANTED] = -bounce * parting if parting < 0.0 else 0.0
        line[k, IMPULSE] = 0.0
        if pair[k, 0] == 0 and pair[k, 1] != WALL:
            touched |= 1 << pair[k, 1]
    return touched


@njit(cache=True)
def _find_walls(wall, x, y, radius, b, pair, line, found):
    """Lists the contacts of one disc with cells of wall; returns how many there are by then."""
    reach = radius + MARGIN
    first_x, last_x = _floor(x - reach), _floor(x + reach)
    first_y, last_y = _floor(y - reach), _floor(y + reach)
    if first_x >= 0 and first_y >= 0 and last_x < wall.shape[0] and last_y < wall.shape[1]:
        near = wall[first_x, first_y] | wall[first_x, last_y]
        if near | wall[last_x, first_y] | wall[last_x, last_y] == 0 and radius <= 0.5:
            return found
    for cx in range(first_x, last_x + 1):
        for cy in range(first_y, last_y + 1):
            if not _is_wall(wall, cx, cy) or found == len(pair):
                continue
            distance, nx, ny = from_cell(wall, cx, cy, x, y)
            if distance < reach and (nx != 0.0 or ny != 0.0):
                pair[found, 0], pair[found, 1] = b, WALL
                line[found, NX], line[found, NY] = -nx, -ny
                line[found, LEAST] = x * nx + y * ny + radius - distance
                found += 1
    return found


@njit(cache=True)
def _floor(x):
    """Returns the floor of a coordinate as an integer; 0 of what is no number."""
    return int(np.floor(x)) if -1e9 < x < 1e9 else 0


@njit(cache=True)
def from_cell(wall, cx, cy, x, y):
    """Returns how far a point is from a cell of wall, and the way out, a unit vector.

    The way out is (0, 0) where the nearest point is a corner that lies inside of a longer wall: the
    next cell's face holds the disc there, and nothing catches on the seam. A center inside of a
    cell has a negative distance, and goes out by the nearest open side.
    """
    dx = x - min(max(x, float(cx)), cx + 1.0)
    dy = y - min(max(y, float(cy)), cy + 1.0)
    if dx != 0.0 or dy != 0.0:
        if dx != 0.0 and dy != 0.0:
            beside_x, beside_y = (cx + 1 if dx > 0 else cx - 1), (cy + 1 if dy > 0 else cy - 1)
            if _is_wall(wall, beside_x, cy) or _is_wall(wall, cx, beside_y):
                return 0.0, 0.0, 0.0
        distance = np.sqrt(dx * dx + dy * dy)
        return distance, dx / distance, dy / distance
    best, nx, ny = 2.0, 0.0, 0.0
    for side in range(4):
        along, way = side & 1, 1 - (side & 2)
        ox, oy = (0, way) if along else (way, 0)
        into = (y - cy) if along else (x - cx)
        depth = 1.0 - into if way > 0 else into
        if depth < best and not _is_wall(wall, cx + ox, cy + oy):
            best, nx, ny = depth, float(ox), float(oy)
    return -best, nx, ny


@njit(cache=True)
def _is_wall(wall, cx, cy):
    """Whether there is wall at a cell; beyond the board there is."""
    return cx < 0 or cy < 0 or cx >= wall.shape[0] or cy >= wall.shape[1] or wall[cx, cy] != 0


@njit(cache=True)
def _separate(at, radius, inverse, pair, line, contacts):
    """Moves apart, contact by contact, what overlaps; returns whether anything did."""
    moved = False
    for k in range(contacts):
        b, c = pair[k, 0], pair[k, 1]
        if c == WALL:
            nx, ny = line[k, NX], line[k, NY]
            depth = line[k, LEAST] + at[b, 0] * nx + at[b, 1] * ny
            shift_b, shift_c = depth, 0.0
        else:
            depth = radius[b] + radius[c] - _aim(at, pair, line, k)
            nx, ny = line[k, NX], line[k, NY]
            share = depth / (inverse[b] + inverse[c])
            shift_b, shift_c = share * inverse[b], share * inverse[c]
        if depth > 0.0:
            moved = moved or depth > _SMALL
            at[b, 0] -= nx * shift_b
            at[b, 1] -= ny * shift_b
            if c != WALL:
                at[c, 0] += nx * shift_c
                at[c, 1] += ny * shift_c
    return moved


@njit(cache=True)
def _solve(velocity, inverse, pair, line, contacts):
    """Step 4 of the top of the file."""
    for _ in range(_ROUNDS):
        settled = True
        for k in range(contacts):
            b, c = pair[k, 0], pair[k, 1]
            inverse_c = inverse[c] if c != WALL else 0.0
            lacking = line[k, WANTED] - _parting(velocity, pair, line, k)
            before = line[k, IMPULSE]
            impulse = max(before + lacking / (inverse[b] + inverse_c), 0.0)
            more = impulse - before
            line[k, IMPULSE] = impulse
            settled = settled and abs(more) < _SMALL
            nx, ny = line[k, NX] * more, line[k, NY] * more
            velocity[b, 0] -= nx * inverse[b]
            velocity[b, 1] -= ny * inverse[b]
            if c != WALL:
                velocity[c, 0] += nx * inverse_c
                velocity[c, 1] += ny * inverse_c
        if settled:
            break


@njit(cache=True)
def _limit(velocity, fastest):
    """Keeps every disc below the speed at which it could pass through another one."""
    for b in range(len(velocity)):
        squared = velocity[b, 0] * velocity[b, 0] + velocity[b, 1] * velocity[b, 1]
        if squared > fastest * fastest:
            share = fastest / np.sqrt(squared)
            velocity[b, 0] *= share
            velocity[b, 1] *= share
