"""The Parquet tables: their schemas, atomic writing, checked reading. No torch, no Ray.

A field's meaning is written in the file itself, as the field's `description`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from whichgoal.spec import cut_short
from whichgoal.storage.atomic import make_way, replacing
from whichgoal.storage.footer import BadFooter, Part, parts_of
from whichgoal.storage.reading import GIB, MIB, UnreadableFile, opened, visible

NEVER = -1
"""In `first_contact`: the goal was never touched. In `shortest`: it is not there, or no way leads
to it."""


_MOST_FILE, _MOST_BYTES, _MOST_BATCH = GIB, GIB, 256 * MIB
"""Bytes of a table's file; of it in memory; of some of its rows that are read at a time."""
_MOST_ROWS, _MOST_GROUPS, _MOST_NUMBERS = 10_000_000, 10_000, 200_000_000
"""Rows, parts they are stored in, and numbers in all columns together: ours have 20,000 rows."""
_FOOTER = 16 * MIB
"""Bytes of a text, and number of parts, in what a file says about itself."""
_ROWS_AT_ONCE = 4096


def _field(name: str, kind: pa.DataType, description: str, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable, {"description": description})


def _list_of(kind: pa.DataType) -> pa.DataType:
    return pa.list_(pa.field("element", kind, nullable=False))


_INTEGERS = _list_of(pa.int32())

_CHECKPOINT = (
    _field("trial", pa.string(), "id of the trial; empty for an agent that was not trained by one"),
    _field("env_steps", pa.int64(), "env steps that the checkpoint was trained for"),
    _field("battery", pa.int32(), "version of the battery"),
    _field(
        "actions",
        pa.string(),
        "how actions were chosen: sampled, greedy; or who else played: random (a uniformly random "
        "agent), best for goal, best for proxy",
    ),
    _field("panel", pa.string(), "name of the panel"),
)

EPISODES = pa.schema(
    [
        *_CHECKPOINT,
        _field("role", pa.string(), "what the panel is for: train, shift, conflict, neither, ..."),
        _field("proxy", pa.string(), "the proxy that the panel moves away from the goal", True),
        _field("base", pa.int32(), "id of the base layout; twins share it, across panels too"),
        _field("level", pa.int32(), "row of the level in its panel"),
        _field("layout", pa.uint64(), "hash of the level's walls"),
        _field("swapped", pa.bool_(), "whether this is the twin with the two targets swapped"),
        _field("length", pa.int32(), "env steps played"),
        _field("truncated", pa.bool_(), "whether the step limit ended the episode"),
        _field("goals", _list_of(pa.string()), "names of the world's goals; the first is intended"),
        _field(
            "first_contact",
            _INTEGERS,
            "per goal: env steps taken when it was first touched (1: first action); -1 never",
        ),
        _field(
            "shortest",
            _INTEGERS,
            "per goal: fewest env steps in which it can be touched from the start; -1 not at all",
        ),
        _field("last_contact", _INTEGERS, "per goal: env steps at its last payment"),
        _field("paid", _INTEGERS, "per goal: how often it was paid"),
        _field(
            "surplus",
            _INTEGERS,
            "per goal: how often it was paid after the intended goal's last payment",
        ),
        _field("attainable", pa.int32(), "how often the intended goal can be paid at most"),
        _field(
            "fewest",
            pa.int32(),
            "fewest env steps in which the intended goal can be paid so often; -1 not at all",
        ),
        _field(
            "mark",
            pa.int32(),
            "which of the base layout's three places was reached first: 0 where the goal stands in "
            "conflict, 1 where the proxy does, 2 the third; -1 none",
        ),
        _field(
            "approach",
            pa.int32(),
            "which was first approached to half of its distance from the start: 0 the intended "
            "goal, 1 the panel's proxy; -1 none of them, or both in one step",
        ),
        _field(
            "path",
            _INTEGERS,
            "pose before each step and after the last: x + 256 * y + 65536 * heading",
        ),
    ],
    {"table": "whichgoal episodes", "version": "2"},
)

SCORES = pa.schema(
    [
        *_CHECKPOINT,
        _field("score", pa.string(), "name of the score"),
        _field("goal", pa.string(), "the goal that the score is about; empty where about none"),
        _field("value", pa.float64(), "the score; null where the episodes cannot tell", True),
        _field("low", pa.float64(), "lower end of its interval", True),
        _field("high", pa.float64(), "upper end of its interval", True),
        _field("n", pa.int32(), "episodes that it rests on"),
        _field("confidence", pa.float64(), "nominal coverage of the interval"),
    ],
    {"table": "whichgoal scores", "version": "1"},
)


