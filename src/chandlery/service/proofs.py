"""Gaps that a client's answer proves, and how long each is believed."""

from __future__ import annotations

import asyncio
from bisect import bisect_right

import pyarrow as pa

from chandlery.clients.interfaces import IExchangeAPIClient
from chandlery.core.gaps import Gap
from chandlery.core.holes import storable
from chandlery.core.interval import Interval
from chandlery.core.provenance import Provenance
from chandlery.core.time import Micros
from chandlery.database.series_ids import SeriesName

_PROVENANCE = b"chandlery"


async def proved_gaps(client: IExchangeAPIClient, series: SeriesName, interval: Interval, table: pa.Table) -> list[Gap]:
    """
    The gaps of an answer that may be stored, oldest first, each with the time of its next request.

    Their age is judged by the exchange's clock: there are none where it is not known, or where the client gives
    no account of its answer.
    """
    provenance = provenance_of(table)
    if provenance is None or not provenance["gaps"]:
        return []
    now = await client.exchange_time(series.symbol)
    return [] if now is None else await asyncio.to_thread(_storable, provenance, interval, now)


def provenance_of(table: pa.Table) -> Provenance | None:
    """The account that a client gives with its answer."""
    text = (table.schema.metadata or {}).get(_PROVENANCE)
    return None if text is None else Provenance.from_json(text)


def provenance_size(table: pa.Table) -> int:
    """How many bytes that account has."""
    return len((table.schema.metadata or {}).get(_PROVENANCE, b""))


def _storable(provenance: Provenance, interval: Interval, now: Micros) -> list[Gap]:
    spans = provenance.spans
    ends = [each.end for each in spans]
    found: list[Gap] = []
    for gap in provenance.gaps:
        # The account holds each moment once; what lies in several answers is as old as the first of them.
        fetched: list[Micros] = []
        for index in range(bisect_right(ends, gap.start), len(spans)):
            if spans[index].start >= gap.end:
                break
            fetched.append(spans[index].fetched_at)
        if fetched:
            found += storable([gap], interval, min(now, *fetched))[0]
    return found
