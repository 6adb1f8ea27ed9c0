"""What a world is, and what a level is.

A level is data: `Levels` holds n of them as arrays. A `World` makes levels; the engine
(`whichgoal.envs.grid.engine.dynamics`) plays them; neither knows the other's insides.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, StrictInt, field_validator

from whichgoal.spec import Spec

Split = Literal["train", "test"]
HIDDEN = -1
"""In arrays of cells: this goal is not anywhere on the board."""
PLACEBO = "placebo"
"""No goal: in the cells that `World.place` is given, where to lay the tile that means nothing."""
PLACEBO_CODE = (3, 2, 0)
"""How it looks: blue floor, which no world uses for anything else."""
MAX_VIEW = 61
"""Largest side of the egocentric view: a row of it is kept as the bits of one integer."""


class LevelArrays(NamedTuple):
    """The arrays of `Levels`, in their order, as compiled code takes them."""

    board: NDArray[np.uint8]
    contents: NDArray[np.int64]
    start: NDArray[np.int16]
    carrying: NDArray[np.int64]
    goal_map: NDArray[np.uint16]
    limit: NDArray[np.int32]
    layout: NDArray[np.uint64]


@dataclass(frozen=True)
class Levels:
    """n concrete levels of one board size, row by row. x counts columns, y rows, as in MiniGrid.

    Attributes:
        board: `uint8 [n, width, height, 3]`, MiniGrid's (object, color, state) codes at [x, y].
        contents: `int64 [n, width, height]`, what a box at [x, y] holds, packed (`pack_object`);
            0 where there is nothing.
        start: `int16 [n, 3]`, the agent's x, y and heading (0 right, 1 down, 2 left, 3 up).
        carrying: `int64 [n]`, the packed object that the agent starts with; 0 for none.
        goal_map: `uint16 [n, width, height]`, bit j is set where entering the cell pays goal j.
        limit: `int32 [n]`, the episode is truncated after so many env steps.
        layout: `uint64 [n]`, a hash of the layout (walls), on which train and test are split.
    """

    board: NDArray[np.uint8]
    contents: NDArray[np.int64]
    start: NDArray[np.int16]
    carrying: NDArray[np.int64]
    goal_map: NDArray[np.uint16]
    limit: NDArray[np.int32]
    layout: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.board)

    def __getitem__(self, rows: slice | NDArray[np.integer] | NDArray[np.bool_]) -> Levels:
        """Returns the chosen rows (a slice, an index array or a mask) as levels of their own."""
        return Levels(**{name: getattr(self, name)[rows] for name in LevelArrays._fields})

    @property
    def width(self) -> int:
        """Columns of the board, border included."""
        return self.board.shape[1]

    @property
    def height(self) -> int:
        """Rows of the board, border included."""
        return self.board.shape[2]

    @property
    def arrays(self) -> LevelArrays:
        """The arrays themselves, no copies."""
        return LevelArrays(*(getattr(self, name) for name in LevelArrays._fields))

    @property
    def objects(self) -> NDArray[np.bool_]:
        """Where anything but a wall lies, `bool [n, width, height]`."""
        return (self.board != (1, 0, 0)).any(axis=3) & (self.board[..., 0] != 2)

    @staticmethod
    def empty(n: int, width: int, height: int) -> Levels:
        """Returns n levels of empty cells, to be filled in."""
        board = np.zeros((n, width, height, 3), np.uint8)
        board[..., 0] = 1
        return Levels(
            board=board,
            contents=np.zeros((n, width, height), np.int64),
            start=np.zeros((n, 3), np.int16),
            carrying=np.zeros(n, np.int64),
            goal_map=np.zeros((n, width, height), np.uint16),
            limit=np.zeros(n, np.int32),
            layout=np.zeros(n, np.uint64),
        )

    @staticmethod
    def concatenate(parts: list[Levels]) -> Levels:
        """Returns the rows of all parts, which must have one board size."""
        return Levels(*map(np.concatenate, zip(*(part.arrays for part in parts), strict=True)))


VIEW_SIZES = f"odd numbers from 3 to {MAX_VIEW}"
"""What `is_view_size` allows, in words."""


def is_view_size(side: int) -> bool:
    """Whether an egocentric view can have this side."""
    return 3 <= side <= MAX_VIEW and side % 2 == 1


class Design(Spec):
    """The part of a design that every world has; a world's own `Design` adds its dials.

    Attributes:
        intended: Name of the world's intended goal.
        size: Columns (and rows) of the board, border walls included, as in MiniGrid.
        view: `egocentric`: MiniGrid's partial view ahead of the agent; `full`: the whole board.
        agent_view_size: Side of the egocentric view: odd, from 3 to 61.
        see_through_walls: Whether walls hide what is behind them.
        step_cost: Taken from the reward at every step, 0 or more. The only shaping there is;
            `info["goals"]` never contains it.
        reward: The goal that training rewards, and whose contact ends an episode; None: the
            intended one, also where that was named. Another one makes an agent whose goal is known:
            a positive control.
    """

    intended: ClassVar[str | None] = None
    size: StrictInt = 11
    view: Literal["egocentric", "full"] = "egocentric"
    agent_view_size: StrictInt = 7
    see_through_walls: bool = False
    step_cost: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 0.0
    reward: str | None = None

    @field_validator("agent_view_size")
    @classmethod
    def _view_is_possible(cls, side: int) -> int:
        if not is_view_size(side):
            raise ValueError(f"{side} given; allowed: {VIEW_SIZES}")
        return side

    @field_validator("reward")
    @classmethod
    def _intended_goes_without_saying(cls, reward: str | None) -> str | None:
        return None if reward == cls.intended else reward  # so that both are the same trial


AnyDesign = Design
"""The same class: inside a `World`, the name `Design` means that world's own."""

