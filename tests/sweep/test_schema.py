"""The JSON schema that editors read, held against the parser on good and bad files."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweep_mistakes import DOCUMENT, FULL, ONE_BY_ONE, changed, paths

from whichgoal.cli.main import main
from whichgoal.spec import ModelSpec, PPOSpec, TrainSpec, flat
from whichgoal.sweep.file.check import load
from whichgoal.sweep.file.yaml_file import SweepError, read
from whichgoal.sweep.schema import schema
from whichgoal.sweep.schema_keys import descriptions

SWEEPS = Path(__file__).parents[2] / "sweeps"
FILES = sorted(SWEEPS.glob("*.yaml"))
SCHEMA = schema()
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)

STRICTER = {
    "several values tied together": r"must divide|must be below|would be left|not be what is sca"
    r"|rooms: there must|comes within 5%|sees the whole board|to deal out equally",
    "an option that the architecture does not have": r"'\w+' has no (ticks|memory|layers)",
    "low < high": r"allowed: \[low, high\], low < high",
    "which axes there are": r"is no axis of all cells|^if: |is an axis already",
    "which axes vary": r"answer\.axis: \S+ (has the same value in all cells|is searched by)",
    "a name in two sections": r"is in both (tune|explore) and axes",
    "lists of zip groups of one length": r"they go together",
    "cells or rows given twice": r"the same trials twice|is listed twice",
    "a world has to be named somewhere": r"world\.name is missing",
    "which keys a world of several, or an unnamed one, has": r"world: unknown key",
    "a search has to have a key": r"nothing to search",
    "a dotted key and the same, nested": r"is given twice|has a value of its own",
    "a float where only a whole number's spelling will do": r"\d\.0 given; allowed: a whole number"
    r"|[\[\s]-?\d+\.0[,\]]",
    "a duration of nothing": r"limits\.time: .* greater than 0",
}
"""What the parser refuses and the schema cannot: a rule, and what the parser then says."""


def excused(problem: str) -> str | None:
    """Returns the rule of `STRICTER` that a problem is of, None if it is of none."""
    text = problem.split(": ", 1)[1]
    return next((rule for rule, said in STRICTER.items() if re.search(said, text)), None)


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[str]]:
    path = tmp_path_factory.mktemp("parsed") / "sweep.yaml"

    def problems(text: str) -> list[str]:
        path.write_text(text)
        try:
            load(path)
        except SweepError as error:
            return [problem.split("sweep.yaml:", 1)[1] for problem in error.problems]
        return []

    return problems


def said(value: Any) -> list[str]:
    """Returns what the schema says of a file's content."""
    return [f"{list(e.absolute_path)}: {e.message}" for e in VALIDATOR.iter_errors(value)]


def test_the_schema_is_a_schema():
    jsonschema.Draft7Validator.check_schema(SCHEMA)


def test_the_shipped_schema_is_the_one_that_the_types_make(capsys):
    assert main(["schema"]) == 0
    shown = capsys.readouterr().out
    assert (SWEEPS / "schema.json").read_text() == shown, (
        "the types have changed: whichgoal schema > sweeps/schema.json"
    )
    assert json.loads(shown) == SCHEMA


@pytest.mark.parametrize("path", [*FILES, FULL], ids=lambda path: path.stem)
def test_a_shipped_sweep_is_right_by_the_schema(path):
    assert said(read(path).value) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_shipped_sweep_names_the_schema_for_editors_in_its_first_line(path):
    first = path.read_text().splitlines()[0]
    named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert named, first
    assert (path.parent / named[1]).samefile(SWEEPS / "schema.json")


def test_every_key_says_something_where_an_editor_points_at_it():
    for name, part in SCHEMA["definitions"].items():
        if not name.startswith("one or a list"):
            assert part.get("description"), name
    for name, part in SCHEMA["properties"].items():
        assert part.get("description"), name
    for section in ("tune", "explore", "battery", "resources", "limits"):
        for name, part in SCHEMA["properties"][section]["properties"].items():
            assert "$ref" in part or part.get("description"), name


