"""Correction of candles that were stored before they were final."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence

from chandlery.clients.interfaces import IDataSourceConnector
from chandlery.clients.rows import PRICES, Row, rows_of_table
from chandlery.core.errors import ExchangeError, IncompleteData
from chandlery.core.gaps import Span, merge
from chandlery.core.interval import Interval
from chandlery.core.series_id import SeriesId
from chandlery.core.time import MINUTE, Micros, to_datetime
from chandlery.database.candles import CandleRepository
from chandlery.feed.backoff import Pace
from chandlery.feed.recovery import Job, Waits, kept_up

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

_SETTLED_S = 120.0
"""Time in seconds after which any exchange's candle counts as final."""
_UNSETTLED: Micros = 10 * MINUTE
"""Time before the end of a stream in which closed candles may not have been read a second time."""


def unsettled(interval: Interval, last: Micros, now: Micros) -> list[Span]:
    """
    Return the ranges whose stored candles may not be final, after a stream restarts at ``now``.

    These are the latest candles of the previous stream, up to ``last``, and the latest backfilled ones.
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
    """Restate changed candles once the latest ones are final; failed requests are retried."""
    while spans:
        await sleep(_SETTLED_S + next(delays))
        try:
            while spans:
                await restate(await fetch(spans[0]))
                del spans[0]
        except ExchangeError as error:
            log.warning("cannot re-read the latest candles: %s", error)


async def retried(
    job: Job,
    series: SeriesId,
    pace: Pace,
    sleep: Callable[[float], Awaitable[None]],
    random: Callable[[], float],
) -> None:
    """Run ``job``, which settles a series; start it again with backoff after an internal error."""
    await kept_up(job, name=f"{series}: settling", waits=Waits(pace, random), sleep=sleep)


async def changed(
    connector: IDataSourceConnector, candles: CandleRepository, series: SeriesId, span: Span
) -> list[Row]:
    """
    Return the exchange's rows that differ from the stored ones.

    Raises the errors of the client, except for missing data.
    """
    client, interval = connector.get_client(series.exchange), series.length
    try:
        table = await client.fetch_candles(series.symbol, to_datetime(span.start), to_datetime(span.end), interval)
    except IncompleteData as error:
        table = error.data
    stored = await candles.table(series, span, len(table) + 1)
    now, before = (
        rows_of_table(each, series.exchange, series.symbol, interval, counts=True) for each in (table, stored)
    )
    known = {row["timestamp"]: _core(row) for row in before}
    return [row for row in now if known.get(row["timestamp"], _core(row)) != _core(row)]


def _core(row: Row) -> tuple[float, ...]:
    return tuple(row[name] for name in PRICES)
