"""A world's design as the command line gives it: `--set KEY=VALUE`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import ValidationError

from whichgoal.explain import describe
from whichgoal.spec import cut_short, nest
from whichgoal.sweep.file.nodes import MOST_OF_KEY
from whichgoal.sweep.file.yaml_file import value_of

if TYPE_CHECKING:
    from whichgoal.envs.contract import Design, World


def design_from(world: World, settings: Iterable[str]) -> Design:
    """Returns the world's design with some keys set; the others keep their defaults.

    A setting is `key=value`, such as `size=9` or `agreement.arrow=0.5`; values as in YAML.

    Raises:
        ValueError: A setting is none, or the world has no such design; one line.
    """
    leaves = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise ValueError(
                f"--set {cut_short(setting)} given; allowed: KEY=VALUE, such as size=9"
            )
        if len(key) > MOST_OF_KEY:
            told = f"a key of {len(key):,} characters given; allowed: at most {MOST_OF_KEY}"
            raise ValueError(f"--set: {told}")
        try:
            leaves[key.removeprefix("world.")] = value_of(value)
        except ValueError as error:
            raise ValueError(f"--set {key}: {error}") from None
    for key in leaves:
        above = next((k for k in leaves if key.startswith(f"{k}.")), None)
        if above is not None:
            raise ValueError(f"--set {key} and --set {above} given; allowed: one of them")
    try:
        return world.Design.model_validate(nest(leaves))
    except ValidationError as error:
        raise ValueError(f"--set: {describe(error, world.Design)}") from None
