"""Responses of the historical endpoints."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, Field

from chandlery.service.label import Label


class SourceSpan(BaseModel):
    """Span that comes from one source."""

    source: str = Field(examples=["cache (vision)"])
    start: str = Field(examples=["2024-01-01T00:00:00Z"])
    end: str = Field(examples=["2024-01-02T00:00:00Z"])
    rows: int = Field(examples=[1440])
    origin: Label = None


class GapSpan(BaseModel):
    """Gap, and its cause as far as it is known."""

    start: str
    end: str
    kind: str = Field(examples=["halt"])
    evidence: str


class Page(BaseModel):
    """Rows of a range, in the order of ``columns``; times in milliseconds, ``null`` for missing values."""

    exchange: str = Field(examples=["binance"])
    symbol: str = Field(examples=["BTC/USDT"])
    interval: str | None = Field(None, examples=["1m"])
    origin: Label = None
    start: str = Field(examples=["2024-01-01T00:00:00Z"])
    end: str = Field(examples=["2024-01-02T00:00:00Z"])
    columns: list[str] = Field(examples=[["open_time", "open", "high", "low", "close", "volume"]])
    rows: list[list[Any]] = Field(examples=[[[1704067200000, 42000.0, 42010.0, 41990.0, 42005.0, 12.5]]])
    sources: list[SourceSpan]
    gaps: list[GapSpan]
    omitted_sources: int = Field(0, description="Number omitted from the list, if there are too many.")
    omitted_gaps: int = Field(0, description="Number omitted from the list, if there are too many.")
    next: str | None = Field(description="Cursor of the next page; null on the last page.")


# Not a tuple, whose schema many OpenAPI tools do not support.
Level: TypeAlias = Annotated[list[float], Field(min_length=2, max_length=2)]


class Book(BaseModel):
    """Order book; levels are price and size, best first."""

    exchange: str = Field(examples=["binance"])
    symbol: str = Field(examples=["BTC/USDT"])
    timestamp: str | None = Field(
        description="Grid time of a stored book; the exchange's time of a live one, if it sends one.",
        examples=["2026-01-01T00:05:00Z"],
    )
    received_at: str | None = Field(
        None,
        description="Receive time of its last message, by the clock of the service.",
        examples=["2026-01-01T00:04:59.987000Z"],
    )
    at: str | None = Field(
        None,
        description="Exchange time of the last message, if it sends one.",
        examples=["2026-01-01T00:04:59.950000Z"],
    )
    sequence: int | None = Field(None, examples=[123456789])
    bids: list[Level] = Field(examples=[[[42000.0, 1.5]]])
    asks: list[Level] = Field(examples=[[[42000.5, 0.7]]])
    origin: Label = None


class Books(BaseModel):
    """Order books of a range."""

    books: list[Book]
    origin: Label = None
    gaps: list[GapSpan]
    next: str | None = Field(description="Cursor of the next page; null on the last page.")
