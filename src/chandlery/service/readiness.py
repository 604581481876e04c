"""Whether the service can work, and what of the exchanges' data it lacks."""

from __future__ import annotations

import shutil
from pathlib import Path

from chandlery.database.sqlite import SqliteDatabase
from chandlery.service.collection.interfaces import IDataCollectionManager
from chandlery.service.supervision import Supervisor

LEAST_FREE = 1 << 20
"""With fewer bytes left on its disk the service can store nothing for long."""


class Readiness:
    """Looks at the parts of a service whenever it is asked."""

    def __init__(
        self,
        database: SqliteDatabase,
        supervisor: Supervisor,
        collection: IDataCollectionManager,
        data_dir: Path,
    ) -> None:
        self._database = database
        self._supervisor = supervisor
        self._collection = collection
        self._data_dir = data_dir

    def faults(self) -> list[str]:
        """Faults of the service itself, for which it is not ready: of its database, its disk, its threads and tasks."""
        failure = self._database.failure
        database = [] if failure is None else [str(failure)]
        return [*database, *self._full(), *self._supervisor.faults]

    def reasons(self) -> list[str]:
        """Faults of an exchange or a coin: what is collected, and does not come."""
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
