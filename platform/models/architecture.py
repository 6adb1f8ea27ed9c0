"""What an architecture is, in one record: its class, cost, options and default hyper-parameters.

Torch-free, so that a sweep can be planned without it: the class is named, and imported only when a
network is made.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from whichgoal.models.arithmetic import Cost, Seen
from whichgoal.spec import ModelSpec, cut_short

if TYPE_CHECKING:
    from whichgoal.models.contract import Core


@dataclass(frozen=True)
class Architecture:
    """All that the platform knows of an architecture; `whichgoal.models.MODELS` names the record.

    Attributes:
        core: Its network: a `whichgoal.models.contract.Core`, or where that is, "module:Class".
        cost: Its arithmetic: (seen, features, width, model) -> `Cost`.
        ratio: `width` is about so many times `features`.
        earlier_ratios: What that was by the rules before, oldest first, where the dimensions have
            come to mean something else: `ModelSpec.sizing` says by which rule a network was made,
            to `core` and `cost` as well.
        grain: `features` is a multiple of this.
        options: The options that it has, and their defaults: of those of `ModelSpec`, such as
            `layers`, and of its own, under any other names; both are whole numbers of at least 1.
            `ModelSpec.options` has the values when `core` and `cost` are called.
        any_board: Whether a policy can play boards of other sizes than those of training though it
            sees all of them.
        vectors: Whether it takes observations that are vectors.
        defaults: Hyper-parameters that it is trained with unless a sweep file says otherwise, under
            dotted keys as there. What is not here is the default of `whichgoal.spec`. A sweep that
            compares architectures tunes the learning rate for each (`tune`): these are where that
            begins, not a replacement for it.
    """

    core: str | type[Core]
    cost: Callable[[Seen, int, int, ModelSpec], Cost]
    ratio: float = 1.0
    earlier_ratios: Sequence[float] = ()
    grain: int = 1
    options: Mapping[str, int] = field(default_factory=dict)
    any_board: bool = True
    vectors: bool = True
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def ratio_of(self, model: ModelSpec) -> float:
        """Returns `width` over `features`, by the rule that a network is made by."""
        ratios = (*self.earlier_ratios, self.ratio)
        return ratios[(model.sizing or len(ratios)) - 1]

    def core_class(self) -> type[Core]:
        """Returns the network's class; this is what imports torch.

        Raises:
            ValueError: It cannot be imported; one line.
        """
        if not isinstance(self.core, str):
            return self.core
        module, _, name = self.core.partition(":")
        try:
            found: type[Core] = getattr(importlib.import_module(module), name)
        except (Exception, SystemExit) as error:  # whatever a module does as it is imported
            why = cut_short(f"{type(error).__name__}: {error}")
            raise ValueError(f"{self.core} cannot be imported: {why}") from error
        return found
