"""Periodic reading of the lists of instruments, so that their past is stored."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from chandlery.adapter.base import ExchangeAdapter
from chandlery.clients.native import NativeExchangeClient
from chandlery.clients.plugins import qualified
from chandlery.core.errors import ChandleryError, InvalidInput
from chandlery.core.time import MINUTE, SECOND, Micros
from chandlery.service.instruments import InstrumentSearch

_FIRST: Micros = MINUTE
"""Delay of the first list, so that it does not compete with the start."""
_AGAIN: Micros = 15 * MINUTE
"""Delay after a failure."""
_PAUSE: Micros = SECOND
"""Shortest pause between two lists."""
_LONGEST_S = 300.0
"""Time limit of one list, with its retries."""

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())


class ListingReader:
    """
    Reads the list of each of ``markets`` every ``every`` microseconds, one list at a time.

    A list that fails is read again after 15 minutes; one that the exchange does not publish is not read again.
    ``reads`` and ``failures`` count by market. ``sleep`` waits seconds.
    """

    def __init__(
        self,
        lists: InstrumentSearch,
        markets: Sequence[type[ExchangeAdapter]],
        every: Micros,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.reads: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self._lists = lists
        self._markets = markets
        self._every = every
        self._sleep = sleep
        self._failing: set[str] = set()
        self._now: Micros = 0
        """Time that was slept so far."""
        self._due = [(min(_FIRST, every), index) for index in range(len(markets))]
        """Heap of the times at which markets are due."""

    async def run(self) -> None:
        """Read the lists until cancelled; after an error that it does not expect, it continues with the next market."""
        while self._due:
            due = self._due[0][0]
            await self._sleep(max(due - self._now, _PAUSE) / SECOND)
            self._now = max(due, self._now + _PAUSE)
            _, index = heapq.heappop(self._due)
            delay: Micros | None = _AGAIN
            try:
                delay = await self._read(self._markets[index])
            finally:
                if delay is not None:
                    heapq.heappush(self._due, (self._now + delay, index))
        await asyncio.Event().wait()

    async def _read(self, market: type[ExchangeAdapter]) -> Micros | None:
        """Read a list; return the delay of the next one, ``None`` if there is no list."""
        try:
            async with asyncio.timeout(_LONGEST_S):
                await self._lists.read(
                    qualified(NativeExchangeClient.family, market.provider.value), market.market_type
                )
        except InvalidInput as error:
            log.debug("%s has no list of instruments: %s", market.id, error)
            return None
        except (ChandleryError, TimeoutError) as error:
            self.failures[market.id] += 1
            if market.id not in self._failing:
                self._failing.add(market.id)
                reason = error if isinstance(error, ChandleryError) else f"no answer within {_LONGEST_S:g} s"
                log.warning("the list of instruments of %s cannot be read: %s", market.id, reason)
            return min(_AGAIN, self._every)
        self.reads[market.id] += 1
        if market.id in self._failing:
            self._failing.remove(market.id)
            log.info("the list of instruments of %s is read again", market.id)
        return self._every
