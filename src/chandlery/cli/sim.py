"""``chandlery sim``: the offline exchange, served until interrupted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from chandlery.cli import arguments
from chandlery.core.errors import InvalidInput, UnknownName

if TYPE_CHECKING:
    from chandlery.sim.market import Market
    from chandlery.sim.server import SimServer

_SEED = 7


def sim(
    *,
    exchange: str = typer.Option("", help="Comma-separated ids: binance_spot,binance_perpetual,binance_inverse.", show_default="all"),
    data: list[str] = typer.Option([], metavar="[EXCHANGE=]DIR", help="Serve the archive's CSV files in a folder. Repeatable.", show_default=False),
    synthetic: int | None = typer.Option(None, metavar="SEED", help="Serve a synthetic market.", show_default=f"{_SEED}"),
    port: int = typer.Option(0, min=0, max=65535, help="Port on 127.0.0.1.", show_default="a free one"),
    fault: list[str] = typer.Option([], metavar="KIND[:PATH-REGEX][:TIMES|p=0.1]", help="A fault, e.g. too_many_requests:klines:3. Repeatable.", show_default=False),
    unlike: str = typer.Option("", metavar="JSON", help='Deviations from the documentation, e.g. {"okx_spot": {"page_size": 100}}; "*" means all exchanges.', show_default=False),
) -> None:  # fmt: skip
    """
    Serve an offline exchange on this machine until Ctrl-C.

    Prints its endpoints as JSON for CHANDLERY_ENDPOINTS.
    """
    import asyncio  # noqa: PLC0415  # loaded where it is used

    from chandlery.sim.server import SimServer  # noqa: PLC0415  # loads aiohttp
    from chandlery.sim.wires import wires  # noqa: PLC0415  # the same

    exchanges = _exchanges(exchange, list(wires()))
    if data and synthetic is not None:
        raise InvalidInput("use either --data or --synthetic, not both")
    market = _recorded(data) if data else _synthetic(_SEED if synthetic is None else synthetic)
    faults = [arguments.fault(text) for text in fault]
    asyncio.run(
        _serve(SimServer(market, exchanges=exchanges, faults=faults, port=port, unlike=arguments.unlike(unlike)))
    )


async def _serve(server: SimServer) -> None:
    """Serve until SIGTERM, or until SIGINT cancels it."""
    import asyncio  # noqa: PLC0415  # loaded where it is used
    import signal  # noqa: PLC0415  # the same

    import msgspec  # noqa: PLC0415  # the same

    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    async with server:
        sys.stdout.write(msgspec.json.encode(server.endpoints).decode() + "\n")
        sys.stdout.flush()
        sys.stderr.write("serving until Ctrl-C; CHANDLERY_ENDPOINTS takes the line above\n")
        await over.wait()


def _exchanges(text: str, known: list[str]) -> list[str]:
    chosen = [name for part in text.split(",") if (name := part.strip())] or known
    for name in chosen:
        if name not in known:
            raise UnknownName(f"--exchange {name!r} is not available offline; available: {', '.join(known)}")
    return chosen


def _synthetic(seed: int) -> Market:
    from chandlery.sim.market import SyntheticMarket  # noqa: PLC0415  # loads numpy

    return SyntheticMarket(seed)


def _recorded(given: list[str]) -> Market:
    """Load recorded markets: a folder for each named exchange, and one for the others."""
    from chandlery.sim.recorded import RecordedMarket  # noqa: PLC0415  # loads numpy
    from chandlery.sim.venues import VENUES  # noqa: PLC0415  # the same

    folder: Path | None = None
    folders = {}
    for text in given:
        name, equals, rest = text.partition("=")
        path = Path(rest if equals and name in VENUES else text)
        if not path.is_dir():
            raise InvalidInput(f"--data {text}: there is no folder {path}")
        if equals and name in VENUES:
            folders[VENUES[name].market_type] = path
        else:
            folder = path
    return RecordedMarket(folder, folders=folders)