def test_the_keys_of_axes_are_enumerated_for_each_world():
    axes = SCHEMA["properties"]["axes"]["properties"]
    for section, model in (("model", ModelSpec), ("train", TrainSpec), ("ppo", PPOSpec)):
        for key in flat(model().model_dump()):
            assert (f"{section}.{key}" in axes) == (key != "sizing")
    assert {"world.agreement.arrow", "world.agreement.keys", "zip", "when"} <= set(axes)
    text = (SWEEPS / "quickstart.yaml").read_text()
    assert said(read_text(text)) == []
    other = text.replace("world.agreement.arrow", "world.agreement.keys")
    assert said(read_text(other))


def read_text(text: str) -> Any:
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).load(text)


def test_descriptions_are_the_docstrings():
    assert descriptions(PPOSpec)["lr"] == "Learning rate."
    assert SCHEMA["definitions"]["ppo.lr"]["description"] == "Learning rate."


@pytest.mark.slow
def test_every_mistake_that_the_parser_tells_is_also_one_by_the_schema_but_for_some_rules(
    parsed, tmp_path
):
    """Over the corpus of `test_mistakes`: each key misspelled, of a wrong type, and so on.

    There each is seen to be told by the parser, which is asked here where the schema says nothing.
    """
    path = tmp_path / "changed.yaml"
    refused = 0
    for mistake in ONE_BY_ONE:
        text = changed(mistake)
        path.write_text(text)
        document = read(path)
        if document.problems:  # not even a value: no schema gets to see it
            continue
        if said(document.value):
            refused += 1
            continue
        problems = parsed(text)
        assert problems, str(mistake)
        assert all(map(excused, problems)), (str(mistake), problems)
    assert refused > 500


VALUES = [
    0, 1, 2, 3, 7, 9, 9.0, 11, 64, 1024, 0.5, 1.0, 1e-3, 1.5, -1, 10**6, 200, True, False, None,
    "lstm", "planner", "mlp", "linear", "log", "full", "egocentric", "end", "arrow", "arrow_maze",
    "keys_and_chests", "maximize", "12h", "90m", "12", "x", [], [1], [1, 3], [0.1, 0.5], [3, 1],
    ["lstm", "planner"], [9, 11], {}, {"near": 0.5}, {"choice": [1, 2]}, {"uniform": [0.1, 0.2]},
    {"log_uniform": [0.1, 0.2]}, {"int_uniform": [1, 3]}, {"arrow": 0.5},
]  # fmt: skip
KEYS = [
    "world.size", "world.loops", "world.view", "world.agreement.arrow", "world.agreement.keys",
    "world.keys", "world.name", "world.reward", "model.arch", "model.capacity", "model.ticks",
    "train.env_steps", "train.num_envs", "train.minibatch_size", "ppo.lr", "ppo.lr_end",
    "ppo.num_epochs", "size", "keys", "trials", "seeds", "zip", "when", "if", "axes", "capability",
    "preference", "near", "time", "cpus", "env_runners", "agreement", "agreement.arrow", "world",
]  # fmt: skip


def edited(data: st.DataObject, times: int) -> Any:
    """Returns the full file's content with a few random edits of random places."""
    content, values = copy.deepcopy(DOCUMENT.value), st.sampled_from(VALUES)
    for _ in range(times):
        path = data.draw(st.sampled_from(paths(content)))
        above = content
        for key in path[:-1]:
            above = above[key]
        how = data.draw(st.sampled_from(["value", "value", "delete", "insert"]))
        if how == "delete":
            del above[path[-1]]
        elif how == "insert" and isinstance(above, dict):
            above[data.draw(st.sampled_from(KEYS))] = copy.deepcopy(data.draw(values))
        else:
            above[path[-1]] = copy.deepcopy(data.draw(values))
        if not paths(content):
            break
    return content


@pytest.mark.slow
@settings(max_examples=400, deadline=None, derandomize=True)
@given(data=st.data(), times=st.integers(1, 3))
def test_the_schema_accepts_what_the_parser_accepts_and_refuses_what_it_refuses(
    parsed, data, times
):
    content = edited(data, times)
    problems, told = parsed(json.dumps(content)), said(content)
    if not problems:
        assert not told, content
    elif not told:
        assert all(map(excused, problems)), (content, problems)


