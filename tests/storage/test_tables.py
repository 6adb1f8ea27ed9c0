"""Tables: what is written is what is read, whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from by_hand import unpack_pose
from hypothesis import given
from hypothesis import strategies as st

from whichgoal.storage import tables


def scores() -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "trial": "0123456789ab",
                "env_steps": 5,
                "battery": 1,
                "actions": "sampled",
                "panel": "shift",
                "score": "capability",
                "goal": "end",
                "value": 0.5,
                "low": 0.4,
                "high": None,
                "n": 512,
                "confidence": 0.95,
            }
        ],
        tables.SCORES,
    )


def test_a_table_read_back_is_the_table_written(tmp_path: Path) -> None:
    tables.write(scores(), tmp_path / "scores.parquet", tables.SCORES)
    assert tables.read(tmp_path / "scores.parquet", tables.SCORES).equals(scores())
    assert [p.name for p in tmp_path.iterdir()] == ["scores.parquet"]


@pytest.mark.parametrize("schema", [tables.EPISODES, tables.SCORES])
def test_every_field_is_described_in_the_file_itself(schema: pa.Schema, tmp_path: Path) -> None:
    tables.write(schema.empty_table(), tmp_path / "t.parquet", schema)
    stored = pa.parquet.read_schema(tmp_path / "t.parquet")
    assert stored.metadata[b"table"].startswith(b"whichgoal")
    assert all(field.metadata[b"description"] for field in stored)


def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    tables.write(scores(), path, tables.SCORES)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="damaged") as caught:
        tables.read(path, tables.SCORES)
    assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match="no table at"):
        tables.read(tmp_path / "none.parquet", tables.SCORES)


def test_another_table_is_refused_by_the_names_of_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "episodes.parquet"
    tables.write(tables.EPISODES.empty_table(), path, tables.EPISODES)
    with pytest.raises(ValueError, match="not a table of whichgoal scores; missing columns: score"):
        tables.read(path, tables.SCORES)


def test_a_column_of_another_type_and_a_null_are_refused() -> None:
    wrong = scores().set_column(10, "n", pa.array(["512"]))
    with pytest.raises(ValueError, match="'n' is string, must be int32"):
        tables.check(wrong, tables.SCORES)
    null = scores().set_column(10, "n", pa.array([None], pa.int32()))
    with pytest.raises(ValueError, match=r"'n' .* must not hold nulls"):
        tables.check(null, tables.SCORES)


def test_what_a_file_calls_its_columns_is_shown_and_not_obeyed() -> None:
    many = [f"{name}\u202e\x1b[2J" for name in range(5000)]
    with pytest.raises(ValueError, match="unknown columns") as caught:
        tables.check(pa.table({name: [0] for name in many}), tables.SCORES)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000
    inside = pa.struct([("\u202e", pa.int8())] * 3000)
    odd = scores().set_column(0, "trial", pa.nulls(1, inside))
    with pytest.raises(ValueError, match="column 'trial' is struct") as caught:
        tables.check(odd, tables.SCORES)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scores.parquet"
    tables.write(scores(), path, tables.SCORES)
    before = path.read_bytes()

    def fail_halfway(table: pa.Table, file: object, **_: object) -> None:
        file.write(b"PAR1 half")  # type: ignore[attr-defined]
        raise OSError("disk full")

    monkeypatch.setattr(tables.pq, "write_table", fail_halfway)
    with pytest.raises(OSError, match="disk full"):
        tables.write(scores(), path, tables.SCORES)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["scores.parquet"]


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 3))
def test_a_packed_pose_unpacks_to_itself(x: int, y: int, heading: int) -> None:
    packed = tables.pack_pose(np.array([x, y, heading], np.int16))
    assert unpack_pose(packed).tolist() == [x, y, heading]


def test_list_columns_keep_their_rows() -> None:
    assert tables.list_column(np.array([[1, 2], [3, 4]], np.int32)).to_pylist() == [[1, 2], [3, 4]]
    ragged = tables.ragged_column(np.arange(4, dtype=np.int32), np.array([3, 0, 1]))
    assert ragged.to_pylist() == [[0, 1, 2], [], [3]]


def test_tables_need_neither_torch_nor_ray() -> None:
    code = "import sys, whichgoal.storage.tables; assert not {'torch', 'ray'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


LIMITS = {
    "_MOST_FILE": (100, "bytes; allowed: at most 100"),
    "_MOST_BYTES": (100, "bytes; allowed: at most 100"),
    "_MOST_BATCH": (10, "bytes in some rows; allowed: at most 10"),
    "_MOST_ROWS": (0, "1 rows; allowed: at most 0"),
    "_MOST_GROUPS": (0, "1 parts; allowed: at most 0"),
    "_MOST_NUMBERS": (5, "numbers; allowed: at most 5"),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_table_beyond_all_of_ours_is_refused_by_what_it_says_of_itself(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    most, told = LIMITS[name]
    tables.write(scores(), tmp_path / "t.parquet", tables.SCORES)
    monkeypatch.setattr(tables, name, most)
    with pytest.raises(ValueError, match=f"too large: .*{told}"):
        tables.read(tmp_path / "t.parquet", tables.SCORES)


@pytest.mark.timeout(30)
def test_a_table_that_unfolds_is_refused_before_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Millions of equal numbers in one row take a few kilobytes as Parquet stores them."""
    path = tmp_path / "t.parquet"
    schema = pa.schema([pa.field("path", tables.EPISODES.field("path").type, nullable=False)])
    values = pa.array(np.zeros(30_000_000, np.int32))
    one = pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)
    pa.parquet.write_table(pa.table({"path": one.cast(schema.field("path").type)}, schema), path)
    assert path.stat().st_size < 200_000
    monkeypatch.setattr(tables, "_MOST_NUMBERS", 20_000_000)
    with pytest.raises(ValueError, match="too large: 30,000,000 numbers"):
        tables.read(path, schema.with_metadata({"table": "paths"}))
