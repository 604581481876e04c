"""Stored candles that were read too early, compared with what the exchange has now."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence

from chandlery.clients.interfaces import IDataSourceConnector
from chandlery.clients.rows import PRICES, Row, rows_of_table
from chandlery.core.errors import ExchangeError, IncompleteData
from chandlery.core.gaps import Span, merge
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE, Micros, to_datetime
from chandlery.database.candles import CandleRepository
from chandlery.database.series_ids import SeriesName

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

_SETTLED_S = 120.0
"""After how long a candle of any exchange counts as settled."""
_UNSETTLED: Micros = 10 * MINUTE
"""How long before the end of a stream the candles closed that it may not have read again."""


def unsettled(interval: Interval, last: Micros, now: Micros) -> list[Span]:
    """
    Where candles may be stored that were not final, after a stream has begun again at ``now``.

    Those are the latest ones of the stream before, up to ``last``, and the latest ones that were fetched since.
    """
    before = Span(interval.floor(last - _UNSETTLED), interval.step(last))
    return merge([before, Span(interval.floor(now - _UNSETTLED), interval.floor(now))])


async def settle(
    spans: list[Span],
    fetch: Callable[[Span], Awaitable[Sequence[Row]]],
    restate: Callable[[Sequence[Row]], Awaitable[None]],
    sleep: Callable[[float], Awaitable[None]],
    delays: Iterator[float],
) -> None:
    """Restate what has changed, once the latest candles have settled; what cannot be fetched is tried again."""
    while spans:
        await sleep(_SETTLED_S + next(delays))
        try:
            while spans:
                await restate(await fetch(spans[0]))
                del spans[0]
        except ExchangeError as error:
            log.warning("the last candles are not read again: %s", error)


async def changed(
    connector: IDataSourceConnector, candles: CandleRepository, series: SeriesName, interval: Interval, span: Span
) -> list[Row]:
    """
    The rows of the exchange that are stored otherwise.

    Raises what the client raises, but for what the exchange lacks.
    """
    client = connector.get_client(series.exchange)
    try:
        table = await client.fetch_candles(series.symbol, to_datetime(span.start), to_datetime(span.end), interval)
    except IncompleteData as error:
        table = error.data
    stored = await candles.table(series, interval, span, len(table) + 1)
    now, before = (
        rows_of_table(each, series.exchange, series.symbol, interval, counts=True) for each in (table, stored)
    )
    known = {row["timestamp"]: _core(row) for row in before}
    return [row for row in now if known.get(row["timestamp"], _core(row)) != _core(row)]


def _core(row: Row) -> tuple[float, ...]:
    return tuple(row[name] for name in PRICES)
