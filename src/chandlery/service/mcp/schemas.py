"""What the tools take and answer."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BaseModel, Field

from chandlery.service.collection.schemas import Coin
from chandlery.service.historical.schemas import GapSpan, SourceSpan
from chandlery.service.known import KnownFields, SymbolText
from chandlery.service.label import Label
from chandlery.service.parameters import MOMENT_HELP

MOST_PREVIEWED, PREVIEWED = 500, 20
MOST_BUCKETS, BUCKETS = 50, 24
MOST_LEVELS, LEVELS = 100, 10

ExchangeName: TypeAlias = Annotated[
    str, Field(max_length=64, examples=["binance"], description="An id or alias that list_exchanges tells.")
]
Symbol: TypeAlias = Annotated[
    SymbolText,
    Field(examples=["BTC/USDT"], description="E.g. BTC/USDT; a perpetual is BTC/USDT:USDT."),
]
CursorText: TypeAlias = Annotated[str | None, Field(max_length=200, description="The next of the answer before.")]
Next: TypeAlias = Annotated[str | None, Field(description="The cursor with which to ask for more; null: that was all.")]
Moment: TypeAlias = Annotated[str, Field(examples=["2024-01-01T00:00:00Z"])]


class CoinName(KnownFields):
    """A coin of an exchange."""

    exchange: ExchangeName
    symbol: Symbol


class CoinToAdd(CoinName):
    """A coin to collect."""

    channels: Annotated[list[str], Field(min_length=1, max_length=20)] = Field(
        ["book", "candles:1m"], description="book, and candles:1m and so on."
    )


class CoinToRemove(CoinName):
    """A coin, or one channel of it."""

    channel: str | None = Field(None, max_length=64, description="book, or candles:1m and so on; without one, all.")


class CoinsAsked(KnownFields):
    """Which of the coins that are collected."""

    cursor: CursorText = None


class ExchangesAsked(KnownFields):
    """Which exchanges."""

    name: str | None = Field(
        None, max_length=64, examples=["okx"], description="Only those whose id or aliases hold this."
    )
    cursor: CursorText = None


class CurrentAsked(CoinName):
    """Of what the latest is wanted."""

    channel: str = Field("candles:1m", max_length=16, description="book, or candles:1m and so on.")
    levels: int = Field(LEVELS, ge=1, le=MOST_LEVELS, description="Of a book, how many levels a side.")


class Range(CoinName):
    """A range of candles."""

    interval: str = Field("1m", max_length=8, description="1s 1m 5m 1h 1d 1w and so on; 1m is a minute, 1M a month.")
    start: str | int = Field(examples=["2024-01-01"], description=f"The first moment: {MOMENT_HELP}")
    end: str | int | None = Field(None, description="The moment after the last; now where there is none.")


class RangeToDownload(Range):
    """A range to have, and how much of it to show."""

    preview_rows: int = Field(
        PREVIEWED, ge=1, le=MOST_PREVIEWED, description="How many rows to show at most; the budget may allow fewer."
    )
    cursor: CursorText = None


class RangeToSum(Range):
    """A range to sum up."""

    buckets: int = Field(BUCKETS, ge=1, le=MOST_BUCKETS, description="In how many stretches at most.")


class Sourced(BaseModel):
    """An answer that says where it comes from, and what is missing in it."""

    origin: Label = None
    sources: list[SourceSpan] = Field(description="Where each stretch comes from.")
    omitted_sources: int = Field(0, description="How many more stretches there are.")
    gaps: list[GapSpan] = Field(description="Each hole, and what is known of its cause.")
    omitted_gaps: int = Field(0, description="How many more holes there are; a shorter range tells them.")


class CoinAnswer(Coin):
    """A coin that is collected, from now on where it was not yet; each channel says whether it runs."""

    source: str = "this service's own streams"


class Removed(BaseModel):
    """A coin that is collected no more; what was collected stays."""

    exchange: str
    symbol: str
    channel: str | None = None
    removed: bool = True
    source: str = "this service's list of coins"


class CoinsAnswer(BaseModel):
    """The coins that are collected, by exchange and symbol; counts, gaps among them, since the service started."""

    coins: list[Coin]
    total: int
    next: Next
    source: str = "this service's own streams"


class AvailabilityAnswer(BaseModel):
    """Whether an exchange trades a coin now."""

    exchange: str
    symbol: str
    available: bool
    source: str = "the exchange's own list of what it trades"
    origin: Label = None


class ExchangeRow(BaseModel):
    """The main of what an exchange can do; the resource chandlery://exchanges/{id} has all."""

    id: str
    aliases: list[str]
    market: str
    shortest_interval: str | None = Field(description="Of past candles.")
    archive: bool = Field(description="Whether the past comes in files, however long ago.")
    retained_days: float | None = Field(description="How far back its REST goes; null where nothing is said.")
    funding: bool
    live_candles: bool
    live_books: bool


class ExchangesAnswer(BaseModel):
    """What each exchange can do."""

    exchanges: list[ExchangeRow]
    total: int
    next: Next
    source: str = "chandlery's capability matrix"


class CandleNow(BaseModel):
    """A candle; the last one may still be running."""

    open_time: Moment
    open: float
    high: float
    low: float
    close: float
    volume: float
    closed: bool
    received_at: str | None = Field(description="When its last message came, by the clock of the service.")
    at: str | None = Field(description="The exchange's own time of the message that brought it.")


class BookNow(BaseModel):
    """An order book; levels are price and size, best first."""

    timestamp: str | None = Field(description="The exchange's time of the last message that had one.")
    received_at: str | None = Field(description="When its last message came, by the clock of the service.")
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]
    omitted_levels: int = Field(description="On both sides together.")


class CurrentAnswer(BaseModel):
    """The latest that is known of a series."""

    exchange: str
    symbol: str
    channel: str
    candle: CandleNow | None = None
    book: BookNow | None = None
    age_s: float | None = Field(
        description="How long ago its last message came, in seconds; of a candle, since it opened."
    )
    source: str = Field(description="The live stream, or what was kept or asked where there is none.")
    origin: Label = None
    gaps: list[GapSpan] = Field(description="The gaps of what was collected in the last hour.")
    omitted_gaps: int = 0


class Summary(BaseModel):
    """What the candles of a stretch come to; prices are null where there is no candle."""

    start: Moment
    end: Moment
    rows: int
    expected_rows: int = Field(description="How many there would be without holes.")
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
    """Candles that are in the service's storage now: a summary, some rows, and where all can be read."""

    exchange: str
    symbol: str
    interval: str
    summary: Summary | None = Field(description="Of the whole range; null where a cursor was given.")
    preview: Preview
    next: Next
    resource: str = Field(description="The resource of the whole range, as CSV in pages.")


class Buckets(BaseModel):
    """Stretches that follow each other, in the order of the columns; what each means, the whole says."""

    columns: list[str] = list(BUCKET_COLUMNS)
    rows: list[BucketRow]


class SummaryAnswer(Sourced):
    """Statistics of a range, whole and stretch by stretch."""

    exchange: str
    symbol: str
    interval: str
    whole: Summary
    candles_per_bucket: int
    buckets: Buckets
    omitted_buckets: int = 0


class ErrorAnswer(BaseModel):
    """Why a tool could not do it, and what would be right."""

    code: str
    message: str
    retryable: bool
    scope: str | None = None
