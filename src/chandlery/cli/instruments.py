"""``chandlery instruments``: what an exchange lists."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import typer

from chandlery.core.errors import InvalidInput

if TYPE_CHECKING:
    from chandlery.core.instrument import Listing, ListingStatus, MarketType
    from chandlery.core.time import Micros

_STATUSES = ("listed", "upcoming", "halted", "delisted")


def instruments(
    exchange: str = typer.Argument(help="An exchange, one of its markets, or one of ccxt: okx, okx_perpetual, ccxt.okx.", show_default=False),
    words: list[str] = typer.Argument(None, metavar="[WORDS]...", help="Words that must match, e.g. btc perp.", show_default=False),
    *,
    market: str = typer.Option("", help="spot; linear (or perpetual, futures, um); inverse (or cm).", show_default="all"),
    status: str = typer.Option("listed", help="listed, upcoming, halted, delisted or all."),
    limit: int = typer.Option(50, min=1, help="Number of rows of the table."),
    as_json: bool = typer.Option(False, "--json", help="Print all as JSON."),
) -> None:  # fmt: skip
    """Print the instruments that an exchange lists; those that match best come first."""
    import msgspec  # noqa: PLC0415  # loaded where it is used

    from chandlery.clients.instruments import row_of, select  # noqa: PLC0415  # the same
    from chandlery.clients.markets import market_type  # noqa: PLC0415  # the same
    from chandlery.core.time import iso  # noqa: PLC0415  # the same

    chosen = market_type(market, name="--market") if market else None
    wanted = status_of(status)
    listings, read_at = asyncio.run(_listed(exchange, chosen))
    units = {id(each): (name, unit) for name, unit, each in listings}
    found = select((each for _, _, each in listings), market=chosen, status=wanted, search=" ".join(words or ()))
    if as_json:
        rows = [row_of(each, *units[id(each)]) for each in found]
        sys.stdout.write(msgspec.json.encode(rows).decode() + "\n")
    else:
        table_of(found, limit, of=len(listings), note="" if read_at is None else f"list of {iso(read_at)}")


async def _listed(
    exchange: str, market: MarketType | None
) -> tuple[list[tuple[str, str | None, Listing]], Micros | None]:
    """Return each listing with the id of its market and the unit of its volume, and when the list was read."""
    from chandlery.clients.settings import Settings  # noqa: PLC0415  # loaded where it is used
    from chandlery.connector import DataSourceConnectorImpl  # noqa: PLC0415  # loads the clients

    async with DataSourceConnectorImpl(settings=Settings()) as connector:
        client = connector.get_client(exchange)
        found = await client.instruments(market)
        rows = [(name, client.volume_unit(str(each.instrument)), each) for name, each in found]
        return rows, client.listed_at(market)


def status_of(text: str) -> ListingStatus | None:
    """Return the status of ``--status``; ``None`` for all."""
    from chandlery.core.instrument import ListingStatus  # noqa: PLC0415  # loaded where it is used

    if text not in {*_STATUSES, "all"}:
        raise InvalidInput(f"--status {text!r} is unknown; use one of {', '.join(_STATUSES)}, all")
    return None if text == "all" else ListingStatus(text)


def table_of(found: list[Listing], limit: int, *, of: int, note: str = "") -> None:
    """Print a table of the first listings, and the number of all."""
    from chandlery.cli.output import counted, grid, printer  # noqa: PLC0415  # loads rich

    table = grid("symbol", "exchange's", "kind", "status", "tick size", "lot size", "contract size", left=4)
    for each in found[:limit]:
        steps = (each.tick_size, each.lot_size, each.contract_size)
        numbers = ("-" if step is None else f"{step:.12g}" for step in steps)
        table.add_row(str(each.instrument), each.symbol, each.kind, each.status.value, *numbers)
    to = printer()
    if found:
        to.print(table)
    more = f"; the first {limit} are shown, --limit shows more" if len(found) > limit else ""
    to.print(f"{counted(len(found), 'instrument')} of {of}{more}{note and f'; {note}'}")
