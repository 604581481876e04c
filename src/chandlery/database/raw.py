"""Raw order books as stored: snapshots in an exact and compact encoding."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
from msgspec import Struct

from chandlery.core.book import Level
from chandlery.core.errors import CorruptStorage, InvalidInput
from chandlery.core.gaps import Gap
from chandlery.core.time import Micros

_VERSION = 1
_HEAD = struct.Struct("<BBIIqqq")
_CRC = struct.Struct("<I")
_NUMBERED, _TIMED = 1, 2
"""Flags: has a sequence, has a time of the exchange."""
_ID_BITS = 63
_CODEC = "zstd"


class BookSnapshot(Struct, frozen=True):
    """An order book at one time; prices and sizes best first."""

    bids: Sequence[Level]
    asks: Sequence[Level]
    received_at: Micros
    """Local time at which the last message for it was received."""
    sequence: int | None = None
    """Id of its last change; ``None`` if the exchange sends none."""
    at: Micros | None = None
    """The exchange's time of the last message for it; ``None`` if it sends none."""


class RawOrderBookEntry(Struct, frozen=True):
    """The order book of a coin at an exchange, as of ``timestamp``, a time of the collector's grid."""

    exchange: str
    coin_symbol: str
    timestamp: Micros
    data: BookSnapshot


class BookPage(Struct, frozen=True):
    """Stored order books of one exchange in order, and where the next page begins; ``None`` if nothing follows."""

    entries: list[RawOrderBookEntry]
    damaged: list[Gap]
    """A gap for the time of each unreadable one."""
    following: Micros | None = None


def encode(snapshot: BookSnapshot) -> bytes:
    """
    Encode a snapshot: a head, the numbers byte-shuffled and compressed, and a checksum.

    Raises:
        InvalidInput: An id or a time does not fit into 64 bits.
    """
    flags = (_NUMBERED if snapshot.sequence is not None else 0) | (_TIMED if snapshot.at is not None else 0)
    whole = (snapshot.sequence or 0, snapshot.at or 0, snapshot.received_at)
    if any(each.bit_length() > _ID_BITS for each in whole):
        raise InvalidInput(f"sequence, at and received_at {whole} do not fit into 64 bits")
    head = _HEAD.pack(_VERSION, flags, len(snapshot.bids), len(snapshot.asks), *whole)
    count = len(snapshot.bids) + len(snapshot.asks)
    flat = chain.from_iterable(chain(snapshot.bids, snapshot.asks))
    numbers = np.fromiter(flat, np.float64, 2 * count).reshape(count, 2)
    # Neighbouring prices share most of their bytes: shuffled by column and byte they compress to a third.
    shuffled = numbers.T.reshape(-1).view(np.uint8).reshape(-1, 8).T
    packed = head + _compressed(np.ascontiguousarray(shuffled).tobytes())
    return packed + _CRC.pack(zlib.crc32(packed))


def decode(entry: bytes) -> BookSnapshot:
    """
    Decode the output of ``encode``.

    Raises:
        CorruptStorage: It is anything else.
    """
    body, checksum = entry[: -_CRC.size], entry[-_CRC.size :]
    if len(entry) < _HEAD.size + _CRC.size or _CRC.pack(zlib.crc32(body)) != checksum:
        raise CorruptStorage(f"an order book of {len(entry)} bytes is damaged: its checksum does not match its content")
    version, flags, bids, asks, sequence, at, received_at = _HEAD.unpack_from(body)
    if version != _VERSION:
        raise CorruptStorage(f"an order book has encoding version {version}; this chandlery reads version {_VERSION}")
    numbers = _numbers(body[_HEAD.size :], bids + asks)
    levels = [*map(tuple, numbers.tolist())]
    return BookSnapshot(
        levels[:bids],
        levels[bids:],
        received_at,
        sequence if flags & _NUMBERED else None,
        at if flags & _TIMED else None,
    )


def _compressed(content: bytes) -> bytes:
    return bytes(pa.compress(content, codec=_CODEC, asbytes=True)) if content else b""


def _numbers(packed: bytes, count: int) -> np.ndarray[Any, Any]:
    size = 16 * count
    try:
        content = pa.decompress(packed, decompressed_size=size, codec=_CODEC, asbytes=True) if size else b""
        shuffled = np.frombuffer(content, np.uint8).reshape(8, -1)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CorruptStorage(f"an order book of {count} levels cannot be unpacked: {error}") from error
    return np.ascontiguousarray(shuffled.T).view(np.float64).reshape(2, count).T
