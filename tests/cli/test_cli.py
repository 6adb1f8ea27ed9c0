"""The command line: what it prints, how fast it starts, and its exit codes."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from whichgoal.cli import main as cli
from whichgoal.cli.main import main
from whichgoal.errors import CommandError
from whichgoal.run.reach import ClusterError
from whichgoal.run.session import PlacementError
from whichgoal.run.stages import Unsearched
from whichgoal.run.sweep_run import Interrupted, Unfinished
from whichgoal.storage import remote_files
from whichgoal.storage.files import StorageError
from whichgoal.tracking.sync import Unsent
from whichgoal.tracking.uri import TrackingError

SWEEP = """\
name: two
question: Does it go for the arrow?
base:
  world: {name: arrow_maze, size: 7, test_size: 9}
  model: {arch: mlp, capacity: 20_000}
  train: {env_steps: 80_000}
axes:
  world.agreement.arrow: [1.0, 0.5]
"""


@pytest.fixture
def sweep_file(tmp_path: Path) -> Path:
    path = tmp_path / "two.yaml"
    path.write_text(SWEEP)
    return path


def refused(capsys: pytest.CaptureFixture, *argv: object) -> str:
    """Returns the one line that a refused command prints."""
    assert main([str(a) for a in argv]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.strip().splitlines()) == 1
    return shown.err.strip()


def test_plan_prints_json_that_others_rely_on(sweep_file, capsys):
    assert main(["plan", str(sweep_file), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["sweep"] == "two"
    assert plan["axes"] == {"world.agreement.arrow": [1.0, 0.5]}
    first, second = plan["trials"]
    assert first.keys() == {
        "id",
        "cell",
        "choices",
        "tuned",
        "search",
        "seed",
        "arch",
        "capacity",
        "parameters",
        "trunk_parameters",
        "readout_parameters",
        "features",
        "width",
        "flops",
        "depth",
        "state_size",
        "world",
        "env_steps",
        "trained",
        "scored",
        "done",
    }
    assert (first["arch"], first["capacity"], first["seed"]) == ("mlp", 20_000, 0)
    assert first["parameters"] == pytest.approx(20_000, rel=0.05)
    assert first["world"]["name"] == "arrow_maze"
    assert first["choices"] == {"world.agreement.arrow": 1.0}
    assert second["choices"] == {"world.agreement.arrow": 0.5}
    assert (first["env_steps"], first["done"]) == (80_000, False)
    assert first["id"] != second["id"]
    assert plan.keys() == {
        "sweep",
        "question",
        "overrides",
        "answer",
        "axes",
        "battery",
        "resources",
        "limits",
        "tune",
        "explore",
        "trials",
        "cost",
    }


def test_planning_writes_nothing(sweep_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["plan", str(sweep_file)]) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["two.yaml"]


def test_plan_prints_a_table(sweep_file, capsys):
    assert main(["plan", str(sweep_file)]) == 0
    shown = capsys.readouterr().out
    assert "Does it go for the arrow?" in shown
    assert "2 trials in 2 cells, 0 of 2 trained, 0 scored; 160,000 env steps to train" in shown


def test_no_name_becomes_a_picture(sweep_file, capsys):
    named = [f'question="Does {one} stay?"' for one in (":end:", ":arrow_up:")]
    for question in named:
        assert main(["plan", str(sweep_file), question]) == 0
        assert question.split('"')[1] in capsys.readouterr().out


HEAVY = """
import sys
sys.argv = ["whichgoal", *sys.argv[1:]]
from whichgoal.cli.main import main
code = main()
heavy = {"torch", "ray", "mlflow", "minigrid", "pandas"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else code)
"""


def test_plan_imports_nothing_that_is_slow(sweep_file):
    command = [sys.executable, "-c", HEAVY, "plan", str(sweep_file)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr


def test_help_imports_next_to_nothing():
    check = (
        "import sys, whichgoal.cli.arguments as c, whichgoal.cli.main; c.parser().format_help();"
        "sys.exit(str({'pydantic', 'numpy', 'rich', 'numba'} & set(sys.modules) or 0))"
    )
    ended = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert ended.stderr.strip() == "0"


@pytest.mark.parametrize("command", ["plan", "run", "compare"])
def test_a_storage_without_a_name_is_refused(command, sweep_file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main([command, str(sweep_file), "--storage", ""])
    assert ended.value.code == 2
    assert "--storage: '' given; allowed: a folder, or a URL" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["two.yaml"]


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("whichgoal ")


def test_a_mistake_in_a_sweep_file_is_told_with_its_place(sweep_file, capsys):
    sweep_file.write_text(SWEEP.replace("mlp", "mpl"))
    told = refused(capsys, "plan", sweep_file)
    assert told == (
        f"{sweep_file}:5:17: unknown model.arch 'mpl'; "
        "allowed: gtrxl, lstm, mlp, planner, vin; did you mean 'mlp'?"
    )


def test_a_refused_run_starts_and_writes_nothing(sweep_file, tmp_path, capsys):
    sweep_file.write_text(SWEEP.replace("0.5]", "1.5]"))
    refused(capsys, "run", sweep_file, "--storage", tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("root", ["/proc/nowhere", "/dev/null/runs", "s3://bucket/runs"])
def test_a_storage_that_cannot_be_written_to_is_told(sweep_file, root, capsys, monkeypatch):
    monkeypatch.setattr(remote_files, "WAITS_S", (0.1,))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert root in refused(capsys, "run", sweep_file, "--storage", root)


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("./mlruns", "file store is not supported"),
        ("sqlite:////dev/null/mlflow.db", "cannot be used"),
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("foo://bar", "MLflow at foo:// is not supported"),
        ("postgresql://127.0.0.1:1/x", "reached through an MLflow server"),
        ("mysql://nohost/x", "reached through an MLflow server"),
        ("http://127.0.0.1:notaport", "cannot be used: Port could not be cast"),
        ("http://[::1", "cannot be used"),
        ("http://", "cannot be used: no host"),
    ],
)
def test_an_mlflow_that_cannot_be_used_is_told(
    uri, told, sweep_file, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    line = refused(capsys, "run", sweep_file, "--storage", tmp_path / "runs")
    assert uri in line
    assert told in line
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def babbler() -> Iterator[int]:
    """A port of this machine that answers, but not in HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"220 mail here\r\nand\nmore\r\n")

        threading.Thread(target=answer, daemon=True).start()
        yield server.getsockname()[1]


