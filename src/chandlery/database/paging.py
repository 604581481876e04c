"""Order books of one exchange, from functions that may know no exchanges."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from chandlery.core.signature import accepted
from chandlery.core.time import Micros
from chandlery.database.raw import RawOrderBookEntry

FindRange: TypeAlias = Callable[..., Awaitable[list[RawOrderBookEntry]]]
"""Called with coin, start, end, limit and offset, and with ``exchange`` if it accepts that."""
FindLatest: TypeAlias = Callable[..., Awaitable[RawOrderBookEntry | None]]
"""Called with the coin, and with ``exchange`` if it accepts that."""

_EVER: Micros = 2**62
_AT_ONCE = 100
"""Number of entries read at once to find those of one exchange."""


async def entries_between(
    find: FindRange, coin: str, start: Micros, end: Micros, limit: int, offset: int = 0, *, exchange: str | None
) -> list[RawOrderBookEntry]:
    """Return ``limit`` entries after the first ``offset``, of one exchange or of all; others are passed over if needed."""
    options = accepted(find, exchange=exchange)
    if exchange is None or options:
        return await find(coin, start, end, limit, offset, **options)
    found: list[RawOrderBookEntry] = []
    passed = 0
    while len(found) < offset + limit:
        page = await find(coin, start, end, _AT_ONCE, passed)
        found += [each for each in page if each.exchange == exchange]
        passed += len(page)
        if len(page) < _AT_ONCE:
            break
    return found[offset : offset + limit]


async def latest_entry(
    latest: FindLatest, find: FindRange, coin: str, *, exchange: str | None
) -> RawOrderBookEntry | None:
    """Return the newest entry of one exchange or of all; if the newest one is of another exchange, read all."""
    options = accepted(latest, exchange=exchange)
    found = await latest(coin, **options)
    if found is None or exchange in {None, found.exchange}:
        return found
    if options:
        return None
    newest, passed = None, 0
    while page := await find(coin, 0, _EVER, _AT_ONCE, passed):
        newest = next((each for each in reversed(page) if each.exchange == exchange), newest)
        passed += len(page)
        if len(page) < _AT_ONCE:
            break
    return newest
