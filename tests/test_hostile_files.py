"""Each file of a trial x what a file can be: it costs its own trial, told in one line, no other."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from simulated_agents import ADOPTS, card

from whichgoal.cli.main import main
from whichgoal.compare.scored import read
from whichgoal.divergence.probe.stage import trained_agent
from whichgoal.divergence.score import agents, along, recorded
from whichgoal.divergence.score.agents import score_path
from whichgoal.envs.registry import world_named
from whichgoal.models import checkpoint
from whichgoal.models.agent import Agent
from whichgoal.spec import TrialSpec
from whichgoal.storage import ledger, status, tables
from whichgoal.storage.curve import read_curve
from whichgoal.storage.files import write_json, write_text
from whichgoal.storage.reading import visible
from whichgoal.storage.root import Storage
from whichgoal.sweep import cost
from whichgoal.sweep.file.check import load
from whichgoal.sweep.plan import plan
from whichgoal.sweep.sweep import Sweep
from whichgoal.tracking.planned import Planned

SWEEP = """\
name: three
question: Does it go for the arrow?
base:
  world: {name: arrow_maze, size: 7, test_size: 9}
  model: {arch: mlp, capacity: 5_000}
  train:
    {env_steps: 512, num_envs: 16, rollout_len: 32, minibatch_size: 512}
battery: {episodes: 16}
seeds: 3
"""
STEPS = f"{512:012d}"
CHECKPOINT = [f"checkpoints/{STEPS}/{name}" for name in checkpoint.FILES]
RECORDS = ["spec.json", "battery.json"]
MARKERS = [f"done/{stage}.json" for stage in ("train", "probe", "score", "along")]
PRODUCTS = [recorded.EPISODES, recorded.SCORES, recorded.CARD, recorded.ALONG_SCORES]
FILES = [*RECORDS, *MARKERS, *CHECKPOINT, *PRODUCTS, recorded.ALONG_CARDS, "progress.jsonl"]
SUMMED = [*CHECKPOINT, *PRODUCTS, recorded.ALONG_CARDS]
"""Those whose checksums others hold."""
SECONDS = 1.0
"""In which each of the commands is over, whatever lies there."""


def write_trial(storage: Storage, sweep: Sweep, spec: TrialSpec) -> None:
    """Writes what all stages of a trial leave: sound, but for tables without rows."""
    folder = storage.trial(spec.id)
    ledger.claim(folder, spec)
    ledger.keep_battery(folder, sweep.battery)
    row = {"env_steps": 512, "env_steps_per_s": 100.0, "seconds": 5.0, "time": 1.7e9}
    write_text(folder / "progress.jsonl", json.dumps(row) + "\n")
    torch.manual_seed(0)
    palette = world_named("arrow_maze").palette(world_named("arrow_maze").Design())
    agent = Agent((7, 7, 3), 3, palette, spec.model)
    checkpoint.save(folder / "checkpoints" / STEPS, agent, spec, 512, palette)
    made = card(ADOPTS, 0.8, trial=spec.id, battery=sweep.battery.version)
    write_text(folder / recorded.CARD, made.model_dump_json())
    write_json(folder / recorded.ALONG_CARDS, [])
    tables.write(tables.EPISODES.empty_table(), folder / recorded.EPISODES, tables.EPISODES)
    for name in (recorded.SCORES, recorded.ALONG_SCORES):
        tables.write(tables.SCORES.empty_table(), folder / name, tables.SCORES)
    battery = sweep.battery
    there = ledger.TrialFolder(folder)
    there.finish("train", [folder / name for name in CHECKPOINT], status.train_inputs(spec))
    there.finish("probe", [folder / recorded.EPISODES], status.probe_inputs(there, battery))
    scores = [folder / recorded.SCORES, folder / recorded.CARD]
    there.finish("score", scores, status.score_inputs(there, battery))
    kept = [folder / recorded.ALONG_SCORES, folder / recorded.ALONG_CARDS]
    there.finish("along", kept, along._inputs(there, battery))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep and its storage root, with all three trials done."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "three.yaml").write_text(SWEEP)
    sweep, storage = load(folder / "three.yaml"), Storage.at(folder / "runs")
    storage.prepare()
    storage.sweep(sweep.name).mkdir(parents=True)
    write_json(storage.sweep(sweep.name) / "plan.json", plan(sweep))
    for spec in sweep.trials():
        write_trial(storage, sweep, spec)
    return folder


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    """A copy of its own."""
    return Path(shutil.copytree(whole, tmp_path / "copy"))


@pytest.fixture(autouse=True)
def reads_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stages read what they read, and play and score nothing."""
    monkeypatch.setattr(agents, "probe", lambda battery, trial, panels: trained_agent(trial))
    monkeypatch.setattr(
        agents, "score", lambda battery, trial, panels: (recorded.episodes(trial), card(ADOPTS))[1]
    )


