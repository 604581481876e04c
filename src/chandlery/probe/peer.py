"""Comparison of candles with those of another client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chandlery.ccxt_bridge.client import CCXTExchangeClient
from chandlery.clients.interfaces import IExchangeAPIClient
from chandlery.clients.settings import CCXTConfig
from chandlery.core.errors import MissingDependency, UnknownName
from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE, Micros, to_datetime
from chandlery.probe.findings import Finding
from chandlery.probe.requests import Requester

_COMPARED = 10


def ccxt_client(ask: Requester) -> IExchangeAPIClient:
    """
    Return ccxt's client of the same market.

    Raises:
        MissingDependency: ccxt is not installed.
        UnknownName: ccxt does not have the exchange.
    """
    config = CCXTConfig(default_contract_type="spot" if ask.adapter.market_type is MarketType.SPOT else "swap")
    return CCXTExchangeClient(config, ask.adapter.id.partition("_")[0])


async def beside(ask: Requester, make: Callable[[Requester], IExchangeAPIClient] = ccxt_client) -> list[Finding]:
    """Compare ten one-minute candles with another client's; if they agree, they become the recording's expectation."""
    end = Interval.MINUTE_1.floor(ask.now()) - 10 * MINUTE
    span = Span(end - _COMPARED * MINUTE, end)
    coin = next(each for each in ask.adapter.example.replace(",", " ").split() if "/" in each)
    try:
        client = make(ask)
    except (MissingDependency, UnknownName) as error:
        return [Finding.of("ccxt", "the same candles", str(error), agrees=None)]
    async with client:
        table = await client.fetch_candles(coin, to_datetime(span.start), to_datetime(span.end), "1m")
    theirs = {int(row["open_time"].timestamp()) * 10**6: _values(row) for row in table.to_pylist()}
    columns = ask.adapter.candles(await ask.body(Interval.MINUTE_1, span), Interval.MINUTE_1)
    names = ("open", "high", "low", "close", "volume")
    prices = zip(*(getattr(columns, name) for name in names), strict=True)
    ours: dict[Micros, Any] = dict(zip(columns.open_time, map(list, prices), strict=True))
    same = sum(ours[each][:4] == theirs[each][:4] for each in ours if each in theirs)
    if ask.adapter.volume_unit == "base" and ours == theirs:
        ask.expect([[each, *values] for each, values in theirs.items()])
    wanted = sum(span.holds(each) for each in ours)
    measured = f"{same} of {wanted} prices are those of {client.get_exchange_name()}"
    return [Finding.of("ccxt", "the same candles", measured, agrees=same == wanted == len(theirs) if wanted else None)]


def _values(row: dict[str, Any]) -> list[float]:
    return [row[name] for name in ("open", "high", "low", "close", "volume")]
