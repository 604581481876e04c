"""Historical candles through ccxt, read by the same code as those of our own adapters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, TypeAlias

from msgspec import Meta, Struct, ValidationError, convert

from chandlery.adapter.layout import CandleColumns, CandleLayout
from chandlery.core.errors import ChandleryError, MalformedResponse
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.provenance import SourceSpan
from chandlery.core.time import MINUTE, Micros
from chandlery.history.checks import GridDiffers
from chandlery.history.interfaces import SeriesFacts
from chandlery.history.rest import read_all
from chandlery.history.rest_reading import RestSeries
from chandlery.net.candle_exchange import CandleExchange
from chandlery.net.clock import ExchangeClock
from chandlery.tables.part import Part

Rows: TypeAlias = Sequence[Sequence[Any]]

FetchRows: TypeAlias = Callable[[Interval, Span, bool], Awaitable[Rows]]
"""Request for the candles of a span that fits one response, with or without a count."""

ROW = CandleLayout(0, 1, 2, 3, 4, 5)
"""Layout of ccxt's candles for any exchange."""

SOURCE = "ccxt"


class _Row(Struct, array_like=True, gc=False):
    """Row of ccxt; further fields are ignored."""

    open_time: Annotated[int, Meta(ge=0)]
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float | None


_LAUNCHED: Micros = 1_262_304_000_000_000
"""2010: no exchange of ccxt has older candles."""


class MarketFacts(Struct, frozen=True):
    """Declarations of ccxt about the candles of one market."""

    intervals: frozenset[Interval]
    page_size: int
    launched: Micros = _LAUNCHED
    longest_request: Micros | None = None
    settle: Micros = MINUTE
    sends_empty_candles: bool = False

    def grid(self, interval: Interval) -> Interval:
        """Return the default grid; the rows may show another."""
        return interval

    def oldest(self, interval: Interval, now: Micros) -> None:
        """Return ``None``, since ccxt does not declare how far back an exchange answers."""
        return


class Market(CandleExchange):
    """
    One market of an exchange of ccxt.

    ``ask`` sends one request. ``is_listed`` is true if ccxt's list marks the market active, ``None`` if unknown.
    """

    def __init__(
        self,
        facts: MarketFacts,
        ask: FetchRows,
        time: ExchangeClock,
        *,
        is_listed: Callable[[], Awaitable[bool | None]],
    ) -> None:
        super().__init__(time)
        self._facts = facts
        self._ask = ask
        self._is_listed = is_listed
        self._counts = True
        """True while requests carry a count; some exchanges answer such a request with the latest candles."""

    @property
    def facts(self) -> MarketFacts:
        """Declarations of ccxt."""
        return self._facts

    async def candles(self, symbol: str, interval: Interval, span: Span) -> CandleColumns:
        """
        Return the rows of one response; if none lies in ``span``, those of a second request without a count.

        Raises:
            MalformedResponse: A row is not a candle.
        """
        columns = await self._answer(symbol, interval, span, counts=self._counts)
        if self._counts and not any(map(span.holds, columns.open_time)):
            others = await self._answer(symbol, interval, span, counts=False)
            if any(map(span.holds, others.open_time)):
                self._counts, columns = False, others
        return columns

    async def first_candles(self, symbol: str, interval: Interval) -> None:
        """Return ``None``, since ccxt has no such request."""

    async def is_delisted(self, symbol: str) -> bool | None:
        """Return whether ccxt's list marks the market inactive; ``None`` if unknown."""
        listed = await self._is_listed()
        return None if listed is None else not listed

    async def _answer(self, symbol: str, interval: Interval, span: Span, *, counts: bool) -> CandleColumns:
        rows = await self._ask(interval, span, counts)
        try:
            return ROW.columns(convert(rows, list[_Row]))
        except ValidationError as error:
            raise MalformedResponse(f"{symbol} {interval.value} by ccxt: rows that are not candles: {error}") from error


async def fetch(market: Market, symbol: str, interval: Interval, span: Span) -> tuple[Part, ChandleryError | None]:
    """
    Return the closed candles that open in ``span``, a gap with evidence for each missing one, and the first error.

    After a failed request, the rows of the others are still returned; its span is a gap.

    Raises:
        MalformedResponse: The candles open on several grids.
    """
    facts = SeriesFacts(market.facts.grid(interval))
    series = RestSeries(
        market,
        symbol,
        interval,
        facts,
        market.guess,
        lambda each, at: SourceSpan(each.start, each.end, SOURCE, at),
    )
    for _ in range(2):
        grid = facts.grid
        closed = Span(grid.ceil(span.start), min(grid.ceil(span.end), grid.floor(await market.now())))
        try:
            return await read_all(series, [closed] if closed else [])
        except GridDiffers as found:
            # The grid that the rows show is used; everything is evaluated again with it.
            facts.grid = found.grid
    raise MalformedResponse(
        f"{symbol} {interval.value} by ccxt: the open times of the candles have no common alignment"
    )
