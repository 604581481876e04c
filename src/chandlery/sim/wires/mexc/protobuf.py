"""
Protobuf messages of MEXC's spot WebSockets, written field by field with the numbers of the published files.

https://github.com/mexcdevelop/websocket-proto
"""

from __future__ import annotations

from collections.abc import Iterable

_KLINE = 308
_DEPTHS = 313
_ASKS, _BIDS = 1, 2


def kline(
    channel: str, symbol: str, created_ms: int, interval: str, window: tuple[int, int], values: Iterable[str]
) -> bytes:
    """Encode a push of a candle: its window in seconds; open, close, high, low, volume and amount."""
    start, end = window
    body = _text(1, interval) + _number(2, start)
    body += b"".join(_text(number, value) for number, value in enumerate(values, 3)) + _number(9, end)
    return _text(1, channel) + _text(3, symbol) + _number(5, created_ms) + _message(_KLINE, body)


def depths(
    channel: str,
    symbol: str,
    sent_ms: int,
    event: str,
    versions: tuple[int, int],
    asks: Iterable[tuple[str, str]],
    bids: Iterable[tuple[str, str]],
) -> bytes:
    """Encode a push of book changes: the first and the last version, and levels of price and quantity."""
    body = b"".join(
        _message(side, _text(1, price) + _text(2, quantity))
        for side, levels in ((_ASKS, asks), (_BIDS, bids))
        for price, quantity in levels
    )
    body += _text(3, event) + b"".join(_text(number, str(version)) for number, version in enumerate(versions, 4))
    return _text(1, channel) + _text(3, symbol) + _number(6, sent_ms) + _message(_DEPTHS, body)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, value: str) -> bytes:
    return _message(field, value.encode())
