"""What counts as done, who may write, and what is refused."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from whichgoal.run.trial import Report, carry_out
from whichgoal.spec import BatterySpec, TrialSpec, WorldSpec
from whichgoal.storage import ledger, reading
from whichgoal.storage.files import StorageError, lock_folder, write_json
from whichgoal.storage.root import Storage

SPEC = TrialSpec(world=WorldSpec(name="arrow_maze"))
INPUTS = {"trial": "abc", "levels": [1, 2]}


@pytest.fixture
def folder(tmp_path):
    """A trial's folder whose training is finished."""
    (tmp_path / "weights").write_bytes(b"weights")
    ledger.TrialFolder(tmp_path).finish("train", [tmp_path / "weights"], INPUTS)
    return tmp_path


def test_a_finished_stage_is_finished(folder):
    assert ledger.TrialFolder(folder).is_finished("train")
    assert ledger.TrialFolder(folder).is_finished("train", INPUTS)


def test_another_stage_is_not(folder):
    assert not ledger.TrialFolder(folder).is_finished("probe")


def test_a_stage_made_from_other_inputs_is_not_finished(folder):
    assert not ledger.TrialFolder(folder).is_finished("train", {"trial": "other"})


def test_a_changed_product_is_not_finished(folder):
    (folder / "weights").write_bytes(b"weightz")
    assert not ledger.TrialFolder(folder).is_finished("train")


def test_a_lost_product_is_not_finished(folder):
    (folder / "weights").unlink()
    assert not ledger.TrialFolder(folder).is_finished("train")


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"stage": "train"}', "\x00\x01"])
def test_a_damaged_marker_counts_as_not_done(folder, damage):
    (folder / "done" / "train.json").write_text(damage)
    assert not ledger.TrialFolder(folder).is_finished("train", INPUTS)


def test_a_marker_says_how_it_was_made(folder):
    record = json.loads((folder / "done" / "train.json").read_text())
    assert {"ray", "torch", "numpy"} <= record["versions"].keys()
    assert record["finished"].endswith("+00:00")


def test_a_marker_says_how_long_its_stage_took_and_that_changes_no_result(folder):
    assert ledger.TrialFolder(folder).seconds("train") is None
    ledger.TrialFolder(folder).finish("train", [folder / "weights"], INPUTS, seconds=2.5)
    assert ledger.TrialFolder(folder).seconds("train") == 2.5
    assert ledger.TrialFolder(folder).is_finished("train", INPUTS)
    (folder / "done" / "train.json").write_text('{"seconds": "long"}')
    assert ledger.TrialFolder(folder).seconds("train") is None


def test_a_folder_is_claimed_once_and_again_by_the_same_trial(tmp_path):
    ledger.claim(tmp_path / "t", SPEC)
    ledger.claim(tmp_path / "t", SPEC)
    kept = TrialSpec.model_validate_json((tmp_path / "t" / "spec.json").read_text())
    assert kept.id == SPEC.id


def test_a_folder_of_another_trial_is_refused_naming_the_difference(tmp_path):
    ledger.claim(tmp_path, SPEC)
    other = SPEC.model_copy(update={"ppo": SPEC.ppo.model_copy(update={"lr": 0.5})})
    with pytest.raises(StorageError, match=r"differs in ppo\.lr"):
        ledger.claim(tmp_path, other)


