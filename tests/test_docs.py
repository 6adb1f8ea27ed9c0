"""The documentation: its links lead somewhere, its tutorial is the package that is tested."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pymdownx.slugs import slugify

from whichgoal.cli.arguments import parser
from whichgoal.envs.registry import WORLDS
from whichgoal.sweep.file.check import load

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"])
PACKAGE = ROOT / "tests" / "plugin"
TUTORIAL = (DOCS / "tutorial.md").read_text()


def headings(page: Path) -> set[str]:
    """Returns the anchors that a page's headings have."""
    name = slugify(case="lower")
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    return {name(one, "-") for one in re.findall(r"(?m)^#+ (.+)$", text)}


@pytest.mark.parametrize("page", PAGES, ids=lambda one: one.name)
def test_every_link_leads_to_a_file_and_to_a_heading_in_it(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name}: {target}"
        assert there.is_relative_to(DOCS) or page.parent == ROOT, f"{target} is no page of the site"
        assert not anchor or anchor in headings(there), f"{page.name}: {target}"


def test_every_page_can_be_found_and_every_picture_is_shown() -> None:
    listed = re.findall(r"(?m)^ +- (?:.*: )?(\w+\.md)$", (ROOT / "mkdocs.yml").read_text())
    assert sorted(listed) == sorted(page.name for page in DOCS.glob("*.md"))
    shown = "".join(page.read_text() for page in PAGES)
    assert not [file.name for file in DOCS.glob("*.png") if f"{file.name})" not in shown]


def test_every_name_of_the_reference_exists_and_says_what_it_is() -> None:
    text = (DOCS / "api.md").read_text()
    found = re.findall(r"::: (whichgoal[\w.]*)\n    options:\n      members: \[(.+)\]", text)
    assert len(found) == text.count(":::")
    for module, members in found:
        place = ROOT / "platform" / "/".join(module.split(".")[1:])
        file = place.with_suffix(".py") if not place.is_dir() else place / "__init__.py"
        tree = ast.parse(file.read_text())
        documented = {
            node.name
            for node in tree.body
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node)
        }
        assert set(members.split(", ")) <= documented, module


def blocks(language: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", TUTORIAL, re.DOTALL)
    assert found, language
    return found


def test_the_tutorials_code_is_that_of_the_package_which_is_tested_and_all_of_it() -> None:
    """`test_plugin` installs it, trains an agent in it, and runs the contract's suite on it."""
    *shown, suite = blocks("python")
    code = (PACKAGE / "whichgoal_tiny" / "coin.py").read_text()
    for block in shown:
        assert block in code
    rest = code
    for block in shown:
        rest = rest.replace(block, "")
    (docstring,) = re.findall(r'"""A coin.*?"""', rest, re.DOTALL)
    assert not rest.replace(docstring, "").strip()
    assert "class TestCoin(WorldConformance):" in suite
    (project,) = blocks("toml")
    told, real = (tomllib.loads(one) for one in (project, (PACKAGE / "pyproject.toml").read_text()))
    assert told["project"].items() <= {**real["project"], **told["project"]}.items()
    ours = told["project"].pop("entry-points")
    theirs = real["project"].pop("entry-points")
    assert ours["whichgoal.worlds"] == theirs["whichgoal.worlds"]
    assert told["project"] == real["project"]


def test_the_tutorials_sweep_and_commands_are_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(PACKAGE)
    monkeypatch.setitem(WORLDS, "coin", "whichgoal_tiny.coin:Coin")
    (sweep,) = blocks("yaml")
    file = tmp_path / "coin.yaml"
    file.write_text(sweep)
    assert [trial.world.name for trial in load(file).trials()] == ["coin", "coin"]
    commands = [shlex.split(line) for line in "".join(blocks("bash")).splitlines()]
    ours = [words[1:] for words in commands if words[0] == "whichgoal"]
    assert len(ours) > 4
    for words in ours:
        assert parser().parse_args(words)


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("mkdocs") is None, reason="mkdocs is not installed: pip -e .[docs]"
)
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "score_policy" in (tmp_path / "api.html").read_text()
