"""Events of a feed between its data, so that a hole is not mistaken for a quiet market."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from chandlery.core.candle import CandleData
from chandlery.core.gaps import Gap, Span
from chandlery.core.time import Micros


class Connected(Struct, frozen=True):
    """A connection is established; ``attempt`` counts the connections so far, from 1."""

    attempt: int


class Reconnecting(Struct, frozen=True):
    """The connection was lost or given up for this reason; a new one is being made."""

    reason: str


class Backfilled(Struct, frozen=True):
    """Everything available in ``span`` is complete. It ends with the first live candle, or the running one without any."""

    span: Span


class Missing(Struct, frozen=True):
    """Expected candles do not exist, with the reason; ``proved_at`` is the exchange's time of the proof."""

    gap: Gap
    proved_at: Micros | None = None


class Rejected(Struct, frozen=True):
    """Received data was rejected; ``payload`` is the beginning of it."""

    reason: str
    payload: str


class Restated(Struct, frozen=True):
    """A closed candle has changed: it was closed too early by a clock or the next candle, or the exchange corrected it."""

    before: CandleData
    after: CandleData


class Unsettled(Struct, frozen=True):
    """
    Number of closed candles due for a second read, the oldest for ``age_s``; they may not be final.

    Published when ``age_s`` reaches a minute, whenever it has doubled since, and with 0 when none is due any more.
    """

    count: int
    age_s: float


class Switched(Struct, frozen=True):
    """The feed switches to another strategy: ``websocket`` or ``polling``."""

    strategy: str


class Resyncing(Struct, frozen=True):
    """The order book became invalid for this reason; a new snapshot is requested."""

    reason: str


class Resynced(Struct, frozen=True):
    """The order book is valid again, after so many milliseconds."""

    after_ms: float


class Outdated(Struct, frozen=True):
    """The order book is invalid because no message was received for ``max_age_s``. The next one makes it valid again."""

    max_age_s: float


class Failed(Struct, frozen=True):
    """
    Handling an update of this symbol failed for this reason; ``count`` failures so far.

    Other symbols continue. The symbol restarts with exponential backoff. After a failure of ``on_update``
    it continues at once, and the next report waits for that delay.
    """

    reason: str
    count: int


class Dropped(Struct, frozen=True):
    """Unread updates were dropped because the queue was full."""

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
"""Any item that is not data."""

CandleUpdate: TypeAlias = CandleData | Event
"""An item that a candles feed yields."""
