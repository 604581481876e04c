"""``chandlery probe``: measure exchanges, and compare them with what their adapters declare."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.cli import arguments
from chandlery.core.errors import ChandleryError, InvalidInput

if TYPE_CHECKING:
    from chandlery.net.tokens import Credentials
    from chandlery.probe.run import Options, Probed


def probe(
    exchange: list[str] = typer.Argument(None, metavar="[ID]...", help="Ids of exchanges, as listed by chandlery exchanges, e.g. okx_perpetual.", show_default=False),  # typer declares arguments as defaults
    *,
    everything: bool = typer.Option(False, "--all", help="All exchanges, in sequence."),
    seconds: float = typer.Option(180.0, min=0, max=3600, help="Seconds to receive candles; a third of it for an order book. 0: REST only."),
    bundle: Path | None = typer.Option(None, help="Write the recordings to this folder; they contain no credentials.", show_default=False),
    endpoints: str = typer.Option("", envvar="CHANDLERY_ENDPOINTS", help="Base URLs by exchange id, as JSON, e.g. the output of chandlery sim.", show_default=False),
) -> None:  # fmt: skip
    """
    Measure exchanges over the network, and compare the results with the declarations.

    Measures page size, order, bounds, alignment, history depth, columns, clock, the error for an unknown symbol, the list
    of symbols, funding, WebSockets, the delay of closed flags and corrections, and an order book. Exit code 1 on a difference.
    """
    import asyncio  # noqa: PLC0415  # loaded where it is used

    from chandlery.probe.peer import beside  # noqa: PLC0415  # the same
    from chandlery.probe.run import Options  # noqa: PLC0415  # loads aiohttp

    names = ExchangeRegistry.names() if everything else exchange or []
    if not names:
        raise InvalidInput(f"give an exchange, or --all; available: {', '.join(ExchangeRegistry.names())}")
    for name in names:
        ExchangeRegistry.get(name)
    options = Options(
        endpoints=arguments.endpoints(endpoints),
        credentials=_credentials(names),
        close_s=seconds,
        book_s=seconds / 3,
        # ccxt knows only the exchange's own addresses.
        peers={} if endpoints else {"ccxt": beside},
    )
    if asyncio.run(_each(names, options, bundle)):
        raise typer.Exit(1)


async def _each(names: list[str], options: Options, folder: Path | None) -> int:
    """Probe exchanges one after the other and print each; return the number of findings that differ."""
    from chandlery.net.http import HttpClient  # noqa: PLC0415  # loads aiohttp
    from chandlery.probe.run import probe as measured  # noqa: PLC0415  # the same

    differences = 0
    async with HttpClient() as http:
        for name in names:
            try:
                found = await measured(name, http, options)
            except ChandleryError as error:
                if len(names) == 1:
                    raise
                sys.stderr.write(f"{name}: {error}\n")
                continue
            _print(name, found)
            differences += len(found.differences)
            if folder is not None:
                sys.stderr.write(f"recorded in {found.bundle.write(folder)}\n")
    return differences


def _credentials(names: list[str]) -> Credentials | None:
    """Return the credentials from the environment for exchanges that need sign-in."""
    adapters = [each for each in map(ExchangeRegistry.get, names) if each.credentials]
    if not adapters:
        return None
    from chandlery.clients.settings import Settings  # noqa: PLC0415  # nobody else needs it

    return Settings().sign_in(adapters)


def _print(name: str, found: Probed) -> None:
    from chandlery.cli.output import grid, printer  # noqa: PLC0415  # loads rich

    table = grid(name, "declared", "measured", "verdict", left=4)
    for each in found.findings:
        table.add_row(each.name, each.declared, each.measured[:100], each.verdict.value)
    printer().print(table)
