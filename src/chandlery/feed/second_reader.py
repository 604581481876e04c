"""Fetch closed candles again whose close the exchange has not confirmed, in the background."""

from __future__ import annotations

import asyncio
import logging
import random as dice
from collections import Counter
from collections.abc import Callable

from chandlery.core.errors import ChandleryError
from chandlery.core.time import SECOND
from chandlery.feed.backoff import PACE, Pace
from chandlery.feed.connection import Sleep
from chandlery.feed.network import NetworkClient
from chandlery.feed.provisional import longest_due
from chandlery.feed.stream import LiveStream

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())


class SecondReader:
    """
    Fetch series again one at a time, the most overdue first. Series can be added and removed at any time.

    At most one request is in flight, so that it delays other requests by no more than one.
    """

    def __init__(
        self,
        network: NetworkClient,
        *,
        sleep: Sleep = asyncio.sleep,
        random: Callable[[], float] = dice.random,
        pace: Pace = PACE,
    ) -> None:
        self.streams: list[LiveStream] = []
        self._network = network
        self._sleep = sleep
        self._pace = pace
        self._random = random
        self._delays = pace.delays(random)
        self._past: Counter[str] = Counter()

    @property
    def counts(self) -> dict[str, float]:
        """
        Counters of second reads, and their backlog.

        ``requests``; candles that became final (``proved``), were replaced (``restated``), were read too early or
        unsuccessfully (``repeated``), were given up (``dropped``), wait (``waiting``) and are ``due``; ``behind_s`` is
        how long the oldest has been due.
        """
        now = self._network.guess()
        total = Counter(self._past)
        for stream in self.streams:
            total.update(_counts(stream))
        behind = [stream.provisional.behind(now) for stream in self.streams]
        return {
            "requests": self._network.second_reads,
            **{name: total[name] for name in ("proved", "restated", "repeated", "dropped")},
            "waiting": sum(len(stream.provisional) for stream in self.streams),
            "due": sum(count for count, _ in behind),
            "behind_s": max((age for _, age in behind), default=0) / SECOND,
        }

    def add(self, stream: LiveStream) -> None:
        """Add a series."""
        self.streams.append(stream)

    def remove(self, stream: LiveStream) -> None:
        """Remove a series."""
        self.streams.remove(stream)
        self._past.update(_counts(stream))

    async def run(self) -> None:
        """Read the series that are due, until cancelled."""
        while True:
            now = self._network.guess()
            for stream in self.streams:
                stream.report(now)
            place = longest_due((stream.provisional for stream in self.streams), now)
            if place is None:
                await self._sleep(self._pace.watch_every_s)
            else:
                await self._read(self.streams[place])

    async def _read(self, stream: LiveStream) -> None:
        try:
            await stream.read_again()
        except ChandleryError as error:
            wait_s = next(self._delays)
            name = f"{self._network.adapter.id} {stream.symbol} {stream.interval.value}"
            log.warning("%s: second read failed: %s; continuing in %.1f s", name, error, wait_s)
            stream.reject(f"could not be read again: {error}", stream.symbol)
            await self._sleep(wait_s)
        else:
            self._delays = self._pace.delays(self._random)


def _counts(stream: LiveStream) -> dict[str, int]:
    found = stream.provisional
    return {
        "proved": found.proved,
        "restated": found.restated,
        "repeated": found.repeated,
        "dropped": found.dropped,
    }
