"""Gaps proved by a client's response, and how long each is trusted."""

from __future__ import annotations

import asyncio
from bisect import bisect_right

from chandlery.clients.interfaces import IExchangeAPIClient
from chandlery.core.gaps import Gap
from chandlery.core.holes import storable
from chandlery.core.interval import Interval
from chandlery.core.series_id import SeriesId
from chandlery.core.time import Micros
from chandlery.tables.part import Part


async def proved_gaps(client: IExchangeAPIClient, series: SeriesId, part: Part) -> list[Gap]:
    """
    Return the gaps of a response that may be stored, oldest first, each with the time of its next request.

    Their age is computed with the exchange's clock. Without that clock, or if the client does not report when it
    received which part, there are none.
    """
    if not part.spans or not part.gaps:
        return []
    now = await client.exchange_time(series.symbol)
    return [] if now is None else await asyncio.to_thread(_storable, part, series.length, now)


def _storable(part: Part, interval: Interval, now: Micros) -> list[Gap]:
    spans = part.spans
    ends = [each.end for each in spans]
    found: list[Gap] = []
    for gap in part.gaps:
        # The provenance lists each time once; data from several responses is as old as the first of them.
        fetched: list[Micros] = []
        for index in range(bisect_right(ends, gap.start), len(spans)):
            if spans[index].start >= gap.end:
                break
            fetched.append(spans[index].fetched_at)
        if fetched:
            found += storable([gap], interval, min(now, *fetched))[0]
    return found
