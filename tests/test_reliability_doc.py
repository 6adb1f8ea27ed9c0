"""What `docs/reliability.md` says of tests is true: each that it names is there."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
TOLD = (TESTS.parent / "docs" / "reliability.md").read_text()
NAMED = re.findall(r"`([\w/]+\.py)::(\w+)`", TOLD)
ROWS = [row for row in re.findall(r"^\| (.*) \|$", TOLD, re.MULTILINE) if row[:7] != "fault |"]


def test_every_test_that_is_named_is_there():
    for file, name in NAMED:
        found = ast.walk(ast.parse((TESTS / file).read_text()))
        assert name in {one.name for one in found if isinstance(one, ast.FunctionDef)}, (file, name)


def test_each_of_two_dozen_faults_and_more_names_its_test():
    assert len(ROWS) >= 24
    for row in ROWS:
        *_, test = row.split(" | ")
        assert test == "the same" or re.search(r"`[\w/]+\.py::test_\w+`", test), row
