"""What a file may be that comes from anywhere: bounded, of YAML 1.2, and nothing silently else."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweep_mistakes import DOCUMENT as FULL
from sweep_mistakes import LINES, PATHS, text_at

from whichgoal.cli.main import main
from whichgoal.envs.registry import world_named
from whichgoal.redact import visible
from whichgoal.sweep.file.check import load
from whichgoal.sweep.file.yaml_file import SweepError, read
from whichgoal.sweep.overrides import design_from

HEAD = "name: n\nquestion: Is it?\n"
BASE = f"{HEAD}base: {{world: {{name: arrow_maze, size: 7}}}}\n"


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("sweep") / "sweep.yaml"


@pytest.fixture(scope="module")
def told(file):
    """Returns what is said of a text that is no sweep file, without the path in front."""

    def problems(text: str) -> list[str]:
        file.write_text(text)
        with pytest.raises(SweepError) as caught:
            load(file)
        return [line.removeprefix(f"{file}:").strip() for line in caught.value.problems]

    return problems


@pytest.fixture(scope="module")
def value(file):
    """Returns what a text is as plain values, none of which is wrong."""

    def plain(text: str):
        file.write_text(text)
        document = read(file)
        document.refuse_if_wrong()
        return document.value

    return plain


def levels(n: int) -> str:
    return "".join(" " * i + "a:\n" for i in range(n))


def aliases(n: int, key: str = "", first: str = "[x, x]") -> str:
    lines = [f"a0: &a0 {first}"]
    for i in range(n):
        several = ", ".join([f"*a{i}"] * 9)
        value = f"{{{key} [{several}]}}" if key else f"[{several}]"
        lines.append(f"a{i + 1}: &a{i + 1} {value}")
    return "\n".join(lines) + "\n"


DEEP = "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 99))
MANY_KEYS = f"{HEAD}base:\n" + "".join(f"  world.k{i}: 1\n" for i in range(5_000))
NUMBERS = ",".join(f"{i}e-9" for i in range(1, 11_000))
LONG_AXIS = f"{BASE}axes: {{ppo.lr: [{NUMBERS}]}}\n"
LONG_CHOICE = f"{BASE}tune: {{trials: 3, ppo.lr: {{choice: [{NUMBERS}]}}}}\n"

HOSTILE = {
    "10,000 nested maps": (HEAD + "base: " + "{a: " * 10_000 + "1" + "}" * 10_000, "32 levels"),
    "600 block levels": (levels(600), "33:33: more than 32 levels"),
    "2,000 block levels": (levels(2_000), "bytes given; allowed: at most 262,144"),
    "10,000 nested lists": ("a: " + "[" * 10_000 + "]" * 10_000, "32 levels"),
    "10,000 open lists": ("[" * 10_000, "32 levels"),
    "10,000 lists in lines": ("[\n" * 10_000, "32 levels"),
    "10,000 dashes": ("- " * 10_000, "32 levels"),
    "10,000 question marks": ("? " * 10_000, "32 levels"),
    "deep by aliases": (DEEP, "32 levels"),
    "alias bomb": (aliases(20), "12,000 keys and values given, aliases counted at each use"),
    "alias bomb of maps": (aliases(20, "x:"), "12,000 keys and values"),
    "merge bomb": (aliases(20, "<<:", "{x: 1}"), "12,000 keys and values"),
    "merge bomb of nothing": (aliases(20, "<<:", "{}"), "12,000 keys and values"),
    "a 30 MB scalar": (HEAD + "x: " + "a" * 30_000_000, "262,144 bytes"),
    "a long scalar": (HEAD + "x: " + "a" * 200_000, "3:4: a text of 200,000 characters given"),
    "a long quoted scalar": (HEAD + 'x: "' + "a " * 100_000 + '"', "a text of 200,000 char"),
    "a long block": (HEAD + "x: |\n" + "  aaa\n" * 40_000, "a text of 160,000 characters given"),
    "a long key": (HEAD + "a" * 900 + ": 1", "3:1: a key of 900 characters given"),
    "a long anchor": ("a: *" + "a" * 200_000, "1:4: not YAML 1.2: found undefined alias"),
    "a long tag": ("a: !" + "a" * 200_000, "1:4: tag '!aaaaaaa"),
    "a long comment": ("#" + "a" * 200_000, "a sweep file holds keys"),
    "many blank lines": ("\n" * 262_000, "a sweep file holds keys"),
    "many tabs": ("a:\n" + "\t\n" * 130_000, "unknown key 'a'"),
    "many values": ("seeds: [" + "1," * 100_000 + "]", "12,000 keys and values"),
    "many keys": ("".join(f"k{i}: 1\n" for i in range(5_900)), "unknown key 'k0'"),
    "many keys of a world": (MANY_KEYS, "world.name is missing"),
    "one key many times": ("seeds: 1\n" * 5_900, "key 'seeds' is given twice (first in line 1)"),
    "a long axis": (LONG_AXIS, "ppo.lr: a list of 10,999 values given; allowed: at most 10,000"),
    "a long choice": (LONG_CHOICE, "a list of 10,999 values given; allowed: at most 1,000"),
    "a long number": (BASE + "seeds: " + "1" * 9_000, "4:8: a number of 9,000 digits given"),
    "a long float": (BASE + "seeds: 0." + "1" * 9_000, "4:8: a number of 9,002 digits given"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_beyond_a_bound_is_refused_soon_and_in_clear_lines(told, what):
    text, complaint = HOSTILE[what]
    begun = time.process_time()
    lines = told(text)
    assert time.process_time() - begun < 10  # seconds at most; a hang is what is looked for
    assert any(complaint in line for line in lines), lines
    assert len(lines) <= 101
    assert all("\n" not in line and len(line) < 500 for line in lines)


def test_of_very_many_problems_it_is_said_that_there_are_more(told):
    lines = told("".join(f"k{i}: 1\n" for i in range(400)))
    assert len(lines) == 101
    assert lines[-1] == "303 more problems"
    assert told("".join(f"k{i}: 1\n" for i in range(4_000)))[-1] == "at least 900 more problems"


@pytest.mark.parametrize(
    ("make", "kind"), [(os.mkfifo, "a pipe"), (os.mkdir, "a folder")], ids=["pipe", "folder"]
)
def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path, make, kind):
    make(tmp_path / "x.yaml")
    with pytest.raises(SweepError) as caught:
        load(tmp_path / "x.yaml")
    assert str(caught.value) == (
        f"{tmp_path}/x.yaml: cannot be read: it is {kind}; allowed: a file"
    )


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/urandom"])
def test_a_device_is_no_file(device):
    with pytest.raises(SweepError, match="cannot be read: it is a device; allowed: a file"):
        load(device)


def test_a_file_of_the_kernel_that_says_it_is_empty_is_bounded_too():
    with pytest.raises(SweepError):
        load("/proc/kallsyms")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("%YAML 1.1\n---\na: yes\n", "1:1: directive '%YAML 1.1' given; allowed: none, or %YAML"),
        ("# first\n\n%YAML 1.1 # old\n---\na: yes\n", "3:1: directive '%YAML 1.1 # old' given"),
        ("# first\r%YAML 1.1\r---\ra: yes\r", "2:1: directive '%YAML 1.1' given"),
        ("\ufeff%YAML 1.1\n---\na: 010\n", "1:1: directive"),
        ("%YAML 1.3\n---\na: 1\n", "1:1: directive '%YAML 1.3' given"),
        ("%TAG ! tag:x,2000:\n---\na: 1\n", "1:1: directive '%TAG ! tag:x,2000:' given"),
        ("%FOO\n---\na: 1\n", "1:1: directive '%FOO' given"),
        ("a: !!int 3\n", "1:4: tag '!!int' given; allowed: none"),
        ("a: ! 3\n", "1:4: tag '!' given"),
        ("a: !!python/object/apply:os.system [id]\n", "1:4: tag '!!python/object/apply:os.system'"),
        ("!!set {a}\n", "1:1: tag '!!set' given"),
        ("a: {b: !<tag:x> 1}\n", "1:8: tag '!<tag:x>' given"),
        ("a: 1\n---\nb: 2\n", "2:1: another document begins; allowed: one in a file"),
        ("a: 1\n...\n%YAML 1.1\n---\nb: yes\n", "4:1: another document begins"),
        ("a: *b\n", "1:4: not YAML 1.2: found undefined alias 'b'"),
        ("a: .inf\n", "1:4: .inf given; allowed: a finite number"),
        ("a: 1e999\n", "1:4: 1e999 given; allowed: a finite number"),
        ("a: 1e-999\n", "1:4: 1e-999 given; allowed: 0, or a number that is not so near to it"),
        ("{a: 1, a: 2}\n", "1:8: key 'a' is given twice (first in line 1)"),
        ("? [a]\n: 1\n", "1:3: a key must be text"),
        ("a: 1\n\tb: 2\n", "2:1: not YAML 1.2"),
        ("a:\n\tb: 2\n", "2:1: not YAML 1.2"),
    ],
)  # fmt: skip
def test_what_yaml_can_say_and_a_sweep_file_does_not_mean_is_refused(file, text, complaint):
    file.write_bytes(text.encode())
    with pytest.raises(SweepError) as caught:
        read(file).refuse_if_wrong()
    assert str(caught.value).startswith(f"{file}:{complaint}")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("yes", "yes"), ("No", "No"), ("on", "on"), ("y", "y"), ("true", True), ("TRUE", True),
        ("tRUE", "tRUE"), ("null", None), ("~", None), ("", None), ("NULL", None), ("nULL", "nULL"),
        ("010", 10), ("0o10", 8), ("0x1F", 31), ("0b11", "0b11"), ("-0x1", "-0x1"), ("+1", 1),
        ("-7", -7), ("1_000", 1000), ("1__0", "1__0"), ("1_", "1_"), ("-_", "-_"), ("0x", "0x"),
        ("0o8", "0o8"), ("1:30", "1:30"), ("190:20:30", "190:20:30"), ("2026-01-02", "2026-01-02"),
        ("1e3", 1e3), ("1e-4", 1e-4), (".5", 0.5), (".5e3", 500.0), ("5.", 5.0), ("+.5", 0.5),
        ("1.5E+3", 1500.0), ("1_0.2_5", 10.25), (".", "."), ("e3", "e3"), ("1e", "1e"), ("-", "-x"),
        ("'1'", "1"), ('"true"', "true"), ("=", "="), ("0.0", 0.0), ("0e-999", 0.0),
        ("nan", "nan"), ("inf", "inf"), ("1.2.3", "1.2.3"), ("12e03", 12e3), ("_1", "_1"),
        ("\u0663", "\u0663"),
    ],
)  # fmt: skip
def test_scalars_are_what_the_core_schema_of_yaml_1_2_says(value, text, meant):
    read_back = value(f"a: {text}{'x' if text == '-' else ''}\n")["a"]
    assert read_back == meant
    assert type(read_back) is type(meant)


def test_the_directive_of_the_version_that_is_read_may_stand_there(value):
    assert value("%YAML 1.2\n---\na: yes\n") == {"a": "yes"}
    assert value("%YAML 1.2 # now\n--- # begins\na: 1\n...\n") == {"a": 1}
    assert value("a: |\n  %YAML 1.1\n") == {"a": "%YAML 1.1\n"}


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("a: 1\t# c\nb: 2\n", {"a": 1, "b": 2}),
        ("a: x\t# c\n", {"a": "x"}),
        ("a: x \t # c\n", {"a": "x"}),
        ("a:\t1\n", {"a": 1}),
        ("a:\t# c\n  b: 1\n", {"a": {"b": 1}}),
        ('a: "x"\t# c\n', {"a": "x"}),
        ("a: [1,\t2]\t# c\nb: {c: 1}\t#d\n", {"a": [1, 2], "b": {"c": 1}}),
        ("\t# only\na: 1\n", {"a": 1}),
        ("a: 1\n\t\n  \t# c\nb: 2\n", {"a": 1, "b": 2}),
        ("a: 1\t\nb: 2 \t\n", {"a": 1, "b": 2}),
        ("a: |\t# c\n  x\n", {"a": "x\n"}),
        ("a: x\ty\n", {"a": "x\ty"}),
        ("a:\n- 1\t# c\n-\t# c\n  2\n", {"a": [1, 2]}),
        ("---\t# c\na: &b 1\t# c\nc: *b\t# c\n", {"a": 1, "c": 1}),
        ("a: x#y\n", {"a": "x#y"}),
        ("a: x\n  y\t# c\n", {"a": "x y"}),
    ],
)
def test_a_tab_between_tokens_is_legal(value, text, meant):
    assert value(text) == meant


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n", {"x": 1, "y": 3}),
        ("a: &a {x: 1, y: 2}\nb: {y: 3, <<: *a}\n", {"x": 1, "y": 3}),
        ("a: [&a {x: 1}, &c {x: 2, z: 3}]\nb: {<<: [*a, *c]}\n", {"x": 1, "z": 3}),
        ("a: &a {x: 1}\nc: &c {<<: *a, y: 2}\nb: {<<: *c}\n", {"x": 1, "y": 2}),
        ("a: &a {x: {p: 1}}\nb: {<<: *a, x: {q: 2}}\n", {"x": {"q": 2}}),
        ("b: {<<: {x: 1}}\n", {"x": 1}),
        ("b:\n  <<: {}\n  x: 1\n", {"x": 1}),
        ("b: {'<<': 1}\n", {"<<": 1}),
    ],
)
def test_merge_keys_are_read(value, text, meant):
    assert value(text)["b"] == meant


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("b: {<<: 3}\n", "1:9: <<: '3' given; allowed: an alias of keys"),
        ("b: {<<: [{x: 1}, 3]}\n", "1:18: <<: '3' given"),
        ("b: {<<: [[{x: 1}]]}\n", "1:10: <<: a list given"),
        ("b: &b {<<: *b}\n", "1:4: <<: itself given"),
        ("b: {<<: {x: 1}, <<: {y: 1}}\n", "1:17: key '<<' is given twice"),
        ("b: {<<: {x: 1, x: 2}, x: 3}\n", "1:16: key 'x' is given twice"),
    ],
)
def test_what_cannot_be_merged_is_told_at_its_place(file, text, complaint):
    file.write_text(text)
    with pytest.raises(SweepError) as caught:
        read(file).refuse_if_wrong()
    assert str(caught.value).startswith(f"{file}:{complaint}")


def test_a_sweep_with_merged_keys_is_the_sweep_that_is_written_out(file):
    plain = (
        f"{HEAD}base:\n  world: {{name: arrow_maze, size: 7}}\n  ppo: {{lr: 1e-4, gamma: 0.9}}\n"
    )
    merged = (
        f"{HEAD}base:\n  world: &world {{name: arrow_maze, size: 9}}\n"
        "  ppo:\n    <<: {lr: 1e-4, gamma: 0.5}\n    gamma: 0.9\n"
    ).replace("&world {name: arrow_maze, size: 9}", "{<<: {name: arrow_maze, size: 9}, size: 7}")
    ids = []
    for text in (plain, merged):
        file.write_text(text)
        ids.append([trial.id for trial in load(file).trials()])
    assert ids[0] == ids[1]


def test_a_mistake_in_merged_keys_is_told_where_it_stands(told):
    lines = told(f"{HEAD}base:\n  world: {{name: arrow_maze,\n    <<: {{sise: 7}}}}\n")
    assert len(lines) == 1
    assert lines[0].startswith("5:10: world: unknown key 'sise'")


def test_control_characters_of_a_file_are_made_visible(told, tmp_path, capsys):
    (line,) = told(BASE + '"a\\e[2J\\a\\u202e": 1\n')
    assert "\x1b" not in line
    assert "\\x1b[2J\\x07\\u202e" in line
    (line,) = told(BASE.replace("n\n", '"\\e]0;x\\a"\n', 1))
    assert line.isprintable()
    assert main(["plan", str(tmp_path / "\x1b[31mx\ny.yaml")]) == 2
    error = capsys.readouterr().err
    assert error.rstrip("\n").isprintable()
    assert "\\x1b[31mx\\ny.yaml: cannot be read" in error


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("tiny.yml", "tiny.yaml"), ("tiny", "tiny.yaml"), ("tinny.yaml", "tiny.yaml"),
        ("o.yaml", "o.yml"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_there_is_told_with_the_one_that_was_meant(tmp_path, given, meant):
    for name in ("tiny.yaml", "o.yml", "other_things.yaml"):
        (tmp_path / name).write_text("")
    with pytest.raises(SweepError) as caught:
        load(tmp_path / given)
    assert str(caught.value) == (
        f"{tmp_path / given}: cannot be read: No such file or directory; "
        f"did you mean '{tmp_path / meant}'?"
    )


def test_a_file_that_nobody_can_mean_is_told_without_a_guess(tmp_path):
    (tmp_path / "tiny.yaml").write_text("")
    for path in (tmp_path / "quite_another.yaml", tmp_path / "no" / "tiny.yaml"):
        with pytest.raises(SweepError, match=r"No such file or directory$"):
            load(path)


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("size=" + "[" * 10_000 + "]" * 10_000, "--set size: more than 32 levels"),
        ("size=" + "{a: " * 5_000, "--set size: more than 32 levels"),
        ("size=" + "1" * 9_000, "--set size: a number of 9,000 digits given"),
        ("size=" + "a" * 90_000, "--set size: a text of 90,000 characters given"),
        ("size=!!int 7", "--set size: tag '!!int' given"),
        ("size=%YAML 1.1", "--set size: directive '%YAML 1.1' given"),
        ("agreement={arrow: 1, arrow: 0}", "--set agreement: key 'arrow' is given twice"),
        ("size=.inf", "--set size: .inf given; allowed: a finite number"),
        ("a." * 300 + "b=1", "--set: a key of 601 characters given; allowed: at most 200"),
        ("x" * 90_000, "--set xxx"),
    ],
    ids=lambda text: text[:20],
)
def test_a_setting_of_the_command_line_has_the_same_bounds(setting, complaint):
    with pytest.raises(ValueError, match=r"^--set") as caught:
        design_from(world_named("arrow_maze"), [setting])
    assert str(caught.value).startswith(complaint)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


TOKENS = st.sampled_from([
    "name", "question", "base", "axes", "seeds", "tune", "explore", "answer", "world", "when", "if",
    "zip", "world.name", "arrow_maze", "ppo.lr", "choice", "trials", "model.arch", "mlp", "axis",
    ": ", ":\n  ", "\n", "\n  ", "- ", "[", "]", "{", "}", ", ", "&a ", "*a", "<<: ", "? ", "|\n ",
    "!!int ", "%YAML 1.1\n", "---\n", "...\n", "#", "\t", '"', "'", "\\", "1", "-1", "1e-4", ".nan",
    "null", "true", "~", "\r", "\x85", "\ufeff", "\x1b", "é", "@", "`", "0x", "_", "limits", "time",
])  # fmt: skip
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda some: (
        st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=5), some, max_size=3)
    ),
    max_leaves=6,
)


def said_of(file: Path, content: bytes) -> list[str]:
    """Returns the problems of a file; none where it is a sweep."""
    file.write_bytes(content)
    try:
        load(file)
    except SweepError as error:
        return error.problems
    return []


@settings(max_examples=150, deadline=None)
@given(st.lists(TOKENS, max_size=40).map("".join))
def test_any_text_is_a_sweep_or_is_refused_in_printable_lines(file, text):
    assert all(visible(line) == line for line in said_of(file, text.encode()))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_sweep_or_are_refused_in_printable_lines(file, raw):
    assert all(visible(line) == line for line in said_of(file, raw))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(PATHS), JUNK)
def test_a_sweep_with_junk_in_one_place_is_a_sweep_or_is_refused_in_printable_lines(
    file, path, junk
):
    line, column = FULL.marks[path]
    lines = list(LINES)
    before, after = lines[line - 1][: column - 1], lines[line - 1][column - 1 :]
    lines[line - 1] = before + json.dumps(junk) + after.removeprefix(text_at(path))
    assert all(visible(line) == line for line in said_of(file, "\n".join(lines).encode()))
