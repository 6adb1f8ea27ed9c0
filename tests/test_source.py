"""What a digest of our sources covers: what is imported, and nothing else."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest

from whichgoal import source

SOURCE = Path(source.__file__).parent


def house(place: Path, files: Mapping[str, str]) -> ModuleType:
    """Builds a package `whichgoal` of these files in a folder, and returns its `source` module."""
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    shutil.copy(source.__file__, place / "source.py")
    found = importlib.util.spec_from_file_location("whichgoal_source", place / "source.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def imported(place: Path, entry: str, **files: str) -> set[str]:
    """Returns what a module with this text imports, of a house with these other files."""
    others = {f"{name}.py": text for name, text in files.items()}
    found = house(place, {"entry.py": entry, **others}).import_closure("whichgoal.entry")
    return {name.removeprefix("whichgoal.") for name in found} - {"entry"}


def test_what_is_imported_by_what_is_imported_counts(tmp_path):
    a = "from whichgoal.b import x\n"
    assert imported(tmp_path, "import whichgoal.a\n", a=a, b="", c="") == {"a", "b"}


def test_a_late_import_counts(tmp_path):
    text = "def f():\n    from whichgoal import (\n        a,\n        b as c,\n    )\n"
    assert imported(tmp_path, text, a="", b="", c="") == {"a", "b"}


def test_an_import_for_type_checkers_alone_does_not_count(tmp_path):
    text = (
        "if TYPE_CHECKING:\n    import os\n\n    from whichgoal.a import A\n\nimport whichgoal.b\n"
    )
    assert imported(tmp_path, text, a="", b="") == {"b"}


def test_the_packages_on_the_way_to_a_module_count(tmp_path):
    files = {"room/__init__": "import whichgoal.a\n", "room/x": "", "room/y": "", "a": ""}
    found = imported(tmp_path, "from whichgoal.room.x import f\n", **files)
    assert found == {"room", "room.x", "a"}


def test_a_string_that_names_a_module_counts(tmp_path):
    text = 'MODELS = {"a": "whichgoal.a:Class", "b": "whichgoal.b"}\nID = "whichgoal/a-v0"\n'
    assert imported(tmp_path, text, a="", b="", c="") == {"a", "b"}


def test_what_is_left_out_does_not_count_nor_what_only_it_names(tmp_path):
    files = {"entry.py": "import whichgoal.a\nimport whichgoal.b\n"}
    files |= {"a.py": 'ALL = "whichgoal.c", "whichgoal.d"\n', "b.py": "import whichgoal.d\n"}
    found = house(tmp_path, {**files, "c.py": "", "d.py": ""})
    names = found.import_closure("whichgoal.entry", without=("whichgoal.a",))
    assert names == ("whichgoal.b", "whichgoal.d", "whichgoal.entry")


def test_a_module_is_not_imported_to_be_hashed(tmp_path):
    assert imported(tmp_path, "from whichgoal.a import f\n", a="raise RuntimeError\n") == {"a"}


def test_a_digest_follows_the_sources_and_not_the_place(tmp_path):
    files = {"entry.py": "from whichgoal import a\n", "a.py": "x = 1\n", "b.py": ""}

    def digest(name: str, **changed: str) -> str:
        here = {**files, **{f"{key}.py": text for key, text in changed.items()}}
        return house(tmp_path / name, here).digest("whichgoal.entry")

    first = digest("first")
    assert len(first) == 12
    assert digest("second") == first
    assert digest("third", b="y = 1\n") == first
    assert digest("fourth", a="x = 1  # one\n") != first


def name_of(file: Path) -> str:
    parts = ["whichgoal", *file.relative_to(SOURCE).with_suffix("").parts]
    return ".".join(part for part in parts if part != "__init__")


def named_in(file: Path) -> set[str]:
    """Returns all that a file names of ours, by its whole syntax tree."""
    tree = ast.parse(file.read_text())
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    names = {name_of(file)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.add(node.value.split(":")[0])
    ways = [name.split(".") for name in names]
    return {".".join(way[:n]) for way in ways for n in range(1, len(way) + 1)}


def test_no_import_of_any_file_of_ours_is_missed():
    named = {name_of(file): named_in(file) for file in SOURCE.rglob("*.py")}
    drawings = {name for name in named if source.draws_only(name)}
    assert drawings == {f"whichgoal.envs.{kind}.drawing" for kind in ("grid", "physics")}
    for name in named.keys() - drawings:
        found: set[str] = set()
        waiting = {name}
        while waiting:
            found |= waiting
            waiting = {other for one in waiting for other in named[one] & named.keys()} - found
            waiting -= drawings  # no result follows from a drawing
        assert set(source.import_closure(name)) == found, name


LEVELS = "whichgoal.divergence.panels.build"
PLAYS = (LEVELS, "whichgoal.divergence.probe.playing", "whichgoal.models.checkpoint")
SCORES = (LEVELS, "whichgoal.divergence.score.scoring")


@pytest.mark.parametrize("entries", [PLAYS, SCORES], ids=["playing", "scoring"])
def test_playing_and_scoring_depend_on_no_more_than_they_need(entries):
    needed = re.compile(
        r"whichgoal\.(environment|explain|numba_cache|plugins|source|spec"
        r"|storage(\.(atomic|footer|reading|tables))?|(divergence|models|envs)(\.\w+)*)"
    )
    assert [name for name in source.import_closure(*entries) if not needed.fullmatch(name)] == []


def test_playing_does_not_depend_on_scoring_nor_scoring_on_the_agent():
    playing, scoring = (set(source.import_closure(*entries)) for entries in (PLAYS, SCORES))
    for name in ("scoring", "scores", "verdict", "inference", "stamp"):
        assert f"whichgoal.divergence.score.{name}" in scoring - playing
    for name in ("divergence.probe.playing", "divergence.probe.rollout", "models.lstm"):
        assert f"whichgoal.{name}" in playing - scoring
