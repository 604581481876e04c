"""Inputs and outputs of the MCP tools."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BaseModel, Field

from chandlery.core.moment import TIME_HELP
from chandlery.service.collection.schemas import Coin
from chandlery.service.historical.schemas import GapSpan, SourceSpan
from chandlery.service.known import KnownFields, NamedCoin, SymbolText
from chandlery.service.label import Label

MOST_PREVIEWED, PREVIEWED = 500, 20
MOST_BUCKETS, BUCKETS = 50, 24
MOST_LEVELS, LEVELS = 100, 10
MOST_INSTRUMENTS = 500

ExchangeName: TypeAlias = Annotated[
    str, Field(max_length=64, examples=["binance"], description="An id or alias from list_exchanges.")
]
Symbol: TypeAlias = Annotated[
    SymbolText,
    Field(examples=["BTC/USDT"], description="E.g. BTC/USDT; a perpetual is BTC/USDT:USDT."),
]
CursorText: TypeAlias = Annotated[str | None, Field(max_length=200, description="next of the previous result.")]
Next: TypeAlias = Annotated[str | None, Field(description="Cursor of the next page; null on the last page.")]
TimeText: TypeAlias = Annotated[str, Field(examples=["2024-01-01T00:00:00Z"])]


class CoinName(NamedCoin):
    """Coin of an exchange."""

    exchange: ExchangeName
    symbol: Symbol


class CoinToAdd(CoinName):
    """Coin to collect."""

    channels: Annotated[list[str], Field(min_length=1, max_length=20)] = Field(
        ["book", "candles:1m"], description="book, and candles:1m and so on."
    )


class CoinToRemove(CoinName):
    """Coin to remove, or one of its channels."""

    channel: str | None = Field(None, max_length=64, description="book, or candles:1m and so on; all if omitted.")


class CoinsAsked(KnownFields):
    """Filter of the collected coins."""

    cursor: CursorText = None


class ExchangesAsked(KnownFields):
    """Filter of the exchanges."""

    name: str | None = Field(
        None, max_length=64, examples=["okx"], description="Only exchanges whose id or alias contains this text."
    )
    cursor: CursorText = None


class InstrumentsAsked(KnownFields):
    """Search in the instruments of an exchange."""

    exchange: ExchangeName
    search: str = Field("", max_length=64, examples=["btc perp"], description="Words that must all match.")
    market: str | None = Field(None, max_length=20, description="spot, linear or inverse.")
    status: str | None = Field(
        "listed", max_length=20, description="listed, upcoming, halted, delisted, or null for all."
    )


class UniverseAsked(InstrumentsAsked):
    """Search in the instruments of an exchange as they were listed at a time."""

    at: str | int = Field(examples=["2026-01-01"], description=f"Time of the lists: {TIME_HELP}")


class CurrentAsked(CoinName):
    """Series whose latest data is requested."""

    channel: str = Field("candles:1m", max_length=16, description="book, or candles:1m and so on.")
    levels: int = Field(LEVELS, ge=1, le=MOST_LEVELS, description="Number of levels per side of a book.")


class Range(CoinName):
    """Range of candles."""

    interval: str = Field("1m", max_length=8, description="1s 1m 5m 1h 1d 1w and so on; 1m is a minute, 1M a month.")
    start: str | int = Field(examples=["2024-01-01"], description=f"Start of the range: {TIME_HELP}")
    end: str | int | None = Field(None, description="End of the range, exclusive; defaults to now.")
    volume_unit: str = Field(
        "exchange",
        max_length=16,
        description="base, quote or contracts converts the volumes; resources have the units of the exchange.",
    )


class RangeToDownload(Range):
    """Range to download, and the number of rows to show."""

    preview_rows: int = Field(
        PREVIEWED, ge=1, le=MOST_PREVIEWED, description="Maximum number of rows to show; the budget may allow fewer."
    )
    cursor: CursorText = None


class RangeToSum(Range):
    """Range to summarize."""

    buckets: int = Field(BUCKETS, ge=1, le=MOST_BUCKETS, description="Maximum number of buckets.")


class Sourced(BaseModel):
    """Answer with its sources and gaps."""

    origin: Label = None
    sources: list[SourceSpan] = Field(description="Sources of the data.")
    omitted_sources: int = Field(0, description="Number of sources omitted from the list.")
    gaps: list[GapSpan] = Field(description="Gaps, and their causes as far as known.")
    omitted_gaps: int = Field(
        0, description="Number of gaps omitted from the list; request a shorter range to see them."
    )


class CoinAnswer(Coin):
    """A collected coin; the state of each channel shows whether it runs."""

    source: str = "this service's own streams"


class Removed(BaseModel):
    """A coin that is no longer collected; collected data stays stored."""

    exchange: str
    symbol: str
    channel: str | None = None
    removed: bool = True
    source: str = "this service's list of coins"


class CoinsAnswer(BaseModel):
    """Collected coins, by exchange and symbol; counts, including gaps, are since the start of the service."""

    coins: list[Coin]
    total: int
    next: Next
    source: str = "this service's own streams"


class AvailabilityAnswer(BaseModel):
    """Availability of a coin on an exchange."""

    exchange: str
    symbol: str
    available: bool
    source: str = "the exchange's list of markets"
    origin: Label = None


class ExchangeRow(BaseModel):
    """Main capabilities of an exchange; the resource chandlery://exchanges/{id} has all of them."""

    id: str
    aliases: list[str]
    market: str
    shortest_interval: str | None = Field(description="Intervals of past candles.")
    archive: bool = Field(description="True if an archive of files covers all history.")
    retained_days: float | None = Field(description="How far back REST reaches; null if undocumented.")
    funding: bool
    live_candles: bool
    live_books: bool