Fault = Callable[[Path], None]


def bytes_of(data: bytes) -> Fault:
    return lambda path: path.write_bytes(data)


def cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def enormous(path: Path) -> None:
    os.truncate(path, 2**40)  # sparse: no disk is taken


def instead(make: Callable[[Path], object]) -> Fault:
    def fault(path: Path) -> None:
        path.unlink()
        make(path)

    return fault


def colored(path: Path) -> None:
    """Puts a screen's worth of control characters into every text of a JSON file."""
    if path.suffix in (".json", ".jsonl"):
        path.write_text(json.dumps(_colored(json.loads(path.read_text()))))
    else:
        path.write_bytes(b"\x1b[2J" + path.read_bytes())


def _colored(value: Any) -> Any:
    if isinstance(value, str):
        return f"\x1b[2J\x9b\u202e\r{value}"
    if isinstance(value, list):
        return [_colored(one) for one in value]
    return {key: _colored(one) for key, one in value.items()} if isinstance(value, dict) else value


FAULTS: dict[str, Fault] = {
    "empty": bytes_of(b""),
    "cut off": cut,
    "garbage": bytes_of(bytes(range(256)) * 8),
    "not UTF-8": bytes_of(b'{"a": "\xff\xfe"}'),
    "a list": bytes_of(b"[1, {}, []]"),
    "a number": bytes_of(b"3"),
    "a map": bytes_of(b'{"a": 1}'),
    "nothing": bytes_of(b"null"),
    "nested deep": bytes_of(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "opened only": bytes_of(b"[" * 200_000),
    "a huge number": bytes_of(b'{"seed": ' + b"9" * 5_000 + b"}"),
    "a huge exponent": bytes_of(b'{"seed": 1e999}'),
    "NaN": bytes_of(b'{"seed": NaN}'),
    "a battery beyond all bounds": bytes_of(b'{"episodes": 1000000000000}'),
    "a quote that is not ended": bytes_of(b'{"a": "' + b'\\"' * 100_000),
    "a header that is a lie": bytes_of((2**40).to_bytes(8, "little") + b"{}" * 100),
    "control characters": colored,
    "enormous": enormous,
    "a folder": instead(Path.mkdir),
    "a pipe": instead(os.mkfifo),
    "a link to nowhere": instead(lambda path: path.symlink_to(path.with_name("nowhere"))),
    "a link to itself": instead(lambda path: path.symlink_to(path)),
    "a device": instead(lambda path: path.symlink_to("/dev/zero")),
}


def forge(folder: Path, name: str) -> None:
    """Makes every checksum that speaks of a file that of what it holds now."""
    path = folder / name
    if not path.is_file() or path.stat().st_size > 2**30:
        return
    new = ledger.checksum(path)
    kept = [*folder.glob("checkpoints/*/manifest.json"), *folder.glob("done/*.json")]
    for record in [one for one in kept if one != path and one.is_file()]:
        content = json.loads(record.read_bytes())
        for sums in (content.get("sha256"), content.get("products")):
            for known in sums or {}:
                if path in (record.parent / known, folder / known):
                    sums[known] = new
        record.write_text(json.dumps(content))
        if record.name == checkpoint.MANIFEST:
            forge(folder, str(record.relative_to(folder)))


def is_one_line(told: str) -> bool:
    return bool(told) and told == visible(told) and "\n" not in told and len(told) < 1500


def looks(root: Path, sweep: Sweep, hit: str) -> Iterator[tuple[str, Callable[[], list[str]]]]:
    """Yields who goes over all trials: each returns the lines that it told of the one."""
    storage = Storage.at(root / "runs")
    others = {spec.id for spec in sweep.trials()} - {hit}

    def compare() -> list[str]:
        (found,) = read(storage.root, storage)
        assert others <= {agent.card.trial for agent in found.agents}
        return list(found.damaged)

    def planned() -> list[str]:
        listed = {trial["id"]: trial for trial in plan(sweep, storage)["trials"]}
        assert all(listed[one]["done"] and "problem" not in listed[one] for one in others)
        return [listed[hit]["problem"]] if "problem" in listed[hit] else []

    def score() -> list[str]:
        found = score_path(storage.root)
        assert others <= {Path(one.path).name for one in found.cards}
        return found.problems

    def track() -> list[str]:
        known = Planned(storage, sweep.name)
        assert others <= {agent.card.trial for agent in known.agents()}
        return []

    def estimate() -> list[str]:
        kinds = cost.kinds_of(sweep.trials())
        assert cost.speeds(kinds, storage)[kinds[0]].runs >= len(others)
        return []

    yield from (
        ("compare", compare),
        ("score", score),
        ("plan", planned),
        ("track", track),
        ("estimate", estimate),
    )


def readers(folder: Path) -> Iterator[Callable[[], object]]:
    """Yields all that reads a file of one trial."""
    trial = ledger.TrialFolder(folder)
    yield lambda: checkpoint.load(folder / "checkpoints" / STEPS)
    yield lambda: trained_agent(trial)
    yield lambda: recorded.card(trial)
    yield lambda: recorded.episodes(trial)
    yield lambda: recorded.scores(trial)
    yield lambda: along.read_cards(folder)
    yield lambda: read_curve(folder)
    yield lambda: (trial.spec, trial.battery)


def restore(before: dict[Path, bytes], fault: Path) -> None:
    """Makes files what they were; the one with a fault may be no file."""
    shutil.rmtree(fault) if fault.is_dir() else fault.unlink()
    for path, data in before.items():
        if path == fault or path.read_bytes() != data:
            path.write_bytes(data)


def refused(attempt: Callable[[], object]) -> str | None:
    """Returns what a reader says that refuses; None where it doesn't."""
    try:
        attempt()
    except (ValueError, OSError) as error:
        return str(error)
    return None


@pytest.mark.timeout(60)
@pytest.mark.parametrize("file", FILES)
def test_whatever_a_file_is_it_costs_its_own_trial_and_is_told_in_one_line(root, file):
    sweep = load(root / "three.yaml")
    hit = sorted((root / "runs" / "trials").iterdir())[1]
    before = {path: path.read_bytes() for path in hit.rglob("*") if path.is_file()}
    for name, fault in FAULTS.items():
        for forged in (False, True) if file in SUMMED else (False,):
            fault(hit / file)
            if forged:
                forge(hit, file)
            told = []
            for who, look in list(looks(root, sweep, hit.name))[: 2 if forged else None]:
                begun = time.perf_counter()
                lines = look()
                took = time.perf_counter() - begun
                assert took < SECONDS, f"{who} took {took:.1f} s where {file} is {name}"
                assert len(lines) <= 1, (who, name, lines)
                assert all(map(is_one_line, lines)), (who, name, lines)
                told += lines
            for line in filter(None, map(refused, readers(hit))):
                assert is_one_line(line), (name, line)
            if not forged and file != "progress.jsonl":
                assert any(Path(file).name in line for line in told), (name, told)
            restore(before, hit / file)
    assert not any(lines for _, look in looks(root, sweep, hit.name) for lines in look())


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", FAULTS)
def test_whatever_a_plan_is_it_costs_its_own_sweep(root, name, capsys):
    other = root / "runs" / "sweeps" / "another"
    shutil.copytree(root / "runs" / "sweeps" / "three", other)
    FAULTS[name](other / "plan.json")
    begun = time.perf_counter()
    assert main(["compare", str(root / "runs"), "--json"]) == 0
    shown = capsys.readouterr()
    assert time.perf_counter() - begun < 5
    assert "three" in {one["sweep"] for one in json.loads(shown.out)["sweeps"]}
    assert all(map(is_one_line, shown.err.splitlines()))
    assert main(["compare", str(other)]) in (0, 2)
    assert "Traceback" not in capsys.readouterr().err
