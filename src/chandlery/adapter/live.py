"""What an adapter declares and returns about its sockets."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import TypeAlias

from msgspec import Struct

from chandlery.core.book import Level
from chandlery.core.candle import CandleData
from chandlery.core.http import RateLimit
from chandlery.core.interval import Interval
from chandlery.core.time import Micros


class Channel(Enum):
    """What a socket is opened for."""

    CANDLES = "candles"
    BOOK = "book"


class CandleStream(Struct, frozen=True):
    """The candles of one symbol, in the exchange's spelling, and one interval."""

    symbol: str
    interval: Interval


class LiveCandle(Struct, frozen=True, gc=False):
    """A candle as a socket sent it, and the stream that it belongs to."""

    symbol: str
    interval: Interval
    candle: CandleData


Sinks: TypeAlias = Mapping[str, tuple[Interval, Callable[[CandleData], bool]]]
"""By symbol, what takes most of its candles of an interval, and says which."""

FollowBook: TypeAlias = Callable[
    [Sequence[Level], Sequence[Level], int | None, int | None, int | None, Micros | None], bool
]
"""Takes ``bids``, ``asks``, ``first``, ``last``, ``previous`` and ``at`` of a ``BookUpdate``, and says whether it did."""


class SocketRules(Struct, frozen=True):
    """
    What an exchange's sockets allow and demand.

    ``streams`` is how many may share a connection, ``per_message`` how many one subscription may
    name. ``messages`` is what a client may send, ``connects`` how often it may connect; ``None``
    where the exchange names no limit. After opening, ``pause_s`` must pass before the first message.
    With ``one_interval`` a connection takes one interval of a symbol and no second one. With ``history`` the first
    message of a candle stream brings candles of the past.
    ``ping_every_s`` is how often the exchange wants ``ExchangeAdapter.ping``, ``idle_s`` the
    silence after which a connection is dead, ``lifetime_s`` when the exchange cuts it. Before a
    message in which ``welcome`` is found, no command is heard; one in which ``closing`` is found, and
    no data, announces that the exchange is about to cut the connection.
    """

    streams: int = 100
    per_message: int = 100
    messages: RateLimit | None = None
    connects: RateLimit | None = None
    pause_s: float = 0.0
    one_interval: bool = False
    history: bool = False
    ping_every_s: float | None = None
    idle_s: float = 60.0
    lifetime_s: float | None = None
    welcome: re.Pattern[bytes] | None = None
    closing: re.Pattern[bytes] | None = None
