"""From dotted keys to a `TrialSpec`, and what a trial comes to: world, design, size. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from whichgoal.envs.registry import world_named
from whichgoal.explain import describe, record_of
from whichgoal.models.registry import with_defaults
from whichgoal.spec import (
    ModelSpec,
    PPOSpec,
    RuleError,
    Spec,
    TrainSpec,
    TrialSpec,
    WorldSpec,
    nest,
)

if TYPE_CHECKING:
    from whichgoal.envs.contract import Design, World
    from whichgoal.models.sizes import Size

SECTIONS: dict[str, type[Spec]] = {
    "world": WorldSpec,
    "model": ModelSpec,
    "train": TrainSpec,
    "ppo": PPOSpec,
}
"""The sections of `base`, and of the dotted keys of `axes`."""


def trial_spec(leaves: Mapping[str, Any], seed: int) -> TrialSpec:
    """Builds the trial that dotted keys describe, and fills in world's and architecture's defaults.

    Raises:
        ValueError: If there is no such world.
        pydantic.ValidationError: If a key or value is not allowed.
    """
    nested: dict[str, Any] = nest(with_defaults(leaves))
    world = dict(nested.get("world", {}))
    name = world.pop("name")
    design = world_named(name).Design.model_validate(world)
    nested["world"] = {"name": name, **design.model_dump(mode="json")}
    return TrialSpec.model_validate({**nested, "seed": seed})


def design_of(trial: TrialSpec) -> Design:
    """Returns the design of the trial's world.

    Raises:
        ValueError: If there is no such world, or it has no such design; one line.
    """
    model = world_named(trial.world.name).Design
    try:
        return model.model_validate(trial.world.design())
    except ValidationError as error:
        raise ValueError(f"world {trial.world.name}: {describe(error, model)}") from None


def dials_of(world: World) -> tuple[str, ...]:
    """Returns the proxies whose agreement with the goal the world's design sets, if any."""
    dials = record_of(world.Design.model_fields.get("agreement"))
    return () if dials is None else tuple(dials.model_fields)


def size_of(trial: TrialSpec) -> Size:
    """Returns the width and the numbers of parameters that the trial's capacity comes to.

    Raises:
        ValueError: If no width meets the capacity within 5 %.
    """
    return _size(trial.world.model_dump_json(), trial.model)


def check_boards(trial: TrialSpec) -> None:
    """Raises `ValueError` where the agent could not be run on the boards that it is tested on."""
    from whichgoal.models import sizes
    from whichgoal.models.registry import all_architectures

    design, world = design_of(trial), world_named(trial.world.name)
    own, other = (world.kind.observation(world, one) for one in (design, world.shifted(design)))
    if own.shape != other.shape and own.view == "vector":
        raise RuleError(
            f"vectors of {other.shape[0]} numbers at test, of {own.shape[0]} in training: world "
            f"{world.name!r} must show as many in both",
            "name",
        )
    trained, tested = own.shape[0], other.shape[0]
    if own.shape != other.shape and not sizes.architecture(trial.model).any_board:
        able = [name for name, one in all_architectures().items() if one.any_board]
        raise RuleError(
            f"boards of size {tested} at test, but {trial.model.arch!r} sees the whole board "
            f"through a layer made for size {trained}; allowed: test_size {trained}, "
            f"view: egocentric, or model.arch {', '.join(able)}",
            "test_size",
            "size",
            "view",
        )


@cache
def _size(world_json: str, model: ModelSpec) -> Size:
    from whichgoal.models import sizes
    from whichgoal.models.arithmetic import FACTORED_PLANES, Seen

    spec = WorldSpec.model_validate_json(world_json)
    world = world_named(spec.name)
    shape, dtype, palette, view = world.kind.observation(world, world.Design(**spec.design()))
    if (dtype, len(shape)) not in (("uint8", 3), ("float32", 1)):
        raise RuleError(
            f"world {world.name!r} shows {dtype} {shape}; allowed: uint8 (columns, rows, 3), or "
            "float32 (n,)",
            "name",
        )
    seen = Seen(1, 1, shape[0], "vector")
    if len(shape) == 3:
        planes = FACTORED_PLANES if palette is None else len(palette)
        seen = Seen(shape[0], shape[1], planes, view)
    return sizes.solve(model, seen, world.num_actions)
