"""What older releases stored in the database without its origin: ignored until somebody declares it real."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from chandlery.core.endpoints import UNKNOWN_ORIGIN
from chandlery.database.interfaces import IDatabaseConnection, Statement
from chandlery.database.series_ids import EXCHANGE_OWN

_PAIRS = """
    SELECT own.id, unknown.id FROM series AS unknown JOIN series AS own USING (exchange, symbol, channel)
    WHERE unknown.origin = ? AND own.origin = ?
"""


class Unknown(Struct, frozen=True):
    """How many series, and coins to collect, have no origin."""

    series: int
    coins: int

    def __bool__(self) -> bool:
        """Whether there are any."""
        return self.series > 0 or self.coins > 0

    def __str__(self) -> str:
        """As logs and commands say it."""
        return (
            f"{self.series:,} series and {self.coins:,} coins of an older release do not say whose data they are, "
            "and are not used; chandlery db adopt takes them for the exchanges' own"
        )


async def unknown(database: IDatabaseConnection) -> Unknown:
    """Count what has no origin."""
    series: list[Any] = await database.read("SELECT count(*) FROM series WHERE origin = ?", (UNKNOWN_ORIGIN,))
    coins: list[Any] = await database.read("SELECT count(*) FROM coins WHERE origin = ?", (UNKNOWN_ORIGIN,))
    return Unknown(series[0][0], coins[0][0])


async def adopt(database: IDatabaseConnection) -> Unknown:
    """
    Take all of it for the exchanges' own data, in one transaction; what it was.

    Where there are rows of the exchange's own for the same moments, those are kept. Nobody else may write meanwhile.
    """
    found = await unknown(database)
    pairs = await database.read(_PAIRS, (UNKNOWN_ORIGIN, EXCHANGE_OWN))
    statements: list[Statement] = []
    for table in ("candles", "books", "gaps"):
        statements.append((f"UPDATE OR IGNORE {table} SET series = ? WHERE series = ?", pairs))
        statements.append((f"DELETE FROM {table} WHERE series = ?", [(old,) for _, old in pairs]))
    statements.append(("DELETE FROM series WHERE id = ?", [(old,) for _, old in pairs]))
    renamed = [(EXCHANGE_OWN, UNKNOWN_ORIGIN)]
    statements.append(("UPDATE series SET origin = ? WHERE origin = ?", renamed))
    statements.append(("UPDATE OR IGNORE coins SET origin = ? WHERE origin = ?", renamed))
    statements.append(("DELETE FROM coins WHERE origin = ?", [(UNKNOWN_ORIGIN,)]))
    await database.write(*statements)
    return found
