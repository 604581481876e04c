"""Database rows of older releases without a recorded origin: ignored until the user adopts them."""

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
    """Number of series, and of coins to collect, without a recorded origin."""

    series: int
    coins: int

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return self.series > 0 or self.coins > 0

    def __str__(self) -> str:
        """Format for logs and commands."""
        return (
            f"{self.series:,} series and {self.coins:,} coins of an older release have no origin, "
            "and are not used; chandlery db adopt marks them as the exchanges' own data"
        )


async def unknown(database: IDatabaseConnection) -> Unknown:
    """Count the rows without an origin."""
    series: list[Any] = await database.read("SELECT count(*) FROM series WHERE origin = ?", (UNKNOWN_ORIGIN,))
    coins: list[Any] = await database.read("SELECT count(*) FROM coins WHERE origin = ?", (UNKNOWN_ORIGIN,))
    return Unknown(series[0][0], coins[0][0])


async def adopt(database: IDatabaseConnection) -> Unknown:
    """
    Adopt all of them as the exchanges' own data, in one transaction. Return their number.

    The exchange's own rows for the same times take precedence. No other process may write meanwhile.
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
