"""``chandlery exchanges``: the capability matrix."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from chandlery.adapter.capabilities import Capabilities


def exchanges(
    exchange: str = typer.Argument("", metavar="[ID]", help="Show all declarations of one exchange.", show_default=False),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),  # noqa: FBT001  # an option
) -> None:  # fmt: skip
    """Print the capabilities of each exchange."""
    import msgspec  # noqa: PLC0415  # loaded where it is used

    from chandlery.adapter.capabilities import all_capabilities, capabilities  # noqa: PLC0415  # loads the exchanges

    chosen = [capabilities(exchange)] if exchange else all_capabilities()
    if as_json:
        content = [each.to_dict() for each in chosen]
        sys.stdout.write(msgspec.json.encode(content[0] if exchange else content).decode() + "\n")
    elif exchange:
        _print_one(chosen[0])
    else:
        _print_matrix(chosen)


def _print_matrix(rows: list[Capabilities]) -> None:
    from chandlery.cli.output import grid, printer  # noqa: PLC0415  # loads rich

    table = grid("exchange", "candles", "live", "history", "volume", "book", "check", "funding", "archive", left=9)
    for row in rows:
        table.add_row(
            row.id,
            _range(row.intervals),
            _range(row.live_intervals),
            back_to(row),
            row.volume_unit,
            ", ".join(map(str, row.book_depths)) or "-",
            row.book_check or "-",
            "yes" if row.funding else "-",
            "yes" if row.archive else "-",
        )
    printer().print(table)


def _print_one(row: Capabilities) -> None:
    from chandlery.cli.output import grid, printer  # noqa: PLC0415  # loads rich

    table = grid("", row.id, left=2)
    for name, value in described(row).items():
        table.add_row(name, value)
    to = printer()
    to.print(table)
    if row.unverified:
        to.print("\nassumptions that are neither documented nor recorded:")
        for each in row.unverified:
            to.print(f"- {each}", soft_wrap=True)


def described(row: Capabilities) -> dict[str, str]:
    """Describe one exchange, by heading."""
    from chandlery.adapter.registry import ExchangeRegistry  # noqa: PLC0415  # loads the exchanges

    next_one = "the next candle" if row.live_intervals else "-"
    return {
        "aliases": ", ".join(row.aliases) or "-",
        "market": row.market,
        "candles by REST": " ".join(row.intervals),
        "live candles": " ".join(row.live_intervals) or "polled by REST",
        "live candles are closed by": "the exchange's flag" if row.live_closes else next_one,
        "candles by REST are closed by": "the exchange's flag" if row.rest_closes else "its clock, then read again",
        "intervals without trades": "have a candle" if row.sends_empty_candles else "have no candle",
        "candles per request": str(row.page_size),
        "history by REST": back_to(row),
        "unit of volume": row.volume_unit,
        "unit of quote_asset_volume": row.turnover_unit or "-",
        "order book levels": ", ".join(map(str, row.book_depths)) or "-",
        "order book check": row.book_check or "-",
        "funding rates": "yes" if row.funding else "-",
        "archive": "yes" if row.archive else "-",
        "regional sites": ", ".join(ExchangeRegistry.get(row.id).sites) or "-",
    }


def back_to(row: Capabilities) -> str:
    """Describe how far back REST has candles."""
    bounds = [] if row.retained_candles is None else [f"{row.retained_candles} candles"]
    if row.retention_days is not None:
        bounds.append(f"{row.retention_days:g} days")
    return " and ".join(bounds) or "all"


def _range(intervals: tuple[str, ...]) -> str:
    if not intervals:
        return "-"
    return intervals[0] if len(intervals) == 1 else f"{intervals[0]}-{intervals[-1]} ({len(intervals)})"