STEPS = f"{512:012d}"
DAMAGES = {
    "cut off": lambda path: path.write_text("{"),
    "a list": lambda path: path.write_text("[]"),
    "another trial's": lambda path: path.write_text(path.read_text().replace("arrow", "arr0w")),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a link to nowhere": lambda path: (path.unlink(), path.symlink_to("nowhere")),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_spec_is_written_anew_as_its_folder_is_named_by_it(tmp_path, damage):
    folder = tmp_path / SPEC.id
    ledger.claim(folder, SPEC)
    whole = (folder / "spec.json").read_text()
    (folder / "checkpoints" / STEPS).mkdir(parents=True)
    write_json(folder / "checkpoints" / STEPS / "trial.json", {"trial_id": SPEC.id})
    damage(folder / "spec.json")
    ledger.claim(folder, SPEC)
    assert (folder / "spec.json").read_text() == whole
    assert os.path.lexists(folder / "spec.json.damaged")
    assert (folder / "checkpoints" / STEPS).is_dir()


def test_a_spec_that_cannot_be_read_now_is_not_taken_for_damaged(tmp_path, monkeypatch):
    folder = tmp_path / SPEC.id
    ledger.claim(folder, SPEC)

    def fails(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(reading, "_open", fails)
    with pytest.raises(StorageError, match="not readable: Input/output error; run again once"):
        ledger.claim(folder, SPEC)
    assert [path.name for path in folder.iterdir()] == ["spec.json"]


def test_no_advice_about_a_damaged_spec_costs_a_trained_agent(tmp_path):
    (tmp_path / "spec.json").write_text("{")
    with pytest.raises(StorageError, match="move that file away and run again") as told:
        ledger.claim(tmp_path, SPEC)
    assert "delete" not in str(told.value)


@pytest.mark.parametrize("name", ["checkpoints", f"checkpoints/{STEPS}", f"resume/{STEPS}"])
def test_a_folder_of_a_trial_that_is_a_link_is_named_with_what_to_do(tmp_path, name):
    (tmp_path / "trial" / name).parent.mkdir(parents=True)
    (tmp_path / "home").mkdir()
    (tmp_path / "trial" / name).symlink_to(tmp_path / "home")
    with pytest.raises(StorageError, match=f"{name} is a link; .*: move {tmp_path / 'home'} to"):
        ledger.claim(tmp_path / "trial", SPEC)


def test_a_trials_folder_that_is_a_link_to_nowhere_is_named(tmp_path):
    (tmp_path / "trial").symlink_to("nowhere")
    told = r"trial is a link; .* move nowhere to"
    with pytest.raises(StorageError, match=told), lock_folder(tmp_path / "trial", "a trial"):
        pass


def test_what_stands_in_the_way_of_a_marker_is_set_aside(tmp_path):
    (tmp_path / "weights").write_bytes(b"weights")
    (tmp_path / "done" / "train.json").mkdir(parents=True)
    trial = ledger.TrialFolder(tmp_path)
    trial.finish("train", [tmp_path / "weights"], INPUTS)
    assert ledger.TrialFolder(tmp_path).is_finished("train", INPUTS)


def test_a_damaged_spec_is_refused(tmp_path):
    (tmp_path / "spec.json").write_text("{")
    with pytest.raises(StorageError, match="is damaged"):
        ledger.claim(tmp_path, SPEC)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "plan.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["plan.json"]


@pytest.mark.parametrize("root", ["/proc/nowhere", "/dev/null/runs"])
def test_an_unwritable_storage_is_refused_in_one_line(root):
    with pytest.raises(StorageError) as caught:
        Storage.at(root).prepare()
    assert str(caught.value).startswith(f"storage {root} cannot be written to: ")
    assert "\n" not in str(caught.value)


def test_a_file_url_is_a_folder(tmp_path):
    assert Storage.at(f"file://{tmp_path}/a%20b").root == tmp_path / "a b"
    assert Storage.at(f"file://localhost{tmp_path}/%23%3F").root == tmp_path / "#?"
    assert Storage.at(f"file:{tmp_path}/a").root == tmp_path / "a"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("file://runs", "storage file://runs given; allowed: file:///FOLDER"),
        ("file://host/runs", "storage file://host/runs given; allowed: file:///FOLDER"),
        ("file:runs", "storage file:runs given; allowed: file:///FOLDER"),
        ("file:///a#b", "storage file:///a#b given; in a URL, ? is written %3F and # is %23"),
        ("file:///a?b", "storage file:///a?b given; in a URL, ? is written %3F and # is %23"),
        ("/tmp/\udcff", "storage '/tmp/\\udcff' given; allowed: a name in UTF-8"),
    ],
)
def test_a_storage_that_would_be_another_is_refused(url, told):
    with pytest.raises(StorageError) as caught:
        Storage.at(url)
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize("name", ["c%20d", "//[x", "a:b", "a b?#", "%", "~x", "ü&=+;'\""])
def test_a_folder_is_what_its_name_says_and_no_url(tmp_path, name):
    assert Storage.at(f"{tmp_path}/{name}").root == tmp_path / name.lstrip("/")


