"""Verify the content of a database."""

from __future__ import annotations

from typing import Any

from chandlery.core.errors import CorruptStorage, UnknownName
from chandlery.core.series_id import SeriesId
from chandlery.core.time import iso
from chandlery.database.interfaces import IDatabaseConnection
from chandlery.database.raw import decode

_AT_ONCE = 1_000
MOST_PROBLEMS = 100


async def problems(database: IDatabaseConnection) -> list[str]:
    """
    Return the problems, one line each, at most ``MOST_PROBLEMS``: file errors, unreadable order books, candles off their grid.

    Raises:
        StorageError: It cannot be read at all.
    """
    found = await database.check()
    if not found:
        found = await _books(database) + await _candles(database)
    return found[:MOST_PROBLEMS]


async def _books(database: IDatabaseConnection) -> list[str]:
    found: list[str] = []
    last: Any = -1
    while len(found) < MOST_PROBLEMS:
        rows: list[Any] = await database.read(
            "SELECT b.rowid, s.exchange, s.symbol, b.at, b.entry FROM books b LEFT JOIN series s ON s.id = b.series "
            "WHERE b.rowid > ? ORDER BY b.rowid LIMIT ?",
            (last, _AT_ONCE),
        )
        if not rows:
            break
        for last, exchange, symbol, at, entry in rows:  # noqa: B007  # the last one is where the next batch begins
            try:
                decode(entry)
            except CorruptStorage as error:
                found.append(f"{exchange} {symbol} book {iso(at)}: {error}")
    return found


async def _candles(database: IDatabaseConnection) -> list[str]:
    found = []
    series: list[Any] = await database.read("SELECT id, exchange, symbol, channel FROM series ORDER BY id")
    for number, exchange, symbol, channel in series:
        try:
            interval = SeriesId.parse(exchange, symbol, channel).interval
        except UnknownName as error:
            found.append(f"{exchange} {symbol} {channel}: {error}")
            continue
        if interval is None:
            continue
        last = -1
        while rows := await database.read(
            "SELECT open_time FROM candles WHERE series = ? AND open_time > ? ORDER BY open_time LIMIT ?",
            (number, last, _AT_ONCE),
        ):
            opens: list[Any] = [row[0] for row in rows]
            found += [
                f"{exchange} {symbol} {channel} {iso(each)}: off the grid"
                for each in opens
                if interval.floor(each) != each
            ]
            last = opens[-1]
    return found
