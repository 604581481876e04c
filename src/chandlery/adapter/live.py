"""Declarations and values of an adapter's sockets."""

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
    """The purpose of a socket."""

    CANDLES = "candles"
    BOOK = "book"


class CandleStream(Struct, frozen=True):
    """The candles of one symbol, in the exchange's spelling, and one interval."""

    symbol: str
    interval: Interval


class LiveCandle(Struct, frozen=True, gc=False):
    """A candle as sent by a socket, and its stream."""

    symbol: str
    interval: Interval
    candle: CandleData


Sinks: TypeAlias = Mapping[str, tuple[Interval, Callable[[CandleData], bool]]]
"""By symbol: a fast consumer of its candles of an interval, which returns whether it accepted one."""

FollowBook: TypeAlias = Callable[
    [Sequence[Level], Sequence[Level], int | None, int | None, int | None, Micros | None], bool
]
"""Takes ``bids``, ``asks``, ``first``, ``last``, ``previous`` and ``at`` of a ``BookUpdate``; returns whether it applied them."""


class ChannelNumbers(Struct, frozen=True):
    """
    Patterns of channel numbers, which are valid for one connection.

    ``assigned`` is found in an answer to a subscription that assigns a number, ``carried`` matches the beginning of the
    channel's messages. The first group of each is the number.
    """

    assigned: re.Pattern[bytes]
    carried: re.Pattern[bytes]


class SocketRules(Struct, frozen=True):
    """
    Limits and rules of an exchange's sockets.

    ``streams`` is the number of streams per connection, ``per_message`` the number per subscription
    message. ``messages`` limits the client's messages, ``connects`` its connects; ``None``
    if the exchange states no limit. After opening, ``pause_s`` must pass before the first message.
    With ``one_interval`` a connection accepts a single interval of a symbol. With ``history`` the first
    message of a candle stream contains past candles.
    ``ping_every_s`` is the interval of ``ExchangeAdapter.ping``, ``idle_s`` the
    silence after which a connection is dead, ``lifetime_s`` the age at which the exchange cuts it. Commands before a
    message that matches ``welcome`` are ignored. A message without data that matches ``closing``
    announces that the exchange is about to cut the connection. With ``channels``, only the answer to a subscription
    names it, and its messages carry a number: the adapter gets such a message after that answer and a line end.
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
    channels: ChannelNumbers | None = None