def test_a_storage_that_is_a_file_or_lies_below_one_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name, there in (("file", "file"), ("file/a/b", "file"), ("link/a", "link")):
        with pytest.raises(StorageError) as caught:
            Storage.at(tmp_path / name)
        assert f"{tmp_path / there} is no folder; allowed: a folder" in str(caught.value)
    assert Storage.at(tmp_path / "new" / "folder").root == tmp_path / "new" / "folder"


HOLD = """
import sys, time
from pathlib import Path
from whichgoal.storage.files import lock_folder
with lock_folder(Path(sys.argv[1]), "x"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of `tmp_path`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_writer_is_refused_naming_the_first(tmp_path, holder):
    told = f"sweep 's' is being worked on by process {holder.pid}"
    with pytest.raises(StorageError, match=told), lock_folder(tmp_path, "sweep 's'"):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with lock_folder(tmp_path, "sweep 's'"):
        pass


def test_a_lock_is_free_again_after_use(tmp_path):
    for _ in range(2):
        with lock_folder(tmp_path, "x"):
            pass


def test_a_trial_waits_for_another_process_and_then_goes_on(tmp_path, holder, monkeypatch):
    monkeypatch.setattr("whichgoal.run.trial.ASK_EVERY_S", 0.01)
    monkeypatch.setattr("whichgoal.run.trial.train", lambda *_: iter([Report("train", 0)]))
    reports = carry_out(SPEC, BatterySpec(), tmp_path)
    assert [next(reports).stage for _ in range(3)] == ["held"] * 3
    assert not (tmp_path / "spec.json").exists()
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert next(r.stage for r in reports if r.stage != "held") == "train"
    assert ledger.TrialFolder(tmp_path).spec == SPEC
    reports.close()
    with lock_folder(tmp_path, "x"):
        pass


@pytest.fixture
def hashed(monkeypatch) -> list[str]:
    """The names of the files that are hashed from now on."""
    names: list[str] = []
    digest = hashlib.file_digest

    def noted(file, name):
        names.append(Path(file.name).name)
        return digest(file, name)

    monkeypatch.setattr(hashlib, "file_digest", noted)
    return names


def test_a_product_that_stays_as_it_is_is_hashed_once(folder, hashed, monkeypatch):
    monkeypatch.setattr(ledger, "_SETTLED_NS", 0)
    time.sleep(0.02)
    assert all(ledger.TrialFolder(folder).is_finished("train") for _ in range(3))
    assert hashed == ["weights"]


def test_a_product_that_was_hashed_and_is_changed_by_another_is_seen(folder, monkeypatch):
    monkeypatch.setattr(ledger, "_SETTLED_NS", 0)
    time.sleep(0.02)
    assert ledger.TrialFolder(folder).is_finished("train")
    stat = (folder / "weights").stat()
    (folder / "weights").write_bytes(b"weightz")
    os.utime(folder / "weights", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert not ledger.TrialFolder(folder).is_finished("train")


def test_a_product_that_was_changed_just_now_is_hashed_again(folder, hashed):
    assert all(ledger.TrialFolder(folder).is_finished("train") for _ in range(2))
    assert hashed == ["weights", "weights"]


def test_a_trials_files_are_read_once_by_a_handle(folder, monkeypatch):
    read: list[str] = []
    data = reading.read_bytes

    def noted(path, *args):
        read.append(path.name)
        return data(path, *args)

    monkeypatch.setattr(reading, "read_bytes", noted)
    trial = ledger.TrialFolder(folder)
    assert [trial.is_finished("train", INPUTS), trial.is_finished("train")] == [True, True]
    assert [trial.is_finished("probe"), trial.is_finished("probe")] == [False, False]
    assert trial.products("train") is not None
    assert read == ["train.json", "probe.json"]


def test_a_handle_sees_the_stage_that_it_finishes(folder):
    trial = ledger.TrialFolder(folder)
    assert not trial.is_finished("probe")
    trial.finish("probe", [folder / "weights"], {})
    assert trial.is_finished("probe", {})
