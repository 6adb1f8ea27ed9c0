"""What a Parquet file says of itself, read without pyarrow, which a hostile one can end."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from whichgoal.storage import tables
from whichgoal.storage.footer import BadFooter, parts_of
from whichgoal.storage.reading import UnreadableFile

MIB = 1 << 20


def written(table: pa.Table, **given: int) -> io.BytesIO:
    file = io.BytesIO()
    pq.write_table(table, file, **given)
    return file


def test_it_says_what_pyarrow_says_of_a_sound_file() -> None:
    lists = pa.array([[1, 2, 3], [], [4]] * 40)
    table = pa.table({"a": np.arange(120), "b": lists, "c": ["x"] * 120, "d": [True, None] * 60})
    file = written(table, row_group_size=50)
    about = pq.ParquetFile(file).metadata
    found = parts_of(file, MIB)
    assert len(found) == about.num_row_groups == 3
    for i, group in enumerate(found):
        for j, part in enumerate(group):
            told = about.row_group(i).column(j)
            assert (part.numbers, part.bytes) == (told.num_values, told.total_uncompressed_size)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "does not end as Parquet files do"),
        (b"PAR1", "does not end as Parquet files do"),
        (b"PAR1" + b"\0" * 8, "does not end as Parquet files do"),
        (b"PAR1\xff\xff\xff\x7fPAR1", "a footer of 2,147,483,647 bytes"),
        (b"\0\1\0\0\0PAR1", "its footer is damaged"),
        (b"\x1c" * 99 + b"\x63\0\0\0PAR1", "nested too deep"),
        (b"\x19" * 99 + b"\x63\0\0\0PAR1", "nested too deep"),
        (b"\x49\xf9\xff\xff\xff\x7f" + b"\x06\0\0\0PAR1", "a footer with a list of 268,435,455"),
        (b"\x16" + b"\xff" * 12 + b"\x0d\0\0\0PAR1", "a number that does not end"),
        (b"\x1b\0\x02\0\0\0PAR1", "a field of type 11"),
    ],
)
def test_a_footer_that_is_none_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(BadFooter, match=told):
        parts_of(io.BytesIO(data), 1 << 40)


def test_a_part_that_contradicts_itself_ends_no_process(tmp_path: Path) -> None:
    """Found by fuzzing: asked for this part, pyarrow 25.0.1 calls `abort`."""
    row = {field.name: _some(field.type) for field in tables.SCORES}
    path = tmp_path / "t.parquet"
    tables.write(pa.Table.from_pylist([row], tables.SCORES), path, tables.SCORES)
    data = path.read_bytes()
    # The histogram of a column's definition levels passes for that of repetition levels.
    empty, levels = b"\x06", b"\x26\x00\x02"
    sound = b"\x29" + empty + b"\x19" + levels
    assert sound in data
    path.write_bytes(data.replace(sound, b"\x29" + levels + b"\x19" + empty))
    assert parts_of(io.BytesIO(path.read_bytes()), MIB)
    with pytest.raises(UnreadableFile, match="damaged or not a Parquet file"):
        tables.read(path, tables.SCORES)


def _some(kind: pa.DataType) -> object:
    if pa.types.is_string(kind):
        return "a"
    return 0.5 if pa.types.is_floating(kind) else 3
