"""Gaps that a client's answer proves, and how long each is believed."""

from __future__ import annotations

import asyncio
from bisect import bisect_right

from chandlery.clients.interfaces import IExchangeAPIClient
from chandlery.core.gaps import Gap
from chandlery.core.holes import storable
from chandlery.core.interval import Interval
from chandlery.core.time import Micros
from chandlery.database.series_ids import SeriesName
from chandlery.tables.part import Part


async def proved_gaps(client: IExchangeAPIClient, series: SeriesName, interval: Interval, part: Part) -> list[Gap]:
    """
    The gaps of an answer that may be stored, oldest first, each with the time of its next request.

    Their age is judged by the exchange's clock: there are none where it is not known, or where the client does not
    say when it got what.
    """
    if not part.spans or not part.gaps:
        return []
    now = await client.exchange_time(series.symbol)
    return [] if now is None else await asyncio.to_thread(_storable, part, interval, now)


def _storable(part: Part, interval: Interval, now: Micros) -> list[Gap]:
    spans = part.spans
    ends = [each.end for each in spans]
    found: list[Gap] = []
    for gap in part.gaps:
        # The provenance holds each moment once; what lies in several answers is as old as the first of them.
        fetched: list[Micros] = []
        for index in range(bisect_right(ends, gap.start), len(spans)):
            if spans[index].start >= gap.end:
                break
            fetched.append(spans[index].fetched_at)
        if fetched:
            found += storable([gap], interval, min(now, *fetched))[0]
    return found
