"""Archive files: verify, unzip, join the days and parse them in one pass."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from collections.abc import Sequence

import numpy as np
from isal import isal_zlib
from msgspec import Struct

from chandlery.adapter.layout import CandleLayout
from chandlery.core.errors import ChecksumMismatch, CorruptArchive
from chandlery.core.time import Micros, Unit
from chandlery.history.checks import Columns
from chandlery.tables.interrupts import uninterrupted

MAX_TEXT = 1 << 30
"""Limit of the inflated size of a file; a month of seconds is about 350 MB."""
_LOCAL_HEADER = 30
_MICROS_DIGITS = 16
"""Times since 2001 have sixteen digits in microseconds and thirteen in milliseconds."""
_TIMES = {"open_time", "close_time"}


class Body(Struct, frozen=True):
    """The candle lines of a CSV, each terminated, with the unit of their times, and the first time."""

    text: bytes = b""
    unit: Unit = Unit.MILLIS
    first: Micros | None = None
    """Open time of the first candle; ``None`` if the field is not a time."""

    @property
    def rows(self) -> int:
        """The number of lines, counted."""
        # Six times as fast as bytes.count where lines are short.
        return int(np.count_nonzero(np.frombuffer(self.text, np.uint8) == ord("\n")))


def prove(zipped: bytes, expected: str, url: str) -> None:
    """
    Verify that the SHA-256 of ``zipped`` is ``expected``.

    Raises:
        ChecksumMismatch: It differs.
    """
    sha256 = hashlib.sha256(zipped).hexdigest()
    if sha256 != expected:
        raise ChecksumMismatch(f"{url} has SHA-256 {sha256}, its .CHECKSUM says {expected}")


def inflate(zipped: bytes, url: str) -> bytes:
    """
    Return the content of a zip's single member.

    Raises:
        CorruptArchive: It is not a zip with one CSV.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
            (member,) = archive.infolist()
        if member.file_size > MAX_TEXT:
            raise CorruptArchive(f"{url} would decompress to {member.file_size} bytes")
        name_length, extra_length = struct.unpack_from("<HH", zipped, member.header_offset + 26)
        begin = member.header_offset + _LOCAL_HEADER + name_length + extra_length
        packed = memoryview(zipped)[begin : begin + member.compress_size]
        if member.compress_type == zipfile.ZIP_STORED:
            text = packed.tobytes()
        else:
            text = isal_zlib.decompress(packed, -15, max(member.file_size, 1))
    except (zipfile.BadZipFile, isal_zlib.IsalError, ValueError, struct.error) as error:  # type: ignore[misc]  # the stub lacks the base class
        raise CorruptArchive(f"{url} is not a zip of one CSV: {error}") from error
    if len(text) != member.file_size or isal_zlib.crc32(text) != member.CRC:
        raise CorruptArchive(f"{url}: the CSV does not match its CRC")
    return text


def body_of(text: bytes) -> Body:
    """
    Strip the header of a CSV, and find the unit of its times.

    A first line that does not begin with a digit is a header. The number of digits of the first time
    tells milliseconds from microseconds: the spot archive changed on 2025-01-01.
    """
    if text and not text[:1].isdigit():
        text = text[text.find(b"\n") + 1 :] if b"\n" in text else b""
    if text and not text.endswith(b"\n"):
        text += b"\n"
    digits = text.find(b",")
    unit = Unit.MICROS if digits >= _MICROS_DIGITS else Unit.MILLIS
    opened = text[: max(digits, 0)]
    is_time = digits <= _MICROS_DIGITS and opened.isdigit()
    return Body(text, unit, int(opened) * unit.value if is_time else None)


@uninterrupted
def parse_csv(bodies: Sequence[Body], layout: CandleLayout) -> Columns:
    """
    Parse the candles of all bodies, in sequence, by column, with times in their original unit.

    Raises:
        CorruptArchive: One of them is not a CSV of candles.
    """
    import polars as pl  # noqa: PLC0415  # heavy, and only cold data needs it

    text = b"".join([body.text for body in bodies])
    integers = _TIMES | {"count"}
    names = {place: name for name, place in layout.places().items()}
    if not text:
        return {name: np.empty(0, np.int64 if name in integers else np.float64) for name in names.values()}
    # Files may gain columns; lines longer than the first one are truncated.
    width = max(*map(int, names), text[: text.find(b"\n")].count(b",")) + 1
    schema = {
        names.get(place, f"_{place}"): pl.Int64
        if names.get(place) in integers
        else pl.Float64
        if place in names
        else pl.String
        for place in range(width)
    }
    try:
        frame = pl.read_csv(
            text, has_header=False, schema=schema, columns=sorted(map(int, names)), truncate_ragged_lines=True
        )
    except pl.exceptions.PolarsError as error:
        raise CorruptArchive(f"not a CSV of candles: {error}") from error
    if any(frame.null_count().row(0)):
        raise CorruptArchive("not a CSV of candles: it has empty fields")
    return {name: frame[name].to_numpy() for name in names.values()}


def in_micros(columns: Columns, bodies: Sequence[Body], rows: Sequence[int]) -> Columns:
    """
    Convert the times in the result of ``parse_csv`` to microseconds; ``rows`` is the number of rows of each body.

    Raises:
        CorruptArchive: The total number of rows differs.
    """
    found = len(columns["open_time"])
    if found != sum(rows):
        raise CorruptArchive(f"not a CSV of candles: {sum(rows)} lines, {found} of them rows")
    scales = np.repeat([body.unit.value for body in bodies], rows)
    return {**columns, **{name: columns[name] * scales for name in columns.keys() & _TIMES}}
