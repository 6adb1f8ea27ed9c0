"""A storage root at a URL: what is pulled and pushed, in which order, and what happens when not."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from s3_server import SECRET, S3Server, client, objects, s3_server

from whichgoal.storage import remote_files
from whichgoal.storage.files import StorageError
from whichgoal.storage.remote import Remote
from whichgoal.storage.root import Storage

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_files, "WAITS_S", (0.05, 0.05, 0.05, 0.05, 0.05))


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def read(root: Path, folder: str) -> dict[str, str]:
    base = root / folder
    return {p.relative_to(base).as_posix(): p.read_text() for p in base.rglob("*") if p.is_file()}


FOLDER = {
    "trials/t/spec.json": "{}",
    "trials/t/checkpoints/01/weights": "w1",
    "trials/t/checkpoints/01/manifest.json": "m1",
    "trials/t/done/train.json": "d",
}


def test_what_one_machine_pushes_another_pulls(server: S3Server, tmp_path: Path) -> None:
    one, two = (Remote("s3://agents/runs", tmp_path / name) for name in ("one", "two"))
    write(one.root, FOLDER)
    one.push("trials/t")
    two.pull("trials/t")
    assert read(two.root, "trials/t") == read(one.root, "trials/t") != {}


def test_products_are_written_before_manifests_and_these_before_finished_markers(
    server: S3Server, tmp_path: Path
) -> None:
    one = Remote("s3://agents/runs", tmp_path)
    write(one.root, {**FOLDER, "trials/t/zz": "", "trials/t/resume/9/state.json": ""})
    one.push("trials/t")
    put = [
        line.split("/trials/t/")[1] for line in server.log if line.startswith("PUT /agents/runs/")
    ]
    ranks = [2 if "done" in name else 1 if "manifest" in name else 0 for name in put]
    assert ranks == sorted(ranks)
    assert set(ranks) == {0, 1, 2}


def test_marks_are_removed_before_what_they_mark(server: S3Server, tmp_path: Path) -> None:
    one = Remote("s3://agents/runs", tmp_path)
    write(one.root, FOLDER)
    one.push("trials/t")
    for name in ("checkpoints/01/weights", "checkpoints/01/manifest.json", "done/train.json"):
        (tmp_path / "trials/t" / name).unlink()
    one.push("trials/t")
    gone = [line.split("/trials/t/")[1] for line in server.log if line.startswith("DELETE")]
    assert gone == ["done/train.json", "checkpoints/01/manifest.json", "checkpoints/01/weights"]
    assert set(objects("runs/")) == {"runs/trials/t/spec.json"}


def test_only_what_differs_is_moved(server: S3Server, tmp_path: Path) -> None:
    one, two = (Remote("s3://agents/runs", tmp_path / name) for name in ("one", "two"))
    write(one.root, FOLDER)
    one.push("trials/t")
    two.pull("trials/t")
    write(one.root, {"trials/t/checkpoints/01/weights": "W1"})
    server.log.clear()
    one.push("trials/t")
    two.pull("trials/t")
    moved = [line for line in server.log if "/trials/t/" in line]
    assert moved == [
        "PUT /agents/runs/trials/t/checkpoints/01/weights",
        "GET /agents/runs/trials/t/checkpoints/01/weights",
    ]
    assert read(two.root, "trials/t")["checkpoints/01/weights"] == "W1"


def test_a_lost_index_of_what_was_moved_costs_no_transfer(server: S3Server, tmp_path: Path) -> None:
    one = Remote("s3://agents/runs", tmp_path)
    write(one.root, FOLDER)
    one.push("trials/t")
    (tmp_path / ".mirror/trials/t/known.json").write_text("damaged")
    server.log.clear()
    one.push("trials/t")
    one.pull("trials/t")
    assert not [line for line in server.log if "/trials/t/" in line]


def test_pulling_removes_what_a_killed_process_left_behind(
    server: S3Server, tmp_path: Path
) -> None:
    one = Remote("s3://agents/runs", tmp_path)
    write(one.root, FOLDER)
    one.push("trials/t")
    write(one.root, {"trials/t/checkpoints/02/weights": "stale", "trials/t/lock": ""})
    one.pull("trials/t")
    assert set(read(one.root, "trials/t")) == {
        *(name.removeprefix("trials/t/") for name in FOLDER),
        "lock",
    }


def test_a_folder_that_several_add_to_loses_nothing(server: S3Server, tmp_path: Path) -> None:
    one, two = (Remote("s3://agents/runs", tmp_path / name) for name in ("one", "two"))
    write(one.root, {"panels/a.npz": "a"})
    write(two.root, {"panels/b.npz": "b"})
    for each in (one, two, one):
        each.pull("panels", exact=False)
        each.push("panels", exact=False)
    assert read(one.root, "panels") == {"a.npz": "a", "b.npz": "b"}
    assert read(two.root, "panels") == {"a.npz": "a", "b.npz": "b"}


def test_half_written_files_and_locks_stay_here(server: S3Server, tmp_path: Path) -> None:
    one = Remote("s3://agents/runs", tmp_path)
    left = {
        "trials/t/.spec.json.x.tmp": "",
        "trials/t/resume/.writing-1/a": "",
        "trials/t/lock": "",
    }
    write(one.root, {**FOLDER, **left})
    one.push("trials/t")
    assert set(objects()) == {f"runs/{name}" for name in FOLDER}


@pytest.mark.parametrize("key", ["../../../outside", "a/../../../../outside", "/outside"])
def test_a_name_that_leaves_the_folder_is_refused(
    server: S3Server, tmp_path: Path, key: str
) -> None:
    client().put_object(Bucket="agents", Key=f"runs/trials/t/{key}", Body=b"evil")
    one = Remote("s3://agents/runs", tmp_path / "deep" / "cache")
    with pytest.raises(StorageError, match="would leave the folder trials/t"):
        one.pull("trials/t")
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_requests_that_fail_are_made_again(
    server: S3Server, tmp_path: Path, impatient: None
) -> None:
    one, two = (Remote("s3://agents/runs", tmp_path / name) for name in ("one", "two"))
    write(one.root, FOLDER)
    server.fail_next = 3
    one.push("trials/t")
    server.fail_next = 3
    two.pull("trials/t")
    assert server.fail_next == 0
    assert read(two.root, "trials/t") == read(one.root, "trials/t")


def test_a_storage_that_keeps_failing_is_one_line(
    server: S3Server, tmp_path: Path, impatient: None
) -> None:
    one = Remote("s3://agents/runs", tmp_path)
    server.fail_next = 10**6
    with pytest.raises(
        StorageError, match=r"^storage s3://agents/runs: listing trials/t: .*Unavailable"
    ) as told:
        one.pull("trials/t")
    assert "\n" not in str(told.value)
    assert SECRET not in str(told.value)


def test_a_storage_where_nothing_listens_is_refused_in_time(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHICHGOAL_CACHE", str(tmp_path))
    saved_s = 0.9 * sum(remote_files.WAITS_S)
    monkeypatch.setattr(remote_files, "WAITS_S", [0.1 * wait for wait in remote_files.WAITS_S])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
        begun = time.monotonic()
        with pytest.raises(StorageError, match=r"^storage s3://agents/runs"):
            Storage.at("s3://agents/runs").prepare()
        assert time.monotonic() - begun + saved_s < remote_files.ANSWER_S + 10


def test_a_storage_that_accepts_and_never_answers_is_refused_in_time(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHICHGOAL_CACHE", str(tmp_path))
    monkeypatch.setattr(remote_files, "ANSWER_S", 2.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        begun = time.monotonic()
        with pytest.raises(StorageError, match="does not answer within 2 s"):
            Storage.at("s3://agents/runs").prepare()
        assert time.monotonic() - begun < 20


def test_a_bucket_that_does_not_exist_is_refused_at_once(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHICHGOAL_CACHE", str(tmp_path))
    with pytest.raises(StorageError, match=r"^storage s3://none/runs: .*bucket does not exist"):
        Storage.at("s3://none/runs").prepare()


def test_a_url_names_the_same_cache_in_every_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHICHGOAL_CACHE", str(tmp_path))
    one, two = Storage.at("s3://agents/runs"), Storage.at("s3://agents/runs/")
    assert one.root == two.root
    assert one.root.parent == tmp_path
    assert Storage.at("s3://agents/other").root != one.root
    assert str(one) == str(two) == "s3://agents/runs"
    assert Storage.at(str(tmp_path)) == Storage(tmp_path)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nosuch://agents/runs", "allowed: a folder, file://, s3://"),
        (f"s3://me:{SECRET}@agents/runs", "credentials come from the environment"),
        (f"s3://agents/runs?secret={SECRET}", "credentials come from the environment"),
    ],
)
def test_urls_that_cannot_be_used_are_refused(url: str, told: str) -> None:
    with pytest.raises(StorageError, match=told) as error:
        Storage.at(url)
    assert SECRET not in str(error.value)


def test_a_missing_package_is_named() -> None:
    code = (
        "import sys; sys.modules['s3fs'] = None\n"
        "from whichgoal.storage.files import StorageError\n"
        "from whichgoal.storage.root import Storage\n"
        "try: Storage.at('s3://agents/runs')\n"
        "except StorageError as error: print(error)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert run.stdout == (
        "storage s3://agents/runs needs a package that is not installed; "
        "install 'whichgoal[s3]' with pip\n"
    )


PUSHER = """\
import sys
from pathlib import Path
from whichgoal.storage.remote import Remote
Remote("s3://agents/runs", Path(sys.argv[1])).push("trials/t")
"""


@pytest.mark.slow
@pytest.mark.parametrize("after", [9, 20, 28, 33])
def test_a_push_that_is_killed_leaves_a_sound_root(
    server: S3Server, tmp_path: Path, after: int
) -> None:
    for step in range(8):
        data = {f"trials/t/checkpoints/{step}/{n}": f"{step}{n}" for n in "abc"}
        sums = {name[-1]: hashlib.sha256(text.encode()).hexdigest() for name, text in data.items()}
        write(tmp_path, data)
        write(tmp_path, {f"trials/t/checkpoints/{step}/manifest.json": json.dumps(sums)})
    write(tmp_path, {"trials/t/done/train.json": "{}"})
    server.delay_s = 0.05
    process = subprocess.Popen(
        [sys.executable, "-c", PUSHER, str(tmp_path)], cwd=ROOT, env=os.environ
    )
    until = time.monotonic() + 60
    while sum(line.startswith("PUT") for line in server.log) < after:
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    server.delay_s = 0.0
    time.sleep(0.3)  # what the server had begun
    there = {key.removeprefix("runs/trials/t/"): data for key, data in objects().items()}
    assert 0 < len(there) < 33
    for name in [n for n in there if n.endswith("manifest.json")]:
        for product, digest in json.loads(there[name]).items():
            data = there[name.replace("manifest.json", product)]
            assert hashlib.sha256(data).hexdigest() == digest
    if "done/train.json" in there:
        assert len(there) == 33
    Remote("s3://agents/runs", tmp_path).push("trials/t")
    assert len(objects()) == 33
