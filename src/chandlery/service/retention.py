"""Periodic removal of expired data."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from chandlery.core.errors import StorageError
from chandlery.core.time import Clock, Micros
from chandlery.database.candles import CandleRepository
from chandlery.database.interfaces import IRawDataRepository

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

_EVERY_S = 3600.0


class Retention:
    """Remover of data older than ``kept`` allows, by ``books`` and ``candles``."""

    def __init__(
        self, books: IRawDataRepository, candles: CandleRepository, kept: Mapping[str, Micros], clock: Clock
    ) -> None:
        self._repositories: dict[str, IRawDataRepository | CandleRepository] = {"books": books, "candles": candles}
        self._kept = kept
        self._clock = clock

    async def apply(self) -> dict[str, int]:
        """Remove expired data now; return the number of rows removed per kind."""
        return {
            name: await self._repositories[name].prune(self._clock() - length) for name, length in self._kept.items()
        }

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Remove expired data every hour; retry an hour later if the database cannot be written."""
        while True:
            try:
                removed = await self.apply()
            except StorageError as error:
                log.error("cannot remove expired data: %s", error)  # noqa: TRY400  # what matters is which
            else:
                log.info("removed %s", removed)
            await sleep(_EVERY_S)
