"""Files and folders are replaced whole, whenever the process dies, with the modes of the umask."""

import itertools
import os
import shutil
import stat
from pathlib import Path

import pytest

from whichgoal.models.checkpoint import read_folder, write_folder
from whichgoal.spec import TrialSpec, WorldSpec
from whichgoal.storage.atomic import set_aside
from whichgoal.storage.files import drop_unfinished, write_text

PLACE = f"{10_000:012d}"
ON_DISK = ("mkdir", "fsync", "rename", "replace", "unlink", "rmdir")


@pytest.fixture
def shared():
    """What a group that works in one folder sets: files and folders that all of it may write."""
    before = os.umask(0o002)
    yield
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def what(place: Path) -> bytes:
    return read_folder(place, ("what",))["what"]


class Killed(BaseException):
    pass


def dead_at(patch: pytest.MonkeyPatch, last: int) -> None:
    """Lets neither this call of the operating system nor any later one touch the disk."""
    calls = itertools.count(1)

    def until_dead(function):
        def call(*given, **named):
            if next(calls) >= last:
                raise Killed
            return function(*given, **named)

        return call

    for name in ON_DISK:
        patch.setattr(os, name, until_dead(getattr(os, name)))


def checkpoint_of(trial: Path, content: bytes) -> Path:
    return write_folder(trial / "checkpoints" / PLACE, {"what": content})


def state_of(trial: Path, content: bytes) -> Path:
    from whichgoal.rllib import Progress, resume

    class Algorithm:
        def save_to_path(self, path: str) -> None:
            Path(path).with_name("what").write_bytes(content)

    spec = TrialSpec(world=WorldSpec(name="no_such_world"))
    resume.save(trial / "resume", spec, Algorithm(), Progress(int(PLACE), *(1.0,) * 9))
    return trial / "resume" / PLACE


@pytest.mark.parametrize("write", [checkpoint_of, state_of])
def test_whenever_its_writer_is_killed_the_old_or_the_new_folder_is_there(
    tmp_path, monkeypatch, write
):
    """It dies at its first call that touches the disk, then at its second, ..."""
    left, killed = [], True
    while killed:
        step = len(left) + 1
        trial = tmp_path / str(step)
        place = write(trial, b"old")
        with monkeypatch.context() as patch:
            dead_at(patch, step)
            try:
                write(trial, b"new")
                killed = False
            except Killed:
                pass
        seen = what(place)
        drop_unfinished(trial)
        assert [p.name for p in place.parent.iterdir()] == [PLACE], step
        assert what(place) == seen
        left.append(seen)
    assert left == sorted(left, reverse=True)
    assert {b"old", b"new"} == set(left)


@pytest.mark.parametrize("failing", [1, 2])
def test_a_folder_that_cannot_be_replaced_stays_as_it_was(tmp_path, monkeypatch, failing):
    place = write_folder(tmp_path / PLACE, {"what": b"old"})
    calls, rename = [], os.replace

    def full(*given):
        calls.append(given)
        if len(calls) == failing:
            raise OSError(28, "No space left on device")
        rename(*given)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_folder(place, {"what": b"new"})
    assert what(place) == b"old"
    assert list(tmp_path.iterdir()) == [place]


def test_an_old_folder_that_cannot_be_deleted_gives_way_to_the_new_one(tmp_path, monkeypatch):
    place = write_folder(tmp_path / "checkpoints" / PLACE, {"what": b"old"})
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        write_folder(place, {"what": b"new"})
    assert what(place) == b"new"
    drop_unfinished(tmp_path)
    assert list(place.parent.iterdir()) == [place]


def test_no_folder_is_replaced_through_a_link(tmp_path):
    home = write_folder(tmp_path / "home", {"what": b"mine"})
    (tmp_path / PLACE).symlink_to(home)
    with pytest.raises(NotADirectoryError, match="a folder, made by us"):
        write_folder(tmp_path / PLACE, {"what": b"new"})
    assert what(home) == b"mine"


def test_a_new_file_has_the_mode_that_the_umask_says(tmp_path, shared):
    write_text(tmp_path / "spec.json", "{}")
    assert mode_of(tmp_path / "spec.json") == 0o664


def test_a_file_that_is_written_again_keeps_its_mode(tmp_path, shared):
    path = tmp_path / "spec.json"
    path.write_text("{}")
    path.chmod(0o640)
    write_text(path, "[]")
    assert (path.read_text(), mode_of(path)) == ("[]", 0o640)


def test_a_link_is_replaced_by_a_file_of_its_own(tmp_path, shared):
    home = tmp_path / "home"
    home.write_text("mine")
    home.chmod(0o600)
    (tmp_path / "spec.json").symlink_to(home)
    write_text(tmp_path / "spec.json", "{}")
    assert mode_of(tmp_path / "spec.json") == 0o664
    assert (home.read_text(), mode_of(home)) == ("mine", 0o600)


def test_all_that_is_in_a_checkpoint_is_the_groups_too(tmp_path, shared):
    place = write_folder(tmp_path / "checkpoints" / PLACE, {"what": b"new"})
    assert {mode_of(p) for p in (place.parent, place)} == {0o775}
    assert {mode_of(p) for p in place.iterdir()} == {0o664}


@pytest.mark.parametrize("name", [PLACE, f".{PLACE}.old"])
def test_a_link_in_the_way_of_a_folder_is_named_with_what_to_do(tmp_path, name):
    home = write_folder(tmp_path / "home", {"what": b"mine"})
    (tmp_path / name).symlink_to(home)
    told = f"{tmp_path / name} is a link; allowed: .*: move {home} to where the link is, or"
    with pytest.raises(ValueError, match=told):
        write_folder(tmp_path / PLACE, {"what": b"new"})
    assert what(home) == b"mine"


def test_what_stands_in_the_way_of_a_file_or_a_folder_is_set_aside(tmp_path):
    (tmp_path / "spec.json" / "mine").mkdir(parents=True)
    write_text(tmp_path / "spec.json", "{}")
    assert (tmp_path / "spec.json").read_text() == "{}"
    assert (tmp_path / "spec.json.damaged" / "mine").is_dir()
    (tmp_path / PLACE).write_text("mine")
    assert what(write_folder(tmp_path / PLACE, {"what": b"new"})) == b"new"
    assert (tmp_path / f"{PLACE}.damaged").read_text() == "mine"


def test_nothing_that_was_set_aside_is_lost_to_what_is_set_aside_later(tmp_path):
    for text in ("one", "two", "three"):
        (tmp_path / "a").write_text(text)
        set_aside(tmp_path / "a")
    assert {path.read_text() for path in tmp_path.iterdir()} == {"one", "two", "three"}
