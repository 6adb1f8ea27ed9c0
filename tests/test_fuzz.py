"""Files and policies that somebody broke at random: taken, or refused in printable lines.

`pytest tests/test_fuzz.py --hypothesis-profile=long` tries for as long as one likes to wait.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from simulated_agents import ADOPTS, card

from whichgoal.divergence.probe.external import External, PolicyError
from whichgoal.divergence.score.verdict import Scorecard
from whichgoal.models import checkpoint
from whichgoal.models.agent import Agent
from whichgoal.models.checkpoint import CheckpointError
from whichgoal.spec import ModelSpec, TrialSpec, WorldSpec
from whichgoal.storage import tables
from whichgoal.storage.reading import UnreadableFile, parse_json, visible
from whichgoal.sweep.file.check import load
from whichgoal.sweep.file.yaml_file import SweepError

SWEEPS = [path.read_bytes() for path in sorted(Path("sweeps").glob("*.yaml"))]
SPEC = TrialSpec(
    world=WorldSpec(name="arrow_maze", size=9), model=ModelSpec(arch="mlp", capacity=5_000)
)
PALETTE = [(0, 0, 0), (1, 0, 0), (2, 5, 0), (3, 1, 0)]
PIECES = [
    *(b"", b"\n", b": ", b"- ", b"  ", b"\t", b"{", b"}", b"[", b"]", b",", b'"', b"'", b"#", b"|"),
    *(
        b"&a ",
        b"*a",
        b"<<: ",
        b"!!int ",
        b"%YAML 1.1\n",
        b"---\n",
        b"null",
        b"true",
        b"yes",
        b".nan",
    ),
    *(
        b"-1",
        b"0",
        b"1e999",
        b"9" * 60,
        b"0x10",
        b"1_000",
        b"{range: [0, 1e9]}",
        b"\\u0000",
        b"\xff",
    ),
    *(b"\x1b[2J", b"\xe2\x80\xae", b"\x00", b"\xf0\x9f\x98\x80", b"a" * 300),
]
"""What is put into a file; also what is random."""
CHANGES = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 12), st.sampled_from(PIECES) | st.binary(max_size=9)),
    min_size=1,
    max_size=4,
)
"""Where, as a share of the file; how many bytes go; what comes."""
few = settings(suppress_health_check=list(HealthCheck), deadline=None)


def changed(data: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    for place, cut, new in changes:
        at = int(place * len(data))
        data = data[:at] + new + data[at + cut :]
    return data


def check_refusal(error: BaseException | str, most: int = 2000) -> None:
    """Checks that what a user reads of an error is one printable line that is not too long."""
    told = str(error)
    assert told.strip()
    assert visible(told) == told
    assert "\n" not in told
    assert len(told) <= most


@few
@given(st.sampled_from(SWEEPS), CHANGES)
def test_a_sweep_file(tmp_path: Path, data: bytes, changes: list[tuple[float, int, bytes]]) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_bytes(changed(data, changes))
    try:
        load(file)
    except SweepError as error:
        problems = error.problems
    else:
        return
    assert problems
    for problem in problems:
        check_refusal(problem)


@few
@given(CHANGES)
def test_a_scorecard(changes: list[tuple[float, int, bytes]]) -> None:
    data = changed(SCORECARD, changes)
    try:
        parse_json("scorecard.json", data)
    except UnreadableFile as error:
        check_refusal(error)
        return
    try:
        Scorecard.model_validate_json(data)
    except ValueError:  # pydantic's own, of many lines; `recorded.card` makes one of them
        return


SCORECARD = card(ADOPTS, 0.8).model_dump_json().encode()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    agent = Agent((7, 7, 3), 3, PALETTE, SPEC.model)
    folder = tmp_path_factory.mktemp("saved") / "000000000512"
    return checkpoint.save(folder, agent, SPEC, 512, PALETTE)


@few
@given(st.sampled_from(checkpoint.FILES), CHANGES, st.booleans())
def test_a_checkpoint(
    tmp_path: Path,
    saved: Path,
    name: str,
    changes: list[tuple[float, int, bytes]],
    is_signed: bool,
) -> None:
    """With its checksum as if it had been made so, and without."""
    folder = Path(shutil.copytree(saved, tmp_path / "copy", dirs_exist_ok=True))
    file = folder / name
    file.write_bytes(changed(file.read_bytes(), changes))
    if is_signed and name != checkpoint.MANIFEST:
        manifest = json.loads((folder / checkpoint.MANIFEST).read_text())
        manifest["sha256"][name] = hashlib.sha256(file.read_bytes()).hexdigest()
        (folder / checkpoint.MANIFEST).write_text(json.dumps(manifest))
    try:
        loaded = checkpoint.load(folder)
    except CheckpointError as error:
        check_refusal(error)
    else:
        obs, first = np.zeros((2, 7, 7, 3), np.uint8), np.ones(2, np.bool_)
        logits, _ = loaded.policy.step(obs, loaded.policy.initial_state(2), first)
        assert logits.shape == (2, 3)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    schema = tables.SCORES
    rows = [{field.name: _some(field.type) for field in schema} for _ in range(20)]
    file = tmp_path_factory.mktemp("table") / "scores.parquet"
    tables.write(pa.Table.from_pylist(rows, schema), file, schema)
    return file.read_bytes()


def _some(kind: pa.DataType) -> Any:
    if pa.types.is_floating(kind):
        return 0.5
    if pa.types.is_integer(kind):
        return 3
    if pa.types.is_boolean(kind):
        return True
    return "a"


@few
@given(CHANGES)
def test_a_table(tmp_path: Path, table: bytes, changes: list[tuple[float, int, bytes]]) -> None:
    file = tmp_path / "scores.parquet"
    file.write_bytes(changed(table, changes))
    try:
        found = tables.read(file, tables.SCORES)
    except ValueError as error:
        check_refusal(error)
    else:
        assert found.schema.names == tables.SCORES.names


NUMBERS = arrays.scalar_dtypes() | st.just(np.dtype(object)) | st.just(np.dtype("float16"))
ARRAYS = NUMBERS.flatmap(
    lambda dtype: arrays.arrays(
        dtype,
        st.sampled_from([(), (0,), (3,), (4,), (4, 1), (4, 3), (3, 4), (1, 4, 3), (4, 3, 1)]),
        elements=None if dtype.kind != "O" else st.none() | st.text(max_size=3) | st.integers(),
    )
)
ODD: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | ARRAYS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=6,
)


@few
@given(st.lists(ODD, min_size=1, max_size=3), st.booleans())
def test_what_a_policy_returns(answers: list[Any], remembers: bool) -> None:
    """Step by step, another thing each time."""
    given_back = iter(answers)

    def alone(obs: Any) -> Any:
        return next(given_back)

    def with_memory(obs: Any, state: Any, is_first: Any) -> Any:
        return next(given_back)

    chosen: Callable[..., Any] = with_memory if remembers else alone
    policy = External(chosen, 3)
    state = policy.initial_state(4)
    for step in range(len(answers)):
        obs = np.zeros((4, 7, 7, 3), np.uint8)
        try:
            answer, state = policy.step(obs, state, np.full(4, step == 0))
        except PolicyError as error:
            check_refusal(error)
            return
        assert answer.shape in ((4,), (4, 3))
        rows = np.array([3, 1, 0, 2])
        state = {name: part[rows] for name, part in state.items()}
