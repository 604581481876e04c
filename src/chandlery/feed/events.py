"""What a feed says between its data, so that nobody takes a hole for silence."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from chandlery.core.candle import CandleData
from chandlery.core.gaps import Gap, Span
from chandlery.core.time import Micros


class Connected(Struct, frozen=True):
    """Data can flow; ``attempt`` counts the connections so far, from 1."""

    attempt: int


class Reconnecting(Struct, frozen=True):
    """The connection was lost, or given up, for this reason; a new one is being made."""

    reason: str


class Backfilled(Struct, frozen=True):
    """Nothing is missing in ``span`` that can be had; it ends with the first live candle, or the running one where none came yet."""

    span: Span


class Missing(Struct, frozen=True):
    """Candles that should be there are not, and why; ``proved_at`` is the exchange's time when that was proved."""

    gap: Gap
    proved_at: Micros | None = None


class Rejected(Struct, frozen=True):
    """Something that came was not taken, with the beginning of what it was."""

    reason: str
    payload: str


class Restated(Struct, frozen=True):
    """A closed candle has changed: a clock, or the next one, had closed it too early, or the exchange has corrected it."""

    before: CandleData
    after: CandleData


class Unsettled(Struct, frozen=True):
    """
    So many closed candles of the series are due for their second read, the oldest for ``age_s``; none of them may be final.

    Published when that is a minute, whenever it has doubled since, and with 0 when none is due any more.
    """

    count: int
    age_s: float


class Switched(Struct, frozen=True):
    """The feed goes on by another strategy: ``websocket`` or ``polling``."""

    strategy: str


class Resyncing(Struct, frozen=True):
    """There is no valid order book any more, for this reason; a new snapshot is on its way."""

    reason: str


class Resynced(Struct, frozen=True):
    """There is a valid order book, after so many milliseconds without one."""

    after_ms: float


class Outdated(Struct, frozen=True):
    """There is no valid order book any more, as no message of it has come for ``max_age_s``; the next one makes it valid again."""

    max_age_s: float


class Failed(Struct, frozen=True):
    """
    Handling an update of this symbol failed, for this reason; ``count`` failures so far.

    Other symbols go on. The symbol begins anew after a pause that grows from failure to failure; after a
    failure of ``on_update`` it goes on without one, and the next report waits for that pause.
    """

    reason: str
    count: int


class Dropped(Struct, frozen=True):
    """So many updates were dropped because they were not taken out in time."""

    count: int


Event: TypeAlias = (
    Connected
    | Reconnecting
    | Backfilled
    | Missing
    | Rejected
    | Restated
    | Unsettled
    | Switched
    | Resyncing
    | Resynced
    | Outdated
    | Failed
    | Dropped
)
"""Anything that is not data."""

CandleUpdate: TypeAlias = CandleData | Event
"""What a candles feed yields."""
