"""What a Parquet file says of itself at its end, read without trust: how much is in its parts.

pyarrow ends the whole process where a part's metadata contradict themselves (25.0.1,
`RowGroupMetaData.column`), so they are not asked of it. Source: the Parquet format's
`parquet.thrift`, and Thrift's compact protocol.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

MAGIC = b"PAR1"
_TAIL = 8
_DEEPEST = 32
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
_INTEGERS = (4, 5, 6)
_ROW_GROUPS, _COLUMNS, _METADATA, _NUMBERS, _BYTES = 4, 1, 3, 5, 6
"""The fields' ids: of the file, of a row group, of a column chunk, and two of its metadata."""


class BadFooter(ValueError):
    """A file does not end as Parquet files do. The message is one line."""


class Part(NamedTuple):
    """A column of one row group.

    Attributes:
        numbers: How many values it has.
        bytes: Of its pages once they are unpacked.
    """

    numbers: int
    bytes: int


def parts_of(file: BinaryIO, most: int) -> list[list[Part]]:
    """Returns the parts of each row group, as the file has them.

    Args:
        file: An open file; where it stands does not matter, nor where it is left.
        most: Bytes that the footer may have.

    Raises:
        BadFooter: It is no Parquet file, or its footer is damaged, encrypted or larger.
    """
    size = file.seek(0, 2)
    file.seek(max(0, size - _TAIL))
    tail = file.read(_TAIL)
    if len(tail) < _TAIL or tail[4:] != MAGIC:
        raise BadFooter("it does not end as Parquet files do")
    length = int.from_bytes(tail[:4], "little")
    if length > min(most, size - _TAIL):
        raise BadFooter(f"a footer of {length:,} bytes")
    file.seek(size - _TAIL - length)
    try:
        about = _Reader(file.read(length)).struct()
        groups = about[_ROW_GROUPS]
        return [[_part(column[_METADATA]) for column in group[_COLUMNS]] for group in groups]
    except (IndexError, KeyError, TypeError, AttributeError):
        raise BadFooter("its footer is damaged") from None


def _part(metadata: dict[int, Any]) -> Part:
    numbers, unpacked = metadata[_NUMBERS], metadata[_BYTES]
    if min(numbers, unpacked) < 0:
        raise BadFooter("a part with less than nothing")
    return Part(numbers, unpacked)


class _Reader:
    """Reads Thrift's compact protocol: structs as field id -> value, lists as lists."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        if depth > _DEEPEST:
            raise BadFooter("a footer that is nested too deep")
        return dict(self._fields(depth))

    def _fields(self, depth: int) -> Iterator[tuple[int, Any]]:
        field = 0
        while head := self._byte():
            kind, more = head & 15, head >> 4
            field = field + more if more else self._integer()
            yield field, kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind, depth)

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (_TRUE, _FALSE, _BYTE):  # in a list, truth has a byte of its own
            return self._byte()
        if kind in _INTEGERS:
            return self._integer()
        if kind == _DOUBLE:
            return self._bytes(8)
        if kind == _BINARY:
            return self._bytes(self._varint())
        if kind in (_LIST, _SET):
            return self._list(depth + 1)
        if kind == _STRUCT:
            return self.struct(depth + 1)
        raise BadFooter(f"a footer with a field of type {kind}")  # it has no maps either

    def _list(self, depth: int) -> list[Any]:
        if depth > _DEEPEST:
            raise BadFooter("a footer that is nested too deep")
        head = self._byte()
        count = head >> 4 if head >> 4 < 15 else self._varint()
        if count > len(self.data) - self.at:  # each takes a byte or more
            raise BadFooter(f"a footer with a list of {count:,}")
        return [self._value(head & 15, depth) for _ in range(count)]

    def _byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def _bytes(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise IndexError
        self.at += count
        return self.data[self.at - count : self.at]

    def _varint(self) -> int:
        value = shift = 0
        while shift < 70:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
        raise BadFooter("a footer with a number that does not end")

    def _integer(self) -> int:
        """Reads a signed number, zigzag."""
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