INSTRUMENT_COLUMNS = (
    "symbol",
    "exchange_symbol",
    "kind",
    "status",
    "tick_size",
    "lot_size",
    "contract_size",
    "volume_unit",
)
InstrumentTuple: TypeAlias = tuple[str, str, str, str, float | None, float | None, float | None, str | None]


class InstrumentTable(BaseModel):
    """Instruments, one row each; symbol is the argument of the other tools."""

    columns: list[str] = list(INSTRUMENT_COLUMNS)
    rows: list[InstrumentTuple]


class InstrumentsAnswer(BaseModel):
    """Instruments that match a search."""

    exchange: str
    instruments: InstrumentTable
    total: int = Field(description="Number of matches; add words to search if it exceeds the rows.")
    listed_at: str | None = Field(description="Time at which the list was read; null if unknown.")
    source: str = "the exchange's list of instruments, at most ten minutes old"
    origin: Label = None


class UniverseAnswer(BaseModel):
    """Instruments as they were listed at a time."""

    exchange: str
    at: TimeText
    instruments: InstrumentTable
    total: int = Field(description="Number of matches; add words to search if it exceeds the rows.")
    first_at: str = Field(description="Time of the first stored list; earlier times are refused.")
    last_at: str = Field(description="Time of the last stored list.")
    source: str = "the lists of instruments that this service stored"


class ExchangesAnswer(BaseModel):
    """Capabilities of the exchanges."""

    exchanges: list[ExchangeRow]
    total: int
    next: Next
    source: str = "chandlery's capability matrix"


class CandleNow(BaseModel):
    """A candle; the last one may still be running."""

    open_time: TimeText
    open: float
    high: float
    low: float
    close: float
    volume: float
    closed: bool
    received_at: str | None = Field(description="Receive time of its last message, by the clock of the service.")
    at: str | None = Field(description="Exchange time of the message.")


class BookNow(BaseModel):
    """An order book; levels are price and size, best first."""

    timestamp: str | None = Field(description="Exchange time of the last message that had one.")
    received_at: str | None = Field(description="Receive time of its last message, by the clock of the service.")
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]
    omitted_levels: int = Field(description="Number of omitted levels, of both sides together.")


class CurrentAnswer(BaseModel):
    """Latest known data of a series."""

    exchange: str
    symbol: str
    channel: str
    candle: CandleNow | None = None
    book: BookNow | None = None
    age_s: float | None = Field(description="Age of the last message in seconds; for a candle, time since its open.")
    source: str = Field(description="live stream, database, or a request to the exchange.")
    origin: Label = None
    gaps: list[GapSpan] = Field(description="Gaps in the data collected in the last hour.")
    omitted_gaps: int = 0


class Summary(BaseModel):
    """Statistics of consecutive candles; prices are null without candles."""

    start: TimeText
    end: TimeText
    rows: int
    expected_rows: int = Field(description="Number of candles if none were missing.")
    first: str | None = Field(description="The open time of the first candle.")
    last: str | None
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float
    change: float | None = Field(description="close / open - 1.")
    volatility: float | None = Field(
        description="The standard deviation of the logarithmic returns from candle to candle, not annualised."
    )


BUCKET_COLUMNS = ("start", "rows", "open", "high", "low", "close", "volume", "change", "volatility")
_Number: TypeAlias = float | None
BucketRow: TypeAlias = tuple[str, int, _Number, _Number, _Number, _Number, float, _Number, _Number]


class Preview(BaseModel):
    """Rows in the order of the columns; the first is the open time."""

    columns: list[str] = ["open_time", "open", "high", "low", "close", "volume"]
    rows: list[tuple[str, float, float, float, float, float]]


class DownloadAnswer(Sourced):
    """Stored candles: a summary, some rows, and the resource with all of them."""

    exchange: str
    symbol: str
    interval: str
    summary: Summary | None = Field(description="Summary of the whole range; null if a cursor was given.")
    preview: Preview
    next: Next
    resource: str = Field(description="Resource of the whole range, as CSV in pages.")


class Buckets(BaseModel):
    """Consecutive buckets, in the order of the columns; fields are defined as in the summary of the whole range."""

    columns: list[str] = list(BUCKET_COLUMNS)
    rows: list[BucketRow]


class SummaryAnswer(Sourced):
    """Statistics of a range, in total and per bucket."""

    exchange: str
    symbol: str
    interval: str
    whole: Summary
    candles_per_bucket: int
    buckets: Buckets
    omitted_buckets: int = 0


class ErrorAnswer(BaseModel):
    """Reason why a tool failed, and how to correct the call."""

    code: str
    message: str
    retryable: bool
    scope: str | None = None
