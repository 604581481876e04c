"""The strategy that a group of candle feeds is started with."""

from __future__ import annotations

from typing import Literal, TypeAlias

from chandlery.adapter.base import ExchangeAdapter
from chandlery.core.errors import InvalidInput, UnsupportedRequest
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.moment import TimeLike, range_of, to_micros
from chandlery.core.time import Micros
from chandlery.feed.strategies import NetworkStrategy
from chandlery.feed.stream import LiveStream

Strategy: TypeAlias = Literal["auto", "websocket", "polling", "rest"] | NetworkStrategy


def require_strategy(strategy: Strategy, adapter: ExchangeAdapter) -> None:
    """
    Check that a group of feeds of an exchange can use a strategy.

    Raises:
        InvalidInput: It is unknown, is a class, or reaches another exchange.
    """
    if isinstance(strategy, NetworkStrategy):
        if strategy.network.adapter.id != adapter.id:
            raise InvalidInput(f"the strategy is for {strategy.network.adapter.id}, not for {adapter.id}")
    elif strategy not in {"auto", "websocket", "polling", "rest"}:
        raise InvalidInput(
            f"strategy is {strategy!r}; use auto, websocket, polling, or a NetworkStrategy(group.network)"
        )


def last_candles(start: TimeLike | None, end: TimeLike | None, count: int, interval: Interval, now: Micros) -> Span:
    """
    Return a range, whose start is by default so many candles before the end; integers are seconds.

    Raises:
        InvalidRange: A value is not a ``TimeLike``, or the end is not after the start.
        InvalidInput: The count is less than 1.
    """
    if count < 1:
        raise InvalidInput(f"limit is {count}; use at least 1")
    if start is not None:
        return range_of(start, end, now, unit="s", names=("start", "end"))
    until = now if end is None else to_micros(end, name="end", now=now, unit="s")
    return Span(interval.step(interval.ceil(until), -count), until)


def require_streamed(strategy: Strategy, adapter: ExchangeAdapter, stream: LiveStream) -> None:
    """
    Check that the exchange streams a series if the strategy is ``websocket``.

    Raises:
        UnsupportedRequest: It does not.
    """
    if strategy != "websocket" or stream.live is not None:
        return
    if not adapter.is_streamed(stream.symbol):
        raise UnsupportedRequest(
            f"{adapter.id} sends no candles of {stream.symbol}, which expires; use auto or polling"
        )
    sent = " ".join(each.value for each in adapter.live_intervals) or "none"
    raise UnsupportedRequest(
        f"{adapter.id} sends no candles for {stream.interval.value}; it sends {sent}; use auto or polling"
    )
