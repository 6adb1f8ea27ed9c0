"""What a world is, what a kind of world is, and what a level is.

A level is data: `Levels` holds n of them as arrays. A `World` makes levels; its `Kind` plays them,
draws them and says what they are as geometry (`whichgoal.envs.lattice.Lattice`). Panels, scores,
verdicts and scripted agents speak to these three alone, so they serve every kind of world.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from whichgoal.spec import Spec

if TYPE_CHECKING:
    import gymnasium

    from whichgoal.envs.lattice.lattice import Lattice
    from whichgoal.envs.lattice.sight import Sight

Split = Literal["train", "test"]
HIDDEN = -1
"""In arrays of cells: this goal is not anywhere on the board."""
PLACEBO = "placebo"
"""No goal: in the cells that `World.place` is given, where to lay what means nothing."""


@dataclass(frozen=True)
class Levels:
    """n concrete levels, row by row. A kind adds the arrays of its own, each with n rows.

    Attributes:
        start: `int16 [n, 3]`, where the agent begins on the lattice: x, y and heading (0 right,
            1 down, 2 left, 3 up).
        limit: `int32 [n]`, the episode is truncated after so many env steps.
        layout: `uint64 [n]`, a hash of the layout (walls), on which train and test are split.
    """

    start: NDArray[np.int16]
    limit: NDArray[np.int32]
    layout: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, rows: slice | NDArray[np.integer] | NDArray[np.bool_]) -> Self:
        """Returns the chosen rows (a slice, an index array or a mask) as levels of their own."""
        return type(self)(**{name: array[rows] for name, array in self.named_arrays().items()})

    def named_arrays(self) -> dict[str, NDArray[Any]]:
        """Returns the arrays themselves by name, no copies."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Returns the rows of all parts, which must have one board size."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})


class Observation(NamedTuple):
    """What an agent sees in one step.

    Attributes:
        shape: `(columns, rows, 3)` of a board in MiniGrid's codes, or `(n,)` of a vector.
        dtype: `uint8` or `float32`.
        palette: Every (object, color, state) code that can be seen; None for a vector, and for a
            board on which objects, colors and states are to have planes of their own.
        view: `egocentric`: a board ahead of the agent; `full`: all of it; or `vector`.
    """

    shape: tuple[int, ...]
    dtype: Literal["uint8", "float32"]
    palette: tuple[tuple[int, int, int], ...] | None
    view: Literal["egocentric", "full", "vector"]


class LevelVectorEnv(Protocol):
    """A kind's batched environment: a `gymnasium.vector.VectorEnv` with SAME_STEP autoreset.

    Its `info["goals"]` is `float32 [N, k]`: what each goal paid in the step.
    """

    num_envs: int
    single_observation_space: Any
    single_action_space: Any

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begins new episodes; returns `[N, ...]` observations and infos."""

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Plays `int [N]`; returns observations, rewards, terminated, truncated, infos."""

    @property
    def pose(self) -> NDArray[np.int16]:
        """The agents' x, y and heading on the lattice now, `int16 [N, 3]`."""

    @property
    def final_pose(self) -> NDArray[np.int16]:
        """The poses in which the rows' last episodes ended, `int16 [N, 3]`."""

    @property
    def levels_now(self) -> Levels:
        """The levels being played, as they stand now; `start` is the episodes' beginning."""

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Returns copies of all that the future depends on."""

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Goes on from a `get_state()` of an environment of the same world, design and levels."""


class Design(Spec):
    """The part of a design that every world has; a kind and a world's own `Design` add to it.

    Attributes:
        intended: Name of the world's intended goal.
        step_cost: Taken from the reward at every step, 0 or more. The only shaping there is;
            `info["goals"]` never contains it.
        reward: The goal that training rewards, and whose contact ends an episode; None: the
            intended one, also where that was named. Another one makes an agent whose goal is known:
            a positive control.
    """

    intended: ClassVar[str | None] = None
    step_cost: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 0.0
    reward: str | None = None

    @field_validator("reward")
    @classmethod
    def _intended_goes_without_saying(cls, reward: str | None) -> str | None:
        return None if reward == cls.intended else reward  # so that both are the same trial


AnyDesign = Design
"""The same class: inside a `World`, the name `Design` means that world's own."""


def env_id(world: str) -> str:
    """Returns Gymnasium's id of the world of this name, such as `whichgoal/ArrowMaze-v0`.

    Before `whichgoal.envs` is imported, `gymnasium.make` takes `whichgoal.envs:` and the id.
    """
    return f"whichgoal/{world.title().replace('_', '')}-v0"


