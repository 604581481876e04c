"""``chandlery universe``: what an exchange listed at a past time."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import typer

from chandlery.cli import arguments
from chandlery.cli.instruments import status_of, table_of


def universe(
    exchange: str = typer.Argument(help="An exchange, or one of its markets: okx, okx_perpetual.", show_default=False),
    words: list[str] = typer.Argument(None, metavar="[WORDS]...", help="Words that must match, e.g. btc perp.", show_default=False),
    *,
    at: str = typer.Option(..., "--at", help="Time, e.g. 2026-01-01 or 7d.", show_default=False),
    market: str = typer.Option("", help="spot; linear (or perpetual, futures, um); inverse (or cm).", show_default="all"),
    status: str = typer.Option("listed", help="listed, upcoming, halted, delisted or all, at that time."),
    limit: int = typer.Option(50, min=1, help="Number of rows of the table."),
    as_json: bool = typer.Option(False, "--json", help="Print all as JSON."),
    origin: str = typer.Option("", help="Origin of the lists, e.g. offline-7.", show_default="the exchange itself"),
    data_dir: Path | None = arguments.DATA_DIR,
) -> None:  # fmt: skip
    """Print the instruments of an exchange as they were listed at a time, from the lists that the service stored."""
    import msgspec  # noqa: PLC0415  # loaded where it is used

    from chandlery.adapter.registry import ExchangeRegistry  # noqa: PLC0415  # the same
    from chandlery.clients.instruments import row_of, select  # noqa: PLC0415  # the same
    from chandlery.clients.markets import market_type  # noqa: PLC0415  # the same
    from chandlery.clients.universe import stored_lists  # noqa: PLC0415  # the same
    from chandlery.core.moment import to_micros  # noqa: PLC0415  # the same
    from chandlery.core.time import iso  # noqa: PLC0415  # the same
    from chandlery.net.clock import system_clock  # noqa: PLC0415  # the same

    chosen = market_type(market, name="--market") if market else None
    wanted = status_of(status)
    moment = to_micros(at, name="--at", now=system_clock())
    lists = asyncio.run(stored_lists(data_dir, exchange, chosen, moment, origin))
    markets = {id(listing): each.market for each in lists for listing in each.listings}
    found = select(
        (listing for each in lists for listing in each.listings), status=wanted, search=" ".join(words or ())
    )
    if as_json:
        units = {each: ExchangeRegistry.get(each).volume_unit for each in markets.values()}
        rows = [row_of(each, markets[id(each)], units[markets[id(each)]]) for each in found]
        sys.stdout.write(msgspec.json.encode(rows).decode() + "\n")
    else:
        stored = f"lists are stored since {iso(max(each.first_at for each in lists))}"
        table_of(found, limit, of=len(markets), note=stored)