Fill = Callable[..., None]
"""A compiled level generator, see `World.fill`."""


def env_id(world: str) -> str:
    """Returns Gymnasium's id of the world of this name, such as `whichgoal/ArrowMaze-v0`."""
    return f"whichgoal/{world.title().replace('_', '')}-v0"


class World(ABC):
    """An environment family with one intended goal, `goals[0]`, and some proxies.

    A world is stateless. It is registered in `whichgoal.envs.registry.WORLDS` and, under `env_id`,
    with Gymnasium.

    A goal is reached, and pays once in an episode, or it is `counted`: it pays at every cell of
    its own that is entered, each cell once. What is hidden (`place`) is a mark of contact only: it
    pays when entered, is nothing to take and takes nothing.

    Attributes:
        mission: What MiniGrid's mission says.
        counted: The goals that are counted.
        collects: Whether entering a key's cell takes the key, and a box is opened by entering its
            cell with a key, which that uses up; without a key a box is in the way. Of the keys in
            hand one is seen, as MiniGrid shows what is carried: at the agent's own cell of its
            view. Where the whole board is seen, the agent has the color of what it carries.
        control: Keys of a sweep file with which an LSTM of 50 k parameters learns the first of its
            `designs`: how the battery's positive controls are trained.
    """

    name: ClassVar[str]
    mission: ClassVar[str]
    goals: ClassVar[tuple[str, ...]]
    counted: ClassVar[tuple[str, ...]] = ()
    collects: ClassVar[bool] = False
    control: ClassVar[Mapping[str, float]] = {"train.env_steps": 3_000_000}
    num_actions: ClassVar[int]
    Design: ClassVar[type[AnyDesign]]

    @property
    def env_id(self) -> str:
        """The id under which Gymnasium makes its environments."""
        return env_id(self.name)

    @abstractmethod
    def palette(self, design: AnyDesign) -> tuple[tuple[int, int, int], ...]:
        """Returns every (object, color, state) code that an observation can show."""

    @abstractmethod
    def fill(self, design: AnyDesign, split: Split) -> tuple[Fill, tuple[float, ...]]:
        """Returns the compiled generator of the training distribution, and its parameters.

        The generator is called as `fill(params, streams, rows, levels)`: `params` is `float64 [p]`,
        `streams` is `uint64 [N]` (one random stream per row, see `whichgoal.envs.rng`), `rows` is
        `int64 [m]`, the rows to write, and `levels` is `LevelArrays` of N rows. It overwrites the
        given rows entirely.
        """

    @abstractmethod
    def layouts(self, design: AnyDesign, n: int, seed: int, split: Split) -> Levels:
        """Returns n distinct layouts: walls and a start, with no goal placed anywhere."""

    @abstractmethod
    def starts(self, design: AnyDesign, layouts: Levels, seed: int) -> NDArray[np.int16]:
        """Returns one start per layout as training draws it: `int16 [n, 3]` (x, y, heading)."""

    @abstractmethod
    def shifted(self, design: AnyDesign) -> AnyDesign:
        """Returns the design of the boards on which the agent is tested (larger, for a maze)."""

    @abstractmethod
    def agreeing(self, design: AnyDesign) -> AnyDesign:
        """Returns the design in whose levels every proxy always agrees with the intended goal."""

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
        `cells[PLACEBO]` lays a tile that can be seen and walked over and means nothing.

        Raises:
            ValueError: Things that cannot be at one cell are to be placed there.
        """

    def generate(self, design: AnyDesign, n: int, seed: int, split: Split = "train") -> Levels:
        """Returns n levels of the training distribution (`split="test"`: layouts held out)."""
        from whichgoal.envs.rng import seed_streams

        levels = Levels.empty(n, design.size, design.size)
        fill, params = self.fill(design, split)
        fill(np.array(params, np.float64), seed_streams(seed, n), np.arange(n), levels.arrays)
        return levels


def lay_placebo(levels: Levels, cells: Mapping[str, NDArray[np.integer]]) -> None:
    """Lays the placebo on boards where `cells` says so; `World.place` ends with this.

    Raises:
        ValueError: A cell is not empty.
    """
    at = cells.get(PLACEBO)
    if at is None:
        return
    rows = np.flatnonzero(np.asarray(at)[:, 0] != HIDDEN)
    x, y = np.asarray(at)[rows].T
    taken = (levels.board[rows, x, y] != (1, 0, 0)).any(axis=1)
    if taken.any():
        row = rows[taken][0]
        raise ValueError(
            f"the {PLACEBO} of row {row} is to lie at {tuple(np.asarray(at)[row].tolist())}; "
            "allowed: an empty cell"
        )
    levels.board[rows, x, y] = PLACEBO_CODE


def pack_object(kind: int, color: int, state: int, contents: int = 0) -> int:
    """Packs an object, and the stack of what it contains, into one integer.

    Nine bits per object (4 type, 3 color, 2 state), innermost highest, so a box in a box fits.
    """
    return int(kind) | int(color) << 4 | int(state) << 7 | int(contents) << 9
