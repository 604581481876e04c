"""Broadcast of live data to all subscribers, encoded once."""

from __future__ import annotations

import logging
import random
import time
from collections import defaultdict
from functools import cached_property
from typing import Literal, Protocol, TypeAlias

import msgspec

from chandlery.clients.rows import Row
from chandlery.core.gaps import Gap
from chandlery.core.series_id import SeriesId
from chandlery.core.time import iso
from chandlery.feed.backoff import PACE
from chandlery.feed.recovery import Waits
from chandlery.service.frames import text_frame

Kind: TypeAlias = Literal["book", "running", "closed", "restated", "gap"]

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

_json = msgspec.json.Encoder()


class Update:
    """
    Update of a series: an order book, a running or closed candle, a corrected candle, or a gap.

    Books and running candles are conflated: the next one replaces them, so a slow client loses nothing by it.
    """

    def __init__(self, series: SeriesId, kind: Kind, content: Row) -> None:
        self.series = series
        self.kind = kind
        self.content = content
        self.conflates = kind in {"book", "running"}
        """True if a later update replaces this one."""

    @cached_property
    def message(self) -> bytes:
        """Message for the socket, encoded on first use."""
        kind = self.kind if self.kind in {"gap", "restated"} else "realtime_data"
        return _json.encode({"type": kind, **self.series.plain(), "data": self.content})

    @cached_property
    def frame(self) -> bytes:
        """WebSocket frame of the message."""
        return text_frame(self.message)


def gap_content(gap: Gap) -> Row:
    """Return a gap as plain values."""
    return {"start": iso(gap.start), "end": iso(gap.end), "kind": gap.kind.value, "evidence": gap.evidence}


class Subscriber(Protocol):
    """Subscriber to updates."""

    def take(self, update: Update) -> None:
        """Receive an update without blocking; an exception is logged and counted."""
        ...


class Broadcaster:
    """Subscribers of each series, and its latest book or candle."""

    def __init__(self) -> None:
        self._subscribers: defaultdict[SeriesId, dict[Subscriber, None]] = defaultdict(dict)
        self._latest: dict[SeriesId, Update] = {}
        self.published = 0
        self.failures = 0
        """Number of exceptions raised by subscribers."""
        self._reports = Waits(PACE, random.random)

    def subscribe(self, series: SeriesId, subscriber: Subscriber) -> None:
        """Subscribe to updates of a series; idempotent."""
        self._subscribers[series][subscriber] = None

    def unsubscribe(self, series: SeriesId, subscriber: Subscriber) -> None:
        """Unsubscribe from a series; idempotent."""
        found = self._subscribers.get(series, {})
        found.pop(subscriber, None)
        if not found:
            self._subscribers.pop(series, None)

    def publish(self, update: Update) -> None:
        """Send an update to all subscribers of its series."""
        self.published += 1
        if update.kind != "gap" and not (update.kind == "restated" and self._is_older(update)):
            self._latest[update.series] = update
        subscribers = self._subscribers.get(update.series)
        if subscribers:
            for subscriber in tuple(subscribers):
                try:
                    subscriber.take(update)
                except Exception as error:  # noqa: BLE001  # the others are told all the same
                    self._failed(update.series, error)

    def _is_older(self, update: Update) -> bool:
        """Return whether a later candle is known."""
        latest = self._latest.get(update.series)
        return latest is not None and latest.content["timestamp"] > update.content["timestamp"]

    def _failed(self, series: SeriesId, error: Exception) -> None:
        """Count a subscriber's exception, and log it at a limited rate."""
        self.failures += 1
        if self._reports.is_over(time.monotonic()):
            log.error("%s: a subscriber failed; %d failures so far", series, self.failures, exc_info=error)

    def latest(self, series: SeriesId) -> Update | None:
        """Return the latest book or candle; ``None`` if there is none."""
        return self._latest.get(series)

    def forget(self, series: SeriesId) -> None:
        """Discard the latest update."""
        self._latest.pop(series, None)

    def count(self, series: SeriesId | None = None) -> int:
        """Return the number of subscriptions, of one series or of all."""
        if series is not None:
            return len(self._subscribers.get(series, ()))
        return sum(map(len, self._subscribers.values()))
