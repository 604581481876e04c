"""JSON rows with more or fewer fields than documented."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Raw

_ROW_FIELDS = 5
"""Minimum number of plain values for an object to count as a row; smaller ones are message headers."""
_ROW_PLACES = 6
"""Minimum number of plain values for a list in a field to count as a row, as KuCoin's live candle is."""
_UNKNOWN_FIELD = 1000
"""First number of protobuf fields that no documentation has."""


def reshaped(content: Any, more: int, fewer: int) -> Any:
    """
    Return the content of a message with each row widened by ``more`` fields and without its last ``fewer`` ones.

    Rows are the lists in a list, the objects in a list, objects of many plain values, and the columns of an object of
    columns. Binary messages get unknown fields of protobuf, and lose none.
    """
    if isinstance(content, bytes):
        return content + b"".join(_varint((_UNKNOWN_FIELD + place) << 3) + b"\x00" for place in range(more))
    if isinstance(content, Mapping):
        return _object(content, more, fewer)
    if isinstance(content, list | tuple):
        return [_row(each, more, fewer) for each in content]
    return content


def _object(content: Mapping[str, Any], more: int, fewer: int) -> dict[str, Any]:
    columns = [name for name, value in content.items() if _is_plain(value)]
    if len(columns) >= _ROW_FIELDS:
        width = len(content[columns[0]])
        kept = {name: value for name, value in content.items() if name not in columns[len(columns) - fewer :]}
        return kept | {f"extra{place}": [0] * width for place in range(more)}
    inside = {name: _value(value, more, fewer) for name, value in content.items()}
    plain = not any(isinstance(value, Mapping | list | tuple) for value in content.values())
    return _fields(inside, more, fewer) if plain and len(content) >= _ROW_FIELDS else inside


def _value(value: Any, more: int, fewer: int) -> Any:
    if _is_plain(value) and len(value) >= _ROW_PLACES:
        return _places(value, more, fewer)
    return value if _is_plain(value) else reshaped(value, more, fewer)


def _row(row: Any, more: int, fewer: int) -> Any:
    if isinstance(row, Mapping):
        inside = {name: _value(value, more, fewer) for name, value in row.items()}
        nested = any(isinstance(value, Mapping | list | tuple) for value in row.values())
        return _fields(inside, more, 0 if nested else fewer)
    return _places(row, more, fewer) if _is_plain(row) else reshaped(row, more, fewer)


def _places(row: Sequence[Any], more: int, fewer: int) -> list[Any]:
    return [*row[: len(row) - fewer], *["0"] * more]


def _fields(row: Mapping[str, Any], more: int, fewer: int) -> dict[str, Any]:
    return dict(list(row.items())[: len(row) - fewer]) | {f"extra{place}": "0" for place in range(more)}


def _is_plain(value: Any) -> bool:
    """Return true for a non-empty list without nested values."""
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(each is None or isinstance(each, str | int | float | Raw) for each in value)
    )


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