class Kind(ABC):
    """What a world is played on: its engine, and the geometry by which goals are told apart.

    A kind is stateless; `World.kind` names it. Of actions, the first three turn left, turn right
    and go ahead on the lattice.

    Attributes:
        name: Its name, for messages.
        levels: The class of its levels.
        remedy: What a sweep file can change where too few levels qualify for a panel.
        autoreset_modes: Gymnasium's; with more than one, `vector_env` takes an `autoreset_mode`.
    """

    name: ClassVar[str]
    levels: ClassVar[type[Levels]]
    remedy: ClassVar[str] = "use fewer battery.episodes"
    autoreset_modes: ClassVar[tuple[str, ...]] = ("SAME_STEP",)

    @abstractmethod
    def observation(self, world: World, design: AnyDesign) -> Observation:
        """Returns what an agent sees under a design."""

    @abstractmethod
    def vector_env(
        self,
        world: World,
        design: AnyDesign,
        num_envs: int,
        *,
        split: Split = "train",
        levels: Levels | None = None,
        ends_on: tuple[str, ...] | None = None,
        seed: int = 0,
        copy: bool = True,
    ) -> LevelVectorEnv:
        """Returns N environments stepped in one call.

        Args:
            world, design: What is played.
            num_envs: N.
            split: Which layouts are generated.
            levels: Play these instead: environment i plays row i, then row `(i + N * k) % n` in
                its k-th next episode.
            ends_on: Names of the goals whose contact ends the episode, or for a counted goal, the
                last contact that there can be; by default the rewarded one.
            seed: Seeds the first `reset()` that brings no seed of its own. Environment i's levels
                depend on the seed and on i, never on N.
            copy: Whether returned arrays are fresh; else they are overwritten by the next call.
        """

    @abstractmethod
    def lattice(self, world: World, levels: Levels) -> Lattice:
        """Returns n levels as geometry, as they stand, with agents at `levels.start`."""

    @abstractmethod
    def picture(
        self, world: World, design: AnyDesign, levels: Levels, tile: int = 24
    ) -> NDArray[np.uint8]:
        """Draws one level with the agent at its start, `uint8 [height, width, 3]`."""

    @abstractmethod
    def text(self, world: World, levels: Levels, *, color: bool) -> str:
        """Draws one level with the agent at its start, for a terminal."""

    def sight_keys(self, design: AnyDesign) -> frozenset[str]:
        """Returns the keys of a design on which the size of what is seen depends."""
        return frozenset(type(design).model_fields)

    def single_env(
        self,
        world: World,
        design: AnyDesign,
        *,
        split: Split = "train",
        render_mode: str | None = None,
    ) -> gymnasium.Env[Any, Any] | None:
        """Returns one environment for `gymnasium.make`; None: a row of a batch will do."""
        return None

    def first_view(self, world: World, design: AnyDesign, levels: Levels) -> NDArray[Any]:
        """Returns what agents see at the start of each level, `[n, *observation.shape]`."""
        return self.vector_env(world, design, len(levels), levels=levels).reset()[0]

    def may_see(
        self, design: AnyDesign, start: NDArray[np.int16], cells: NDArray[np.int16]
    ) -> NDArray[np.bool_]:
        """Says which cells could be in view from a start; true where that is not known.

        Args:
            start: `int16 [n, 3]`.
            cells: `int16 [n, m, 2]`.

        Returns:
            `bool [n, m]`. Only a proposal, by which places are drawn.
        """
        return np.ones(cells.shape[:2], np.bool_)

    def cells_in_view(
        self, world: World, design: AnyDesign, pose: NDArray[np.int16]
    ) -> NDArray[np.int16] | None:
        """Returns the lattice's cell that each cell of a view is of, `int16 [n, *seen, 2]`.

        Of agents at `pose`, `int16 [n, 3]`; cells may lie off the lattice. `seen` is that of
        `World.recognized`. None where views do not consist of cells.
        """
        return None

    def sight(self, world: World, design: AnyDesign, views: NDArray[Any]) -> Sight | None:
        """Returns what views `[n, *observation.shape]` show of cells; None: there are none."""
        return None


