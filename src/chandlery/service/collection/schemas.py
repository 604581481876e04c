"""Requests and responses of the collection endpoints."""

from __future__ import annotations

from pydantic import BaseModel, Field

from chandlery.core.time import iso
from chandlery.service.collection.status import CoinStatus
from chandlery.service.known import NamedCoin
from chandlery.service.label import Label


class CoinRequest(NamedCoin):
    """Coin to collect."""

    channels: list[str] = Field(
        default=["book", "candles:1m"],
        description="book, and candles of any intervals.",
        examples=[["book", "candles:1m"]],
        min_length=1,
        max_length=20,
    )


class Channel(BaseModel):
    """State of one stream of a coin; counts are since the start of the service."""

    channel: str = Field(examples=["candles:1m"])
    state: str = Field(
        examples=["running"],
        description="starting, running, reconnecting, stale (no order book was stored for two intervals), or failed, which is retried.",
    )
    messages: int
    gaps: int
    resyncs: int
    last_message: str | None = Field(examples=["2026-01-01T00:00:00.123456Z"])
    lag_ms: float | None = Field(description="Delay of the last message in milliseconds.")
    failures: int = Field(description="Number of consecutive failures.")
    error: str | None


class Coin(BaseModel):
    """Collected coin."""

    exchange: str = Field(examples=["binance"])
    symbol: str = Field(examples=["BTC/USDT"])
    since: str = Field(examples=["2026-01-01T00:00:00Z"])
    channels: list[Channel]
    origin: Label = None

    @classmethod
    def of(cls, status: CoinStatus) -> Coin:
        """Build the response of a coin's state."""
        return cls(
            exchange=status.exchange,
            symbol=status.symbol,
            since=iso(status.since),
            channels=[
                Channel(
                    channel=each.channel,
                    state=each.state,
                    messages=each.messages,
                    gaps=each.gaps,
                    resyncs=each.resyncs,
                    last_message=None if each.last_message is None else iso(each.last_message),
                    lag_ms=each.lag_ms,
                    failures=each.failures,
                    error=each.error,
                )
                for each in status.channels
            ],
            origin=status.origin,
        )


class Coins(BaseModel):
    """Collected coins."""

    coins: list[Coin]


class Availability(BaseModel):
    """Availability of a coin on an exchange."""

    exchange: str = Field(examples=["binance"])
    symbol: str = Field(examples=["BTC/USDT"])
    available: bool
    origin: Label = None
