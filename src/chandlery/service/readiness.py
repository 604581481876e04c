"""Readiness of the service, and missing data of the exchanges."""

from __future__ import annotations

import shutil
from pathlib import Path

from chandlery.database.interfaces import IDatabaseConnection
from chandlery.service.collection.interfaces import IDataCollectionManager
from chandlery.service.supervision import Supervisor

LEAST_FREE = 1 << 20
"""Minimum free disk space in bytes."""


class Readiness:
    """Readiness check, evaluated on each request."""

    def __init__(
        self,
        database: IDatabaseConnection,
        supervisor: Supervisor,
        collection: IDataCollectionManager,
        data_dir: Path,
    ) -> None:
        self._database = database
        self._supervisor = supervisor
        self._collection = collection
        self._data_dir = data_dir

    def faults(self) -> list[str]:
        """Return faults that make the service unready: database, disk, threads and tasks."""
        failure = self._database.failure
        database = [] if failure is None else [str(failure)]
        return [*database, *self._full(), *self._supervisor.faults]

    def reasons(self) -> list[str]:
        """Return faults of exchanges and coins: data that should be collected but does not arrive."""
        return [
            f"{coin.exchange} {coin.symbol} {channel.channel} is {channel.state}: {channel.error}"
            for coin in self._collection.list_coins()
            for channel in coin.channels
            if channel.state not in {"running", "starting"}
        ]

    def _full(self) -> list[str]:
        try:
            free = shutil.disk_usage(self._data_dir).free
        except OSError as error:
            return [f"the folder {self._data_dir} cannot be read: {error.strerror}"]
        return [f"{free:,} bytes are left on the disk of {self._data_dir}"] if free < LEAST_FREE else []
