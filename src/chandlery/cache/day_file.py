"""
The format of one cache file, and two ways of reading it.

An uncompressed Arrow IPC file of one record batch, which any Arrow reader opens. Its schema
metadata has one key, ``chandlery``, whose value is a *label*: JSON, padded with blanks to a
multiple of 1024 bytes, so that files of equal schema and row count have the same byte layout. Arrow
writes the schema twice, before the rows and in the footer, so the label occurs twice as well.

The label begins with its own checksum and length, and holds the checksum of all other bytes
of the file. Nothing is parsed before both are verified, so a damaged file never reaches a parser.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from isal import isal_zlib
from msgspec import Struct

from chandlery.core.errors import CorruptCacheFile
from chandlery.core.gaps import Gap
from chandlery.core.provenance import SourceSpan
from chandlery.tables.frame import unwrap

VERSION = 2
"""Files of version 1 record no origin, and have gaps that are not proved."""
_KEY = "chandlery"
_STEP = 1024
_MARK = b'{"check":"'
_OPENING = len(_MARK) + len('01234567 00001024",')


class NewerVersion(CorruptCacheFile):
    """A later release of chandlery wrote the file."""


class Label(Struct, frozen=True):
    """Description of a file."""

    version: int
    series: str
    rows: int
    crc32: int
    spans: tuple[SourceSpan, ...]
    """Covered spans with their sources, oldest first, disjoint."""
    gaps: tuple[Gap, ...] = ()

    @property
    def has_origin(self) -> bool:
        """True if the origin of the data is recorded."""
        return self.version >= VERSION


class _Version(Struct):
    version: int


_label_decoder = msgspec.json.Decoder(Label)
_version_decoder = msgspec.json.Decoder(_Version)


def render(table: pa.Table, series: str, spans: Sequence[SourceSpan], gaps: Sequence[Gap]) -> bytearray:
    """Return the content of the file for ``table``."""
    label = Label(VERSION, series, table.num_rows, 0xFFFFFFFF, tuple(spans), tuple(gaps))
    size = -(-(_OPENING + len(msgspec.json.encode(label))) // _STEP) * _STEP
    blank = _MARK + b" " * (size - len(_MARK))
    schema = table.schema.with_metadata({_KEY: blank})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        for batch in table.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], table.schema)]:
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))
    content = bytearray(sink.getvalue())
    head, tail = content.find(_MARK), content.rfind(_MARK)
    label = msgspec.structs.replace(label, crc32=_crc_around(content, head, tail, size))
    text = _label_text(label, size)
    content[head : head + size] = text
    content[tail : tail + size] = text
    return content


def _label_text(label: Label, size: int) -> bytes:
    body = msgspec.json.encode(label)[1:].ljust(size - _OPENING)
    return b'%b%08x %08d",%b' % (_MARK, isal_zlib.crc32(body), size, body)


def _crc_around(content: Any, head: int, tail: int, size: int) -> int:
    """Return the checksum of all but the two labels."""
    view = memoryview(content)
    crc = isal_zlib.crc32(view[:head])
    crc = isal_zlib.crc32(view[head + size : tail], crc)
    return isal_zlib.crc32(view[tail + size :], crc)


def _label_size(content: bytes, head: int) -> int:
    digits = content[head + _OPENING - 10 : head + _OPENING - 2]
    return int(digits) if digits.isdigit() else 0


def _label_of(text: bytes, series: str) -> Label:
    """
    Parse a label.

    Raises:
        CorruptCacheFile: The text is damaged, or of another series.
    """
    try:
        intact = text.startswith(_MARK) and int(text[len(_MARK) : len(_MARK) + 8], 16) == isal_zlib.crc32(
            text[_OPENING:]
        )
    except ValueError:
        intact = False
    if not intact:
        raise CorruptCacheFile("its label is damaged")
    body = b"{" + text[_OPENING:]
    try:
        label = _label_decoder.decode(body)
        version = label.version
    except msgspec.MsgspecError as error:
        version = _version_of(body)
        if version <= VERSION:
            raise CorruptCacheFile(f"its label cannot be read: {error}") from error
    if version > VERSION:
        raise NewerVersion(f"written in version {version} of the format; this chandlery reads up to {VERSION}")
    if label.series != series and (label.has_origin or not series.endswith(f"/{label.series}")):
        raise CorruptCacheFile(f"it belongs to {label.series}")
    return label


def _version_of(body: bytes) -> int:
    try:
        return _version_decoder.decode(body).version
    except msgspec.MsgspecError:
        return 0


def parse(content: bytes, series: str, schema: pa.Schema | None) -> tuple[Label, pa.Table]:
    """
    Return the label and the rows of a file; the rows share the memory of ``content``.

    Raises:
        CorruptCacheFile: The content is damaged.
        NewerVersion: It is intact, but written by a newer release.
    """
    head, tail = content.find(_MARK), content.rfind(_MARK)
    size = _label_size(content, head)
    text = content[head : head + size]
    if head < 0 or size < _STEP or head + size > tail or text != content[tail : tail + size]:
        raise CorruptCacheFile("cut short, damaged, or not a cache file")
    label = _label_of(text, series)
    if _crc_around(content, head, tail, size) != label.crc32:
        raise CorruptCacheFile("its rows are damaged: the checksum differs")
    try:
        table = pa.ipc.open_file(pa.py_buffer(content)).read_all()
    except pa.ArrowException as error:
        raise CorruptCacheFile(f"not readable as Arrow: {error}") from error
    if schema is not None and not table.schema.equals(schema):
        raise CorruptCacheFile("its columns differ")
    return label, table.replace_schema_metadata(None)


def read_label(path: str, series: str) -> Label:
    """Return the label of the file at ``path``; its rows are neither read nor checked."""
    with open(path, "rb") as file:  # noqa: PTH123  # a path object costs more than the read
        content = file.read(4 * _STEP)
        head = content.find(_MARK)
        size = _label_size(content, head)
        content += file.read(max(0, head + size - len(content)))
    return _label_of(content[head : head + size], series)


class Layout(Struct, frozen=True):
    """
    Byte layout of files with one schema, row count and label size.

    It is learnt from one intact file; any other is then read with one system call, directly into
    the columns of the result.
    """

    rows: int
    size: int
    around: bytes
    """All bytes outside columns and labels, with zeros for the labels."""
    pieces: tuple[tuple[int, int], ...]
    """The parts of ``around`` before, between and after the columns."""
    labels: tuple[int, int]
    """Offsets of the labels in ``around``: in the first piece and in the last."""
    label_size: int

    @classmethod
    def learn(cls, content: bytes) -> Layout:
        """Derive the layout from an intact file whose columns are all numbers of 8 bytes."""
        head, tail = content.find(_MARK), content.rfind(_MARK)
        size = _label_size(content, head)
        buffer = pa.py_buffer(content)
        table = pa.ipc.open_file(buffer).read_all()
        around, pieces, at = bytearray(), [], 0
        for column in map(unwrap, table.columns):
            start = column.ctypes.data - buffer.address if len(column) else max(at, head + size)
            pieces.append((len(around), len(around) + start - at))
            around += content[at:start]
            at = start + column.nbytes
        pieces.append((len(around), len(around) + len(content) - at))
        around += content[at:]
        tail += len(around) - len(content)
        around[head : head + size] = around[tail : tail + size] = bytes(size)
        return cls(table.num_rows, len(content), bytes(around), tuple(pieces), (head, tail), size)

    def read(self, path: str, series: str, into: np.ndarray[Any, Any], at: int) -> Label | None:
        """
        Read the file at ``path`` into ``into[:, at : at + rows]``, and return its label.

        Return ``None`` if the file is not of this layout or not intact; ``parse`` tells which.
        """
        around = bytearray(len(self.around))
        view = memoryview(around)
        columns = [column[at : at + self.rows] for column in into]
        parts: list[Any] = [view[slice(*self.pieces[0])]]
        for column, (start, end) in zip(columns, self.pieces[1:], strict=True):
            parts.append(column)
            if start < end:
                parts.append(view[start:end])
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if os.readv(descriptor, parts) != self.size:
                return None
        finally:
            os.close(descriptor)
        return self._checked(around, parts, series)

    def _checked(self, around: bytearray, parts: list[Any], series: str) -> Label | None:
        (head, tail), size = self.labels, self.label_size
        text = bytes(around[head : head + size])
        if text != around[tail : tail + size]:
            return None
        try:
            label = _label_of(text, series)
        except CorruptCacheFile:
            return None
        view = memoryview(around)
        last = self.pieces[-1][0]
        crc = isal_zlib.crc32(view[:head])
        crc = isal_zlib.crc32(view[head + size : self.pieces[0][1]], crc)
        for part in parts[1:-1]:
            crc = isal_zlib.crc32(part, crc)
        crc = isal_zlib.crc32(view[last:tail], crc)
        crc = isal_zlib.crc32(view[tail + size :], crc)
        view[head : head + size] = view[tail : tail + size] = bytes(size)
        return label if crc == label.crc32 and around == self.around else None