BASE = {"name": "a", "question": "b?", "base": {"world": {"name": "arrow_maze"}}}
GOOD: dict[str, dict[str, Any]] = {
    "nothing but a world": {},
    "dotted keys in base": {"base": {"world.name": "arrow_maze", "train.env_steps": 5}},
    "dotted keys in a section": {"base": {"world": {"name": "arrow_maze", "agreement.arrow": 0.5}}},
    "no base": {"base": {}, "axes": {"world.name": ["arrow_maze", "keys_and_chests"]}},
    "two worlds": {
        "axes": {
            "world.name": ["arrow_maze", "keys_and_chests"],
            "when": [
                {"if": {"world.name": "arrow_maze"}, "axes": {"world.agreement.arrow": [0.5, 1]}},
                {"if": {"world.name": "keys_and_chests"}, "axes": {"world.agreement.keys": [1]}},
            ],
        }
    },
    "a world zipped with its length": {
        "axes": {
            "zip": [{"world.name": ["arrow_maze", "keys_and_chests"], "train.env_steps": [10, 20]}]
        }
    },
    "the same value twice in a zip group": {
        "axes": {"zip": [{"world.size": [9, 9], "ppo.lr": [1e-3, 1e-4]}]}
    },
    "nothing for an option": {"axes": {"model.ticks": [None]}, "seeds": [3, 5]},
    "a number in powers of ten": {"base": {"world": {"name": "arrow_maze"}, "train": {}}},
    "a whole number for a share": {"axes": {"world.agreement.arrow": [0, 1]}},
    "limits in seconds": {"limits": {"time": 3600, "max_concurrent": None}},
    "limits in words": {"limits": {"time": "1h 30m"}},
    "tuned from a list": {"tune": {"ppo.lr": {"choice": [1e-3, 1e-4]}, "trials": 2}},
    "tuned to nothing": {"tune": {"ppo.lr_end": {"choice": [None, 1e-4]}, "trials": 2}},
    "explored": {
        "explore": {
            "world.size": {"choice": [7, 9]},
            "world.see_through_walls": {"choice": [True, False]},
            "world.step_cost": {"log_uniform": [0.001, 0.1]},
            "objectives": {"effect_proxy": "minimize"},
            "trials": 3,
        }
    },
    "keys explored as whole numbers": {
        "base": {"world": {"name": "keys_and_chests"}},
        "explore": {
            "world.keys": {"int_uniform": [1, 3]},
            "objectives": {"surplus": "maximize"},
            "trials": 3,
        },
    },
    "an answer": {
        "axes": {"model.arch": ["lstm", "mlp"]},
        "answer": {"axis": "model.arch", "outcome": "adoption:arrow"},
    },
    "half a GPU": {"resources": {"gpus": 0.5, "cpus": 1.5}},
}


@pytest.mark.parametrize("what", GOOD)
def test_what_is_right_is_right_by_both(parsed, what):
    content = {**BASE, **GOOD[what]}
    assert parsed(json.dumps(content)) == []
    assert said(content) == []


