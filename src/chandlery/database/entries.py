"""Order books as callers give them, as entries to store."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeAlias

from msgspec import structs

from chandlery.core.errors import InvalidInput
from chandlery.core.moment import to_micros
from chandlery.core.time import Micros, Unit
from chandlery.database.raw import BookSnapshot, RawOrderBookEntry

Moment: TypeAlias = Micros | datetime
"""A time: microseconds, or a datetime with a time zone."""

Book: TypeAlias = RawOrderBookEntry | BookSnapshot | Mapping[str, Any]
"""An entry, a snapshot, or an order book as clients return it, with times in milliseconds."""


def moment_of(time: Moment, name: str) -> Micros:
    """
    Return a time in microseconds.

    Raises:
        InvalidRange: It is a datetime without a time zone, or not a time.
    """
    return to_micros(time, name=name, unit="us")


def entry_of(coin: str, book: Book, exchange: str | None, timestamp: Moment | None) -> RawOrderBookEntry:
    """
    Return the entry of an order book. ``exchange`` and ``timestamp`` take the place of those in ``book``.

    Raises:
        InvalidInput: The exchange or the time is unknown, or it is not an order book.
    """
    at = None if timestamp is None else moment_of(timestamp, "timestamp")
    if isinstance(book, Mapping):
        exchange = book.get("exchange") if exchange is None else exchange
        sent, received = (_micros(book.get(name)) for name in ("timestamp", "received_at"))
        at = next((each for each in (at, sent, received) if each is not None), None)
        if at is not None:
            snapshot = snapshot_of(book, at)
            book = structs.replace(snapshot, bids=_levels(book, "bids"), asks=_levels(book, "asks"))
    elif isinstance(book, RawOrderBookEntry):
        exchange, at = exchange or book.exchange, book.timestamp if at is None else at
        book = book.data
    if exchange is None or at is None:
        lacking = "exchange" if exchange is None else "timestamp"
        raise InvalidInput(f"an order book to store needs its {lacking}; pass {lacking}=")
    if not isinstance(book, BookSnapshot):
        raise InvalidInput(f"{type(book).__name__} is not an order book; pass a snapshot, an entry or a client's book")
    return RawOrderBookEntry(exchange, coin, at, book)


def snapshot_of(book: Mapping[str, Any], received_at: Micros) -> BookSnapshot:
    """Return the snapshot of a client's order book; ``received_at`` is used if it has none."""
    received = _micros(book.get("received_at"))
    return BookSnapshot(
        book.get("bids", ()),
        book.get("asks", ()),
        received_at if received is None else received,
        book.get("sequence"),
        _micros(book.get("timestamp")),
    )


def _micros(millis: Any) -> Micros | None:
    return None if millis is None else Unit.MILLIS.micros(millis)


def _levels(book: Mapping[str, Any], side: str) -> list[tuple[float, float]]:
    try:
        return [(float(price), float(size)) for price, size in book[side]]
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"an order book has {side}, a list of price and size, best first") from error
