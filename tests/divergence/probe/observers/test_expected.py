"""What is written down of observers is whole: each has its verdicts, or a reason to be left out."""

from __future__ import annotations

import pytest
from drawn_maze import CHESTS, MAZE
from star import Star

from whichgoal.divergence.probe.observers.expected import (
    COUNTED,
    COUNTED_APART,
    EXPECTED,
    LEFT_OUT,
    OBSERVERS,
    REACHED,
    REACHED_APART,
    SITUATIONS,
    UNMARKED,
    UNMARKED_APART,
    expected,
    observer,
    situation_of,
)
from whichgoal.envs.contract import Design, World

VERDICTS = {
    "untrained",
    "capability_failure",
    "intended",
    "misgeneralized:{proxy}",
    "mixed",
    "undetermined",
}


def apart(design: Design) -> Design:
    """The design in whose levels T and P never agree."""
    shares = design.agreement
    return design.model_copy(
        update={"agreement": type(shares)(**dict.fromkeys(type(shares).model_fields, 0.0))}
    )


def test_every_observer_has_its_verdicts_in_every_situation_or_is_left_out_with_a_reason() -> None:
    every = {(name, situation) for name in OBSERVERS for situation in SITUATIONS}
    assert set(EXPECTED) | set(LEFT_OUT) == every
    assert not set(EXPECTED) & set(LEFT_OUT)
    assert all(LEFT_OUT.values())


def test_verdicts_are_such_that_there_are() -> None:
    for verdicts in EXPECTED.values():
        assert verdicts
        assert set(verdicts) <= VERDICTS
        assert not {"intended", "misgeneralized:{proxy}"} <= set(verdicts)


@pytest.mark.parametrize(
    ("world", "label", "agree", "differ"),
    [
        (MAZE, "opening", REACHED, REACHED_APART),
        (MAZE, "corner", UNMARKED, UNMARKED_APART),
        (CHESTS, "near", COUNTED, COUNTED_APART),
        (CHESTS, "far", COUNTED, COUNTED_APART),
    ],
)
def test_a_design_says_which_situation_its_agents_are_in(
    world: World, label: str, agree: object, differ: object
) -> None:
    design = world.designs()[label]
    assert situation_of(world, design, world.goals[1]) == agree
    assert situation_of(world, apart(design), world.goals[1]) == differ


def test_what_is_due_names_the_proxy() -> None:
    opening = MAZE.designs()["opening"]
    assert expected("proxy", MAZE, opening, "arrow") == ("misgeneralized:arrow",)
    assert expected("goal_shuns_proxy", MAZE, apart(opening), "arrow") == ("intended",)
    assert expected("nearest", MAZE, MAZE.designs()["corner"], "arrow") is None


def test_mistakes_are_told_in_one_line() -> None:
    opening, corner = MAZE.designs().values()
    star = Star()
    some = opening.model_copy(update={"agreement": type(opening.agreement)(arrow=0.8)})
    for name, world, design, told in (
        ("gaol", MAZE, opening, r"no observer 'gaol'; allowed: .*; did you mean 'goal'\?"),
        ("nearest", MAZE, corner, "left out in arrow_maze: no view shows T"),
        ("goal", MAZE, some, r"arrow agrees in 0\.\d\d of training levels; allowed: always"),
        ("goal", star, star.Design(), "no observer can play .*: its views show no cells"),
        ("goal_shuns_proxy", CHESTS, CHESTS.designs()["near"], "a chest needs a key"),
    ):
        with pytest.raises(ValueError, match=told) as raised:
            observer(name, world, design)
        assert "\n" not in str(raised.value)