BAD: dict[str, dict[str, Any]] = {
    "a key of another world": {"axes": {"world.agreement.keys": [1]}},
    "a key of another world, nested": {"base": {"world": {"name": "arrow_maze", "keys": 3}}},
    "a goal of another world": {"axes": {"world.reward": ["chests"]}},
    "an even size": {"axes": {"world.size": [8]}},
    "a section as an axis": {"axes": {"model": ["lstm"]}},
    "seeds as an axis": {"axes": {"seed": [1]}},
    "an axis without a list": {"axes": {"ppo.lr": 1e-3}},
    "an empty axis": {"axes": {"ppo.lr": []}},
    "no axes": {"axes": {}},
    "one key zipped": {"axes": {"zip": [{"ppo.lr": [1e-3]}]}},
    "a condition in a condition": {
        "axes": {
            "model.arch": ["lstm"],
            "when": [{"if": {"model.arch": "lstm"}, "axes": {"when": []}}],
        }
    },
    "a condition without axes": {"axes": {"when": [{"if": {"model.arch": "lstm"}}]}},
    "a tuned world": {"tune": {"world.loops": {"uniform": [0, 1]}, "trials": 2}},
    "a tuned architecture": {"tune": {"model.arch": {"choice": ["lstm"]}, "trials": 2}},
    "a tuned length": {"tune": {"train.env_steps": {"choice": [1, 2]}, "trials": 2}},
    "two distributions": {
        "tune": {"ppo.lr": {"uniform": [0.1, 0.2], "choice": [0.1]}, "trials": 2}
    },
    "a range of three": {"tune": {"ppo.lr": {"uniform": [0.1, 0.2, 0.3]}, "trials": 2}},
    "a range to beyond": {"tune": {"ppo.lr": {"uniform": [0.1, 2]}, "trials": 2}},
    "a logarithm of nothing": {"tune": {"ppo.entropy_coeff": {"log_uniform": [0, 1]}, "trials": 2}},
    "a share of epochs": {"tune": {"ppo.num_epochs": {"uniform": [1, 2]}, "trials": 2}},
    "no trials": {"tune": {"ppo.lr": {"uniform": [0.1, 0.2]}}},
    "exploring the optimizer": {
        "explore": {
            "ppo.lr": {"uniform": [0.1, 0.2]},
            "objectives": {"spl": "maximize"},
            "trials": 1,
        }
    },
    "no objective": {"explore": {"world.loops": {"uniform": [0, 1]}, "trials": 1}},
    "an aim that is none": {
        "explore": {"world.loops": {"uniform": [0, 1]}, "objectives": {"spl": "up"}, "trials": 1}
    },
    "an answer without an outcome": {"answer": {"axis": "model.arch"}},
    "an answer on seeds": {"answer": {"axis": "seeds", "outcome": "mixed"}},
    "an answer on another world's proxy": {
        "axes": {"model.arch": ["lstm", "mlp"]},
        "answer": {"axis": "model.arch", "outcome": "adoption:keys"},
    },
    "time in parsecs": {"limits": {"time": "12 parsecs"}},
    "a negative number of workers": {"resources": {"env_runners": -1}},
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_wrong_is_wrong_by_both(parsed, what):
    content = {**BASE, **BAD[what]}
    assert parsed(json.dumps(content))
    assert said(content)


STRICT: dict[str, dict[str, Any]] = {
    "several values tied together": {"base": {**BASE["base"], "train": {"num_envs": 35}}},
    "an option that the architecture does not have": {"axes": {"model.ticks": [3]}},
    "low < high": {"tune": {"ppo.lr": {"uniform": [0.2, 0.1]}, "trials": 1}},
    "which axes there are": {
        "axes": {"when": [{"if": {"model.arch": "lstm"}, "axes": {"ppo.lr": [0.1]}}]}
    },
    "which axes vary": {"answer": {"axis": "model.arch", "outcome": "intended"}},
    "a name in two sections": {
        "axes": {"ppo.lr": [0.1]}, "tune": {"ppo.lr": {"uniform": [0.1, 0.2]}, "trials": 1}
    },
    "lists of zip groups of one length": {
        "axes": {"zip": [{"ppo.lr": [0.1], "ppo.gamma": [0.1, 0.2]}]}
    },
    "cells or rows given twice": {
        "axes": {"zip": [{"ppo.lr": [0.1, 0.1], "ppo.gamma": [0.5, 0.5]}]}
    },
    "a world has to be named somewhere": {"base": {}},
    "which keys a world of several, or an unnamed one, has": {
        "axes": {"world.name": ["arrow_maze", "keys_and_chests"], "world.keys": [1]}
    },
    "a search has to have a key": {"tune": {"trials": 2}},
    "a dotted key and the same, nested": {
        "base": {**BASE["base"], "train.env_steps": 5, "train": {"env_steps": 6}}
    },
    "a float where only a whole number's spelling will do": {"axes": {"world.size": [9.0]}},
    "a duration of nothing": {"limits": {"time": "0h"}},
}  # fmt: skip


@pytest.mark.parametrize("rule", STRICTER)
def test_a_rule_that_the_schema_cannot_say_is_one_that_the_parser_says(parsed, rule):
    content = {**BASE, **STRICT[rule]}
    problems = parsed(json.dumps(content))
    assert [excused(problem) for problem in problems] == [rule], problems
    assert said(content) == []