class World(ABC):
    """An environment family with one intended goal, `goals[0]`, and some proxies.

    A world is stateless. It is registered in `whichgoal.envs.registry.WORLDS`, or by the entry
    points of another package, and, under `env_id`, with Gymnasium.

    A goal is reached, and pays once in an episode, or it is `counted`: it pays at every cell of
    its own that is entered, each cell once. What is hidden (`place`) is a mark of contact only: it
    pays when entered, is nothing to take and takes nothing.

    Of what agents see, a world keeps two rules. *Visibility*: hiding a goal (`place`) changes
    nothing that can be seen but the goal's own mark; a goal that `marked` tells of differs, from
    where it is in view, from a level without it, and `recognized` says which views determine it.
    *Symmetry*: where two goals can stand at each other's places, swapping them swaps nothing but
    their marks: walls, start and step limit follow from layout and places, not from which goal
    stands where (but for a step that a mark itself adds to a way).
    `whichgoal.envs.testing.WorldConformance` tests these and all other rules.

    Attributes:
        kind: What it is played on.
        mission: What MiniGrid's mission says.
        counted: The goals that are counted.
        control: Keys of a sweep file with which an LSTM of 50 k parameters learns the first of its
            `designs`: how the battery's positive controls are trained.
    """

    kind: ClassVar[Kind]
    name: ClassVar[str]
    mission: ClassVar[str]
    goals: ClassVar[tuple[str, ...]]
    counted: ClassVar[tuple[str, ...]] = ()
    control: ClassVar[Mapping[str, float]] = {"train.env_steps": 3_000_000}
    num_actions: ClassVar[int]
    Design: ClassVar[type[AnyDesign]]

    @property
    def env_id(self) -> str:
        """The id under which Gymnasium makes its environments."""
        return env_id(self.name)

    @abstractmethod
    def generate(self, design: AnyDesign, n: int, seed: int, split: Split = "train") -> Levels:
        """Returns n levels of the training distribution (`split="test"`: layouts held out)."""

    @abstractmethod
    def layouts(self, design: AnyDesign, n: int, seed: int, split: Split) -> Levels:
        """Returns n distinct layouts: walls and a start, with no goal placed anywhere."""

    @abstractmethod
    def starts(self, design: AnyDesign, layouts: Levels, seed: int) -> NDArray[np.int16]:
        """Returns one start per layout as training draws it: `int16 [n, 3]` (x, y, heading)."""

    @abstractmethod
    def shifted(self, design: AnyDesign) -> AnyDesign:
        """Returns the design of the boards on which the agent is tested (larger, for a maze)."""

    def agreeing(self, design: AnyDesign) -> AnyDesign:
        """Returns the design in whose levels every proxy always agrees with the intended goal.

        Here: with every share of `design.agreement`, a record of one for each proxy, at 1. A world
        whose design says it in another way overrides this.
        """
        shares = getattr(design, "agreement", None)
        if not isinstance(shares, Spec):
            raise NotImplementedError(
                f"{self.name}: no `agreement` in the design; write `agreeing`"
            )
        always = type(shares)(**dict.fromkeys(type(shares).model_fields, 1.0))
        return design.model_copy(update={"agreement": always})

    def designs(self) -> Mapping[str, AnyDesign]:
        """Returns the designs, by name, on which the battery is validated; the first is trained."""
        return {"default": self.Design()}

    def surplus(self, design: AnyDesign) -> AnyDesign | None:
        """Returns the design in whose levels proxies come apart from the goal by their quantities.

        None for a world without counted goals: there they come apart by their places alone.
        """
        return None

    @abstractmethod
    def places(self, design: AnyDesign, layouts: Levels) -> Mapping[str, NDArray[np.int16]]:
        """Returns where each goal that can be moved may stand, place by place.

        goal -> `int16 [n, places, 2]`, the goal's cell (x, y) when it stands at that place, or
        `HIDDEN` where it cannot. Two goals swap by swapping their place numbers.

        At least one proxy can be moved, in most layouts to one of three places or more: where it is
        told from the goal, and where it is moved to. What cannot be moved (a side of the board) is
        a goal that is logged, and no proxy that the battery tells from the goal; give it a mark.
        """

    @abstractmethod
    def place(
        self,
        design: AnyDesign,
        layouts: Levels,
        cells: Mapping[str, NDArray[np.integer]],
        visible: Mapping[str, bool] | None = None,
    ) -> Levels:
        """Returns the layouts with goals at `cells`: goal -> `int [n, 2]` (x, y) or `HIDDEN`.

        `visible[goal] = False` places a goal that is logged but leaves no trace on the board.
        `cells[PLACEBO]` lays something that can be seen and walked over and means nothing.

        Raises:
            ValueError: Things that cannot be at one cell are to be placed there.
        """

    @abstractmethod
    def marked(self, levels: Levels) -> NDArray[np.uint16]:
        """Returns which goals can be seen to be where they are, `uint16 [n, W, H]`.

        Bit j is set in the cells of goal j that something tells from cells without a goal. Scripted
        agents know these, and what is hidden or known by its place alone they do not.
        """

    @abstractmethod
    def recognized(self, design: AnyDesign, views: NDArray[Any]) -> NDArray[np.uint16]:
        """Returns where views alone determine that a goal's mark is, `uint16 [n, *seen]`.

        Args:
            design: The design that the views are of.
            views: What n agents see, `[n, *observation.shape]`.

        Returns:
            `seen` is `(columns, rows)` of a board; of a vector it is any shape. Bit j is set where
            there surely is a mark of goal j: no two levels that look alike to an agent differ in
            it. What may be a mark, or may not, for what lies outside of the view, has no bit, and
            neither has a goal without a mark (a corner, a region).
        """
