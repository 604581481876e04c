"""The instruments of past times, from the lists that a service stored."""

from __future__ import annotations

from pathlib import Path

from chandlery.clients.data_folder import readable_database_of
from chandlery.clients.instruments import listing_status, select
from chandlery.clients.markets import markets_of
from chandlery.core.instrument import Listing, ListingStatus, MarketType
from chandlery.core.moment import TimeLike, to_micros
from chandlery.database.listings import ListingRepository, Universe
from chandlery.net.clock import system_clock
from chandlery.net.portal import shared_portal


def universe(
    exchange: str = "binance",
    *,
    at: TimeLike,
    market: MarketType | str | None = None,
    status: ListingStatus | str | None = None,
    search: str = "",
    data_dir: Path | str | None = None,
    origin: str = "",
) -> list[Listing]:
    """
    Return the instruments of an exchange as they were listed at a time, those that were delisted since among them.

    They are read from the database of a service on this machine, which may be running; it stores the lists from its
    first run on.

    Args:
        exchange: In any case, with or without a market: ``"binance"``, ``"okx_perpetual"``.
        at: A ``TimeLike``: ``"2026-01-01"``, ``"7d"``, a date, a datetime, milliseconds.
        market: ``"spot"``, ``"linear"``, ``"inverse"`` or another name of one.
        status: ``"listed"``, ``"upcoming"``, ``"halted"`` or ``"delisted"``, as it was at the time.
        search: Words that must all match, as in ``instruments``.
        data_dir: The data folder of the service; that of the user by default.
        origin: The origin of the lists, e.g. ``"offline-7"``; by default the exchange itself.

    Raises:
        InvalidInput: Exchange, market or status is unknown, or the folder has no database.
        InvalidRange: The service had stored no list of a market by then.
        MissingDependency: The extra of the service is not installed.
        StorageError: The database cannot be read.
    """
    wanted = None if status is None else listing_status(status)
    moment = to_micros(at, name="at", now=system_clock())
    lists = shared_portal().run(stored_lists(data_dir, exchange, market, moment, origin))
    return select((each for one in lists for each in one.listings), status=wanted, search=search)


async def stored_lists(
    data_dir: Path | str | None, exchange: str, market: MarketType | str | None, at: int, origin: str
) -> list[Universe]:
    """Return the lists of each market of an exchange at ``at``; arguments and errors are those of ``universe``."""
    markets = [each.id for each in markets_of(exchange, market)]
    async with readable_database_of(None if data_dir is None else Path(data_dir)) as database:
        stored = ListingRepository(database, dict.fromkeys(markets, origin))
        return [await stored.universe(each, at) for each in markets]
