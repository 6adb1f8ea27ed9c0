"""Files from elsewhere, bounded before they are read."""

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whichgoal.storage import reading
from whichgoal.storage.reading import UnreadableFile, parse_json, read_bytes, read_json, visible

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.text()
    | st.floats(-1e50, 1e50, allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)  # fmt: skip

OWN = {"\\"}
"""Escaped by JSON itself, so that what it stands before may be a control character."""


@given(PLAIN, st.booleans())
def test_what_is_sound_is_read_and_no_text_of_it_controls_a_terminal(value, escaped):
    text = json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    read = parse_json("it", text)
    again = json.dumps(read, ensure_ascii=False)
    assert visible(again) == again
    if visible(plain := json.dumps(value, ensure_ascii=False)) == plain and not OWN & set(plain):
        assert read == value


def test_control_characters_are_written_out_and_letters_stay():
    text = r'"\u001b[2J \r \b \ud83d\ude00 \ud800 \\u001b \u00e9 \n \t"'
    assert parse_json("it", text.encode()) == (
        r"\u001b[2J \r \b " + "\U0001f600" + r" \ud800 \u001b " + "\u00e9 \n \t"
    )
    raw = '"\x9b \u202e"\r\n'
    assert parse_json("it", raw.encode()) == r"\x9b \u202e"


TOO_MUCH = {
    "deep": (b"[" * 65 + b"]" * 65, "nested too deep; allowed: at most 64"),
    "deep maps": (b'{"a":' * 65 + b"1" + b"}" * 65, "nested too deep"),
    "never closed": (b"[" * 1_000_000, "nested too deep"),
    "a number": (b"[" + b"1" * 41 + b"]", "a number beyond all of ours"),
    "an exponent": (b"[1e400]", "a number beyond all of ours ([1e400]"),
    "NaN": (b'{"a": NaN}', "NaN, which is no number"),
    "infinite": (b"[-Infinity]", "Infinity, which is no number"),
    "no text": (b'"\xff"', "no UTF-8 text, at byte 1"),
    "nothing": (b"", "damaged: Expecting value"),
}


@pytest.mark.parametrize("case", TOO_MUCH)
def test_what_is_beyond_all_of_ours_is_refused_in_one_line(case):
    data, told = TOO_MUCH[case]
    with pytest.raises(UnreadableFile) as caught:
        parse_json("it", data)
    assert str(caught.value).startswith("it is damaged: ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_only_stands_in_a_text_is_no_number_and_no_bracket():
    text = json.dumps({"a": "[" * 100 + "NaN 1e999 " + "9" * 50 + '"' + "{" * 100})
    assert parse_json("it", text.encode()) == json.loads(text)


def test_too_many_values_are_refused(monkeypatch):
    monkeypatch.setattr(reading, "VALUES", 10)
    assert parse_json("it", b"[1,2,3,4,5,6,7,8]") == [1, 2, 3, 4, 5, 6, 7, 8]
    with pytest.raises(UnreadableFile, match="12 values; allowed: at most 10"):
        parse_json("it", b"[1,2,3,4,5,6,7,8,9,0,1]")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("data", [b'"' + b'\\"' * 2_000_000, b"[{" * 1_000_000, b'"' * 4_000_001])
def test_no_text_takes_longer_than_its_length_says(data):
    begun = time.perf_counter()
    with pytest.raises(UnreadableFile):
        parse_json("it", data)
    assert time.perf_counter() - begun < 10


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


NO_FILES = {
    "a folder": (Path.mkdir, "no file, but a folder"),
    "a pipe": (make_pipe, "no file, but a pipe"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "no file, but a device"),
    "a loop": (lambda path: path.symlink_to(path), "not readable: Too many levels"),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("case", NO_FILES)
def test_what_is_no_plain_file_is_refused_and_not_waited_for(tmp_path, case):
    make, told = NO_FILES[case]
    make(tmp_path / "it")
    with pytest.raises(UnreadableFile) as caught:
        read_json(tmp_path / "it")
    assert str(caught.value).startswith(f"{tmp_path / 'it'} is {told}")


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    (tmp_path / "it").write_bytes(b"12345")
    assert read_bytes(tmp_path / "it", 5) == b"12345"
    with pytest.raises(UnreadableFile, match="too large: 5 bytes; allowed: at most 4"):
        read_bytes(tmp_path / "it", 4)
    os.truncate(tmp_path / "it", 2**40)
    with pytest.raises(UnreadableFile, match="too large: 1,099,511,627,776 bytes"):
        read_bytes(tmp_path / "it")


def test_what_is_not_there_is_told_apart(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("nowhere", "link"):
        with pytest.raises(FileNotFoundError):
            read_json(tmp_path / name)
    with pytest.raises(UnreadableFile, match="null"):
        read_json("a\0b")