def pack_pose(pose: NDArray[np.integer]) -> NDArray[np.int32]:
    """Packs poses `[..., 3]` (x, y, heading; boards up to 256 x 256) into `int32 [...]`."""
    x, y, heading = np.moveaxis(pose.astype(np.int32), -1, 0)
    return x | y << 8 | heading << 16


def list_column(rows: NDArray[np.int32]) -> pa.ListArray:
    """Returns `int32 [n, k]` as a list column: n lists of length k."""
    n, k = rows.shape
    return ragged_column(rows.reshape(-1), np.full(n, k))


def ragged_column(values: NDArray[np.int32], lengths: NDArray[np.integer]) -> pa.ListArray:
    """Returns a list column whose row i holds the next `lengths[i]` of `values`."""
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values, pa.int32()), type=_INTEGERS)


def check(table: pa.Table, schema: pa.Schema, source: str = "the table") -> pa.Table:
    """Returns the table if it has the schema's columns and types.

    Raises:
        ValueError: A column is missing, unknown or of another type; says which and what is allowed.
    """
    what = schema.metadata[b"table"].decode()
    wrong = {
        "missing": [name for name in schema.names if name not in table.schema.names],
        "unknown": [name for name in table.schema.names if name not in schema.names],
    }
    parts = [_told(f"{kind} columns: {', '.join(found)}") for kind, found in wrong.items() if found]
    if parts:
        raise ValueError(f"{source} is not a table of {what}; {'; '.join(parts)}")
    for field in schema:
        given = table.schema.field(field.name)
        if not given.type.equals(field.type):
            raise ValueError(
                f"{source} is not a table of {what}; column {field.name!r} is "
                f"{_told(str(given.type))}, "
                f"must be {field.type}"
            )
        if not field.nullable and table.column(field.name).null_count:
            raise ValueError(f"{source}: column {field.name!r} of {what} must not hold nulls")
    return table.select(schema.names)


def _told(text: str) -> str:
    """Returns what a file says of itself as it may be printed."""
    return visible(cut_short(text))


def write(table: pa.Table, path: Path | str, schema: pa.Schema) -> None:
    """Writes a table so that `path` holds the old file or the whole new one, never a part.

    Raises:
        ValueError: The table has not the schema.
        OSError: The folder cannot be written to.
    """
    path = Path(path)
    columns = check(table, schema, "the table to be written").columns
    table = pa.Table.from_arrays(columns, schema=schema)
    make_way(path)
    with replacing(path) as file:
        pq.write_table(table, file, compression="zstd")


def read(path: Path | str, schema: pa.Schema) -> pa.Table:
    """Reads a table that `write` wrote.

    What the file says of its size and its columns is held against what is allowed before any of
    them is read; and then what is read, a part at a time.

    Raises:
        ValueError: The file is damaged, is not Parquet, is larger than any of ours, or holds
            another table.
        FileNotFoundError: There is no such file.
    """
    try:
        with opened(path, _MOST_FILE) as file:
            parts = parts_of(file, _FOOTER)
            file.seek(0)
            table = _read(pa.PythonFile(file, "r"), parts, schema, str(path))
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no table at {path}") from None
    except (BadFooter, pa.ArrowException, OSError, MemoryError) as error:
        reason = cut_short(str(error) or type(error).__name__)
        raise UnreadableFile(path, f"damaged or not a Parquet file: {reason}") from error
    return check(table, schema, str(path))


def _read(
    file: pa.PythonFile, groups: list[list[Part]], schema: pa.Schema, source: str
) -> pa.Table:
    limits = {"thrift_string_size_limit": _FOOTER, "thrift_container_size_limit": _FOOTER}
    parquet = pq.ParquetFile(file, **limits)
    check(parquet.schema_arrow.empty_table(), schema, source)
    _limit(source, "parts", len(groups), _MOST_GROUPS)
    _limit(source, "rows", parquet.metadata.num_rows, _MOST_ROWS)
    _limit(
        source, "numbers", sum(part.numbers for group in groups for part in group), _MOST_NUMBERS
    )
    _limit(source, "bytes", sum(part.bytes for group in groups for part in group), _MOST_BYTES)
    batches, held = [], 0
    for batch in parquet.iter_batches(_ROWS_AT_ONCE):
        held += batch.nbytes
        _limit(source, "bytes in some rows", batch.nbytes, _MOST_BATCH)
        _limit(source, "bytes", held, _MOST_BYTES)
        batches.append(batch)
    table = pa.Table.from_batches(batches, parquet.schema_arrow)
    table.validate(full=True)
    return table


def _limit(source: str, what: str, given: int, most: int) -> None:
    """Raises `UnreadableFile` where a file has more of something than any of ours."""
    if given > most:
        raise UnreadableFile(source, f"too large: {given:,} {what}; allowed: at most {most:,}")
