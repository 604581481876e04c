"""MCP tools: inputs, outputs and implementation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chandlery.adapter.capabilities import Capabilities, all_capabilities
from chandlery.clients.interfaces import ResolvedSeries
from chandlery.core.errors import UnknownName
from chandlery.core.gaps import Span
from chandlery.core.moment import to_micros
from chandlery.core.series_id import SeriesId
from chandlery.core.time import HOUR, SECOND, Clock, Unit, iso
from chandlery.service.auth.interfaces import COLLECT, READ
from chandlery.service.collection.interfaces import IDataCollectionManager
from chandlery.service.collection.schemas import Coin
from chandlery.service.historical.interfaces import IHistoricalDataManager
from chandlery.service.historical.pages import moment_of_cursor
from chandlery.service.instruments import InstrumentSearch
from chandlery.service.mcp import schemas
from chandlery.service.mcp.budget import after, clipped, longest_answer
from chandlery.service.mcp.past_tools import PastTools
from chandlery.service.mcp.ranges import Asked, CandleRanges, Page, PageRow, Progress, told, told_gaps
from chandlery.service.mcp.summary import RunningSummary, SummaryBuckets
from chandlery.service.mcp.tool import Tool

_GAPS_LOOKED_BACK = HOUR


class Toolbox:
    """All tools of a service."""

    def __init__(
        self,
        collection: IDataCollectionManager,
        historical: IHistoricalDataManager,
        ranges: CandleRanges,
        instruments: InstrumentSearch,
        clock: Clock,
        resolve: Callable[[SeriesId], ResolvedSeries],
    ) -> None:
        self._resolve = resolve
        self._collection = collection
        self._historical = historical
        self._ranges = ranges
        self._instruments = instruments
        self._clock = clock
        tools = (
            Tool("add_coin", COLLECT, schemas.CoinToAdd, schemas.CoinAnswer, self._add_coin, changes=True),
            Tool("remove_coin", COLLECT, schemas.CoinToRemove, schemas.Removed, self._remove_coin, changes=True, destroys=True),
            Tool("list_coins", READ, schemas.CoinsAsked, schemas.CoinsAnswer, self._list_coins),
            Tool("check_availability", READ, schemas.CoinName, schemas.AvailabilityAnswer, self._check_availability),
            Tool("download_historical_data", READ, schemas.RangeToDownload, schemas.DownloadAnswer, self._download, heavy=True),
            Tool("get_most_current_data", READ, schemas.CurrentAsked, schemas.CurrentAnswer, self._current),
            Tool("summarize_candles", READ, schemas.RangeToSum, schemas.SummaryAnswer, self._summarize, heavy=True),
            Tool("list_instruments", READ, schemas.InstrumentsAsked, schemas.InstrumentsAnswer, self._list_instruments),
            Tool("get_universe", READ, schemas.UniverseAsked, schemas.UniverseAnswer, self._get_universe),
            Tool("list_exchanges", READ, schemas.ExchangesAsked, schemas.ExchangesAnswer, self._list_exchanges),
        )  # fmt: skip
        past = PastTools(resolve, historical, clock).tools()
        self.tools = {tool.name: tool for tool in (*tools, *past)}

    async def _add_coin(self, asked: schemas.CoinToAdd, _: Progress) -> schemas.CoinAnswer:
        """
        Start collecting a coin, also after restarts, or further channels of one; the answer shows whether its streams
        run.
        """
        status = await self._collection.begin(asked.symbol, asked.exchange, asked.channels)
        return schemas.CoinAnswer(**dict(_short(Coin.of(status))))

    async def _remove_coin(self, asked: schemas.CoinToRemove, _: Progress) -> schemas.Removed:
        """Stop collecting a coin, or one channel of it; collected data stays stored."""
        await self._collection.remove_coin(asked.symbol, asked.exchange, asked.channel)
        return schemas.Removed(exchange=asked.exchange, symbol=asked.symbol, channel=asked.channel)

    async def _list_coins(self, asked: schemas.CoinsAsked, _: Progress) -> schemas.CoinsAnswer:
        """List the collected coins, and the state of each stream."""
        coins = [_short(Coin.of(status)) for status in self._collection.list_coins()]
        left = after(coins, _coin_key, asked.cursor)

        def answer(count: int) -> schemas.CoinsAnswer:
            following = _coin_key(left[count - 1]) if 0 < count < len(left) else None
            return schemas.CoinsAnswer(coins=left[:count], total=len(coins), next=following)

        return longest_answer(len(left), answer)

    async def _check_availability(self, asked: schemas.CoinName, _: Progress) -> schemas.AvailabilityAnswer:
        """Ask an exchange whether it trades a coin now."""
        available = await self._collection.is_available(asked.symbol, asked.exchange)
        origin = self._resolve(SeriesId.of_book(asked.exchange, asked.symbol)).origin
        return schemas.AvailabilityAnswer(
            exchange=asked.exchange, symbol=asked.symbol, available=available, origin=origin
        )

    async def _download(self, asked: schemas.RangeToDownload, progress: Progress) -> schemas.DownloadAnswer:
        """
        Fetch, check and store past candles; return a summary, some rows, and the resource with all of them.

        Closed candles only. With the cursor of an answer, the rows that follow.
        """
        wanted = self._asked(asked)
        if asked.cursor is None:
            whole = RunningSummary(wanted.span)
            report, page = await self._ranges.sum_up(wanted, whole, progress, asked.preview_rows)
            summary = whole.summary(wanted.series.length)
            of_all = told(report.sources, report.gaps)
            return longest_answer(
                len(page.rows), lambda count: _download_answer(wanted, page.first(count), summary, of_all)
            )
        at = moment_of_cursor(asked.cursor, wanted.span)
        page = await self._ranges.page(wanted, at, asked.preview_rows)
        return longest_answer(len(page.rows), lambda count: _download_answer(wanted, page.first(count), None, None))

    async def _current(self, asked: schemas.CurrentAsked, _: Progress) -> schemas.CurrentAnswer:
        """Get the latest order book or candle, which may be running; it is live if the coin is collected."""
        found = self._resolve(SeriesId.parse(asked.exchange, asked.symbol, asked.channel))
        series = found.id
        row = await self._historical.latest(found)
        if row is None:
            raise UnknownName(
                f"there is no {series.channel_text} of {series.symbol} at {series.exchange}; add_coin starts collecting it"
            )
        now = self._clock()
        at, received, sent = (
            None if row.get(name) is None else Unit.MILLIS.micros(row[name])
            for name in ("timestamp", "received_at", "at")
        )
        since = received if series.interval is None else at
        answer = schemas.CurrentAnswer(
            exchange=series.exchange,
            symbol=series.symbol,
            channel=series.channel_text,
            age_s=None if since is None else (now - since) / SECOND,
            source=self._source(series),
            origin=found.origin,
            **told_gaps(await self._historical.get_gaps(series, Span(now - _GAPS_LOOKED_BACK, now))),
        )
        told_at, told_received, told_sent = (None if each is None else iso(each) for each in (at, received, sent))
        if series.interval is None:
            bids, asks = list(row["bids"]), list(row["asks"])
            omitted = sum(max(len(side) - asked.levels, 0) for side in (bids, asks))
            answer.book = schemas.BookNow(
                timestamp=told_at,
                received_at=told_received,
                bids=bids[: asked.levels],
                asks=asks[: asked.levels],
                omitted_levels=omitted,
            )
        else:
            values = {name: row[name] for name in _CANDLE}
            answer.candle = schemas.CandleNow(
                open_time=told_at or "", **values, received_at=told_received, at=told_sent
            )
        return answer

    async def _summarize(self, asked: schemas.RangeToSum, progress: Progress) -> schemas.SummaryAnswer:
        """Summarize past candles, in total and per bucket: prices, volume, change and volatility, without the rows."""
        wanted = self._asked(asked)
        stretches = SummaryBuckets(wanted.span, wanted.series.length, asked.buckets)
        report, _ = await self._ranges.sum_up(wanted, stretches, progress)

        parts = [part.summary(wanted.series.length) for part in stretches.parts]

        def answer(count: int) -> schemas.SummaryAnswer:
            return schemas.SummaryAnswer(
                exchange=wanted.series.exchange,
                symbol=wanted.series.symbol,
                interval=wanted.series.length.value,
                origin=wanted.source.origin,
                whole=stretches.whole.summary(wanted.series.length),
                candles_per_bucket=stretches.candles,
                buckets=schemas.Buckets(rows=[_bucket(part) for part in parts[:count]]),
                omitted_buckets=len(parts) - count,
                **told(report.sources, report.gaps),
            )

        return longest_answer(len(parts), answer)

    async def _list_exchanges(self, asked: schemas.ExchangesAsked, _: Progress) -> schemas.ExchangesAnswer:
        """List the exchanges, and the main capabilities of each."""
        name = (asked.name or "").lower()
        found = [each for each in all_capabilities() if any(name in text.lower() for text in (each.id, *each.aliases))]
        left = after([_exchange_row(each) for each in found], lambda row: row.id, asked.cursor)

        def answer(count: int) -> schemas.ExchangesAnswer:
            following = left[count - 1].id if 0 < count < len(left) else None
            return schemas.ExchangesAnswer(exchanges=left[:count], total=len(found), next=following)

        return longest_answer(len(left), answer)

    async def _list_instruments(self, asked: schemas.InstrumentsAsked, _: Progress) -> schemas.InstrumentsAnswer:
        """Search in the instruments that an exchange lists, by words such as btc perp; the most likely comes first."""
        query = (asked.exchange, asked.market, asked.status, asked.search, schemas.MOST_INSTRUMENTS)
        found = await self._instruments.find(*query)
        rows = _instrument_rows(found.instruments)

        def answer(count: int) -> schemas.InstrumentsAnswer:
            return schemas.InstrumentsAnswer(
                exchange=asked.exchange,
                instruments=schemas.InstrumentTable(rows=rows[:count]),
                total=found.total,
                listed_at=found.listed_at,
                origin=found.origin,
            )

        return longest_answer(len(rows), answer)

    async def _get_universe(self, asked: schemas.UniverseAsked, _: Progress) -> schemas.UniverseAnswer:
        """
        Search in the instruments that an exchange listed at a past time, those that were delisted since among them;
        without survivorship bias.
        """
        at = to_micros(asked.at, name="at", now=self._clock())
        query = (asked.exchange, asked.market, asked.status, asked.search, at, schemas.MOST_INSTRUMENTS)
        found = await self._instruments.universe(*query)
        rows = _instrument_rows(found.instruments)

        def answer(count: int) -> schemas.UniverseAnswer:
            return schemas.UniverseAnswer(
                exchange=asked.exchange,
                at=found.at,
                instruments=schemas.InstrumentTable(rows=rows[:count]),
                total=found.total,
                first_at=found.first_at,
                last_at=found.last_at,
            )

        return longest_answer(len(rows), answer)

    def _asked(self, asked: schemas.Range) -> Asked:
        return self._ranges.asked(
            asked.exchange, asked.symbol, asked.interval, asked.start, asked.end, asked.volume_unit
        )

    def _source(self, series: SeriesId) -> str:
        for coin in self._collection.list_coins():
            if (coin.exchange, coin.symbol) == (series.exchange, series.symbol):
                for channel in coin.channels:
                    if channel.channel == series.channel_text and channel.messages:
                        return f"live stream, {channel.state}"
        return "database" if series.interval is None else "database, else the exchange's REST"


_CANDLE = ("open", "high", "low", "close", "volume", "closed")


def _short(coin: Coin) -> Coin:
    """Return the coin with long errors truncated."""
    for channel in coin.channels:
        channel.error = None if channel.error is None else clipped(channel.error)
    return coin


def _coin_key(coin: Coin) -> str:
    return f"{coin.exchange} {coin.symbol}"


def _bucket(part: schemas.Summary) -> schemas.BucketRow:
    return (part.start, part.rows, part.open, part.high, part.low, part.close, part.volume, part.change, part.volatility)  # fmt: skip


def _exchange_row(row: Capabilities) -> schemas.ExchangeRow:
    return schemas.ExchangeRow(
        id=row.id,
        aliases=list(row.aliases),
        market=row.market,
        shortest_interval=row.intervals[0] if row.intervals else None,
        archive=row.archive,
        retained_days=row.retention_days,
        funding=row.funding,
        live_candles=bool(row.live_intervals),
        live_books=bool(row.book_depths),
    )


def _instrument_rows(found: list[dict[str, Any]]) -> list[Any]:
    return [tuple(row[name] for name in schemas.INSTRUMENT_COLUMNS) for row in found]


def _download_answer(
    asked: Asked, page: Page[PageRow], summary: schemas.Summary | None, of_all: dict[str, Any] | None
) -> schemas.DownloadAnswer:
    return schemas.DownloadAnswer(
        exchange=asked.series.exchange,
        symbol=asked.series.symbol,
        interval=asked.series.length.value,
        origin=asked.source.origin,
        summary=summary,
        preview=schemas.Preview(rows=page.rows),
        next=page.next(asked),
        resource=asked.uri,
        **(told(page.sources, page.gaps) if of_all is None else of_all),
    )