def test_a_port_that_speaks_another_protocol_is_told(
    babbler, sweep_file, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{babbler}")
    told = refused(capsys, "run", sweep_file, "--storage", tmp_path / "runs")
    assert "does not answer as one: 220 mail here" in told


@pytest.mark.parametrize("command", ["plan", "run", "compare"])
def test_a_storage_that_is_a_file_is_told(command, sweep_file, tmp_path, capsys):
    (tmp_path / "a_file").write_text("")
    told = refused(capsys, command, sweep_file, "--storage", tmp_path / "a_file")
    assert f"{tmp_path / 'a_file'} is no folder; allowed: a folder" in told


def test_a_figure_of_a_kind_that_cannot_be_drawn_is_told_before_anything_is_validated(capsys):
    told = refused(capsys, "validate", "--scripted", "--figure", "matrix.txt")
    assert told.startswith("--figure matrix.txt given; allowed: a file that ends in ")


def test_a_sweep_file_of_another_suffix_is_meant(sweep_file, capsys):
    told = refused(capsys, "run", sweep_file.with_suffix(".yml"))
    assert told.rstrip().endswith(f"did you mean '{sweep_file}'?")


def test_sync_of_what_holds_no_sweep_is_told(tmp_path, capsys):
    assert "holds no sweep" in refused(capsys, "sync", "--storage", tmp_path)


def test_a_bad_storage_beside_an_mlflow_store_elsewhere_leaves_nothing(
    sweep_file, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/new/folder/mlflow.db")
    refused(capsys, "run", sweep_file, "--storage", "/dev/null/runs")
    assert [p.name for p in tmp_path.iterdir()] == ["two.yaml"]


def test_a_damaged_mlflow_store_is_told(sweep_file, tmp_path, capsys, monkeypatch):
    (tmp_path / "mlflow.db").write_text("this is not a database, whatever its name says" * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    assert "not a database" in refused(capsys, "run", sweep_file, "--storage", tmp_path / "runs")


def test_a_trial_folder_that_holds_another_trial_is_told(sweep_file, tmp_path, capsys):
    assert main(["plan", str(sweep_file), "--json"]) == 0
    trial = json.loads(capsys.readouterr().out)["trials"][0]["id"]
    folder = tmp_path / "runs" / "trials" / trial
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text('{"world": {"name": "another"}}')
    told = refused(capsys, "run", sweep_file, "--storage", tmp_path / "runs")
    assert "holds another trial" in told


def test_scoring_what_is_not_there_is_told(tmp_path, capsys):
    assert "does not exist" in refused(capsys, "score", tmp_path / "nowhere")
    assert "holds no agent" in refused(capsys, "score", tmp_path)


def test_scoring_a_foreign_file_as_a_checkpoint_is_told(tmp_path, capsys):
    (tmp_path / "weights.safetensors").write_bytes(b"pickle" * 10)
    assert str(tmp_path) in refused(capsys, "score", tmp_path)


@pytest.mark.parametrize(
    "argv", [["run"], ["plan"], ["play"], ["fly"], ["score", "x", "--episodes=0"]]
)
def test_a_wrong_command_line_is_exit_code_2(argv, capsys):
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


class Full(CommandError):
    """An error that the command line has never heard of."""

    exit_code = 75


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Full, 75),
        (Interrupted, 130),
        (Unfinished, 1),
        (Unsent, 1),
        (Unsearched, 1),
        (PlacementError, 1),
        (ClusterError, 2),
        (StorageError, 2),
        (TrackingError, 2),
        (ValueError, 2),
        (FileNotFoundError, 1),
    ],
)
def test_what_ends_a_command_is_told_in_its_words_with_its_exit_code(
    error, code, sweep_file, capsys, monkeypatch
):
    def fail(_: object) -> int:
        raise error("not now\nnor http://ann:hidden@host later")

    monkeypatch.setitem(cli.COMMANDS, "plan", fail)
    assert main(["plan", str(sweep_file)]) == code
    assert capsys.readouterr().err == "not now\nnor http://***@host later\n"


def test_an_error_of_our_own_is_shown_whole_without_secrets(sweep_file, capsys, monkeypatch):
    def fail(_: object) -> int:
        try:
            raise OSError("no such key: very/secret+1")
        except OSError as error:
            raise TypeError("http://ann:hidden@host is no number") from error

    monkeypatch.setenv("WANDB_KEY", "very/secret+1")
    monkeypatch.setitem(cli.COMMANDS, "plan", fail)
    assert main(["plan", str(sweep_file)]) == 1
    told = capsys.readouterr().err
    assert told.startswith("Traceback (most recent call last):")
    assert "in fail\n" in told
    assert "OSError: no such key: ***\n" in told
    assert told.endswith("TypeError: http://***@host is no number\n")


def test_a_closed_pipe_is_not_an_error_of_ours(sweep_file):
    command = f"{sys.executable} -m whichgoal.cli plan {sweep_file} --json | true"
    ended = subprocess.run(
        command, shell=True, capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert "Traceback" not in ended.stderr
    assert os.path.exists(sweep_file)
