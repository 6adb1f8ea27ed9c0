"""The parameters of the engine, checked: none with which a scene would blow up gets in."""

from __future__ import annotations

import math

from whichgoal.envs.physics.engine.dynamics import Laws

CONTROL_STEP_S = 0.2
"""Seconds of a control step, which is an env step."""
SMALLEST = 0.1
"""Least radius of a disc, in units: half the side of a cell holds five."""
_LARGEST = {"thrust": 100.0, "drag": 100.0, "friction": 100.0, "bounce": 1.0}
MOST_SUBSTEPS = 64


def laws(
    thrust: float = 6.0,
    drag: float = 3.0,
    friction: float = 3.0,
    bounce: float = 0.0,
    substeps: int = 4,
) -> Laws:
    """Returns the laws of scenes.

    Args:
        thrust: Acceleration of the agent ahead, units / s^2; with the drag, its speed comes to
            thrust / drag.
        drag: Of the agent, per second; more than 0.
        friction: Deceleration of sliding discs, units / s^2.
        bounce: Share of the speed of approach that is kept in a contact, 0 to 1.
        substeps: Of a control step of 0.2 s.

    Raises:
        ValueError: One is out of range, or the agent would get so fast that in a substep it moves
            by more than the radius of the smallest disc, and could pass through things.
    """
    given = {"thrust": thrust, "drag": drag, "friction": friction, "bounce": bounce}
    for name, value in given.items():
        missing = name == "drag" and value == 0
        if missing or not (math.isfinite(value) and 0 <= value <= _LARGEST[name]):
            least = "more than 0" if name == "drag" else "0"
            raise ValueError(f"{name} is {value}; allowed: {least} to {_LARGEST[name]:g}")
    if substeps not in range(1, MOST_SUBSTEPS + 1):
        raise ValueError(f"substeps is {substeps}; allowed: 1 to {MOST_SUBSTEPS}, a whole number")
    dt, speed = CONTROL_STEP_S / substeps, thrust / drag
    if speed * dt > SMALLEST * (1 + 1e-9):
        enough = math.ceil(speed * CONTROL_STEP_S / SMALLEST - 1e-9)
        more = f"{enough} substeps and more, or " if enough <= MOST_SUBSTEPS else ""
        raise ValueError(
            f"with thrust {thrust:g}, drag {drag:g} and {substeps} substeps the agent moves by "
            f"{speed * dt:.3g} units in a substep, and could pass through things; allowed: {more}"
            f"thrust / drag of at most {SMALLEST / dt:g}"
        )
    return Laws(
        float(thrust),
        float(drag),
        float(friction),
        float(bounce),
        dt,
        int(substeps),
        2 * SMALLEST / dt,
    )
