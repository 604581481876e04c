"""Tests that clients of an exchange inherit, in this package or in another; they need pytest and pytest-asyncio."""

from __future__ import annotations

import asyncio
import inspect
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from chandlery.clients.documented import fetch_rows, start_stream
from chandlery.clients.interfaces import IExchangeAPIClient, StreamChannel
from chandlery.clients.rows import PRICES, Row, table_of_rows
from chandlery.clients.streaming import RealtimeStream
from chandlery.core.candle import CandleData
from chandlery.core.errors import InvalidSymbol
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.time import Micros, Unit, to_datetime
from chandlery.net.clock import system_clock

_ENTRIES = 3
"""Number of entries that are awaited of a stream."""


@pytest.mark.asyncio
class ClientTests(ABC):
    """
    Tests of an ``IExchangeAPIClient``; override the fixture ``client``, and what differs of the attributes.

    ::

        class TestAcmeClient(ClientTests):
            coin = "GOLD/USD"
            unknown = "NOPE/USD"

            @pytest_asyncio.fixture
            async def client(self):
                async with AcmeClient(Settings()) as client:
                    yield client
    """

    coin: ClassVar[str] = "BTC/USDT"
    """A coin that trades."""
    unknown: ClassVar[str] = "NOPE/USDT"
    """A coin that the exchange does not list."""
    interval: ClassVar[Interval] = Interval.MINUTE_1
    count: ClassVar[int] = 100
    """The number of candles that are requested; choose more than one response holds."""
    streams: ClassVar[tuple[StreamChannel, ...]] = ("candles", "book")
    """The channels of its streams."""
    wait_s: ClassVar[float] = 30.0
    """Longest time until a stream has sent three entries."""

    @pytest.fixture
    @abstractmethod
    def client(self) -> IExchangeAPIClient:
        """Return an open client."""

    def now(self) -> Micros:
        """Return the exchange's time; by default this machine's."""
        return system_clock()

    def known(self, span: Span) -> Sequence[CandleData] | None:
        """Return the candles that open in ``span``, with which rows are compared; ``None`` if unknown."""
        return None

    async def test_it_is_a_client(self, client: IExchangeAPIClient) -> None:
        """It has a family and the exchange's name."""
        assert isinstance(client, IExchangeAPIClient)
        assert not inspect.isabstract(type(client))
        assert client.family
        assert client.get_exchange_name()

    async def test_rows_of_a_range(self, client: IExchangeAPIClient) -> None:
        """Each closed candle comes once, oldest first, with all documented fields; known candles are equal."""
        span = self._last(self.count)
        rows = await self._rows(client, span)
        opens = [Unit.MILLIS.micros(row["timestamp"]) for row in rows]

        assert 0 < len(rows) <= self.count
        assert opens == sorted(set(opens))
        assert all(span.holds(opened) for opened in opens)
        assert {(row["symbol"], row["interval"]) for row in rows} == {(client.spelled(self.coin), self.interval.value)}
        for row in rows:
            self._check(row)
            assert row["exchange"] == client.get_exchange_name()
            assert row["closed"] is True
        known = self.known(span)
        if known is not None:
            expected = [(each.open_time, *(getattr(each, name) for name in PRICES)) for each in known]
            assert [(at, *(row[name] for name in PRICES)) for at, row in zip(opens, rows, strict=True)] == expected

    async def test_ranges_are_half_open(self, client: IExchangeAPIClient) -> None:
        """Two adjacent ranges are the whole; a start within a candle omits it, an end within a candle includes it."""
        whole = self._last(6)
        middle = self.interval.step(whole.start, 3)
        rows = await self._rows(client, whole)
        parts = [await self._rows(client, part) for part in (Span(whole.start, middle), Span(middle, whole.end))]
        within = await self._rows(client, Span(whole.start + 1_000_000, middle + 1_000_000))
        times = [_open_times(part) for part in (*parts, within)]

        assert times[0] + times[1] == _open_times(rows)
        opens = [each for each in _open_times(rows) if whole.start < each <= middle]
        assert times[2] == opens

    async def test_rows_and_columns_agree(self, client: IExchangeAPIClient) -> None:
        """The table and the part of a range hold the candles of its rows."""
        span = self._last(5)
        rows = await self._rows(client, span)
        table = await client.fetch_candles(self.coin, *_bounds(span), self.interval)
        part = await client.fetch_part(self.coin, span, self.interval)
        wanted = table_of_rows(rows).to_pandas()

        assert wanted.equals(table.replace_schema_metadata(None).to_pandas())
        assert wanted.equals(part.table.to_pandas())

    async def test_the_running_candle_is_left_out(self, client: IExchangeAPIClient) -> None:
        """A range that ends after now has closed candles only."""
        span = self._last(3)
        rows = await self._rows(client, Span(span.start, self.interval.step(span.end, 5)))

        assert len(rows) >= len(await self._rows(client, span))
        assert all(self.interval.step(opened) <= self.now() for opened in _open_times(rows))

    async def test_availability(self, client: IExchangeAPIClient) -> None:
        """A coin that trades is available; one that is not listed is not, or is not a symbol."""
        assert await client.check_coin_availability(self.coin)
        try:
            assert not await client.check_coin_availability(self.unknown)
        except InvalidSymbol as error:
            assert "\n" not in str(error)  # not listed is also an answer

    async def test_an_unknown_coin_has_no_candles(self, client: IExchangeAPIClient) -> None:
        """It is an error of one line."""
        span = self._last(3)
        with pytest.raises(InvalidSymbol) as caught:
            await fetch_rows(client.fetch_historical_data, self.unknown, *_bounds(span), self.interval)

        assert "\n" not in str(caught.value)

    async def test_a_stream_of_candles(self, client: IExchangeAPIClient) -> None:
        """Entries are rows of the coin as requested, in order; after the stop none is sent."""
        self._require("candles")
        entries = await self._streamed(client, "candles")
        opens = _open_times(entries)

        assert opens == sorted(opens)
        for entry in entries:
            self._check(entry)
            assert entry["interval"] == self.interval.value

    async def test_a_stream_of_order_books(self, client: IExchangeAPIClient) -> None:
        """Entries are whole books, best prices first; after the stop none is sent."""
        self._require("book")
        for entry in await self._streamed(client, "book"):
            bids, asks = ([price for price, _ in entry[side]] for side in ("bids", "asks"))
            assert bids == sorted(set(bids), reverse=True)
            assert asks == sorted(set(asks))
            assert bids[0] < asks[0]
            assert all(size > 0 for side in ("bids", "asks") for _, size in entry[side])

    async def test_closing(self, client: IExchangeAPIClient) -> None:
        """It can be closed twice, and ends the streams."""
        streams = [await self._start(client, channel, self.coin, lambda *_: None) for channel in self.streams]
        await client.close()
        await client.close()

        for stream in streams:
            async with asyncio.timeout(self.wait_s):
                await stream.end()
            assert not stream.running

    def _require(self, channel: StreamChannel) -> None:
        if channel not in self.streams:
            pytest.skip(f"it has no streams of {channel}")

    async def _streamed(self, client: IExchangeAPIClient, channel: StreamChannel) -> list[Row]:
        """Return the first entries of a stream, after it has been stopped."""
        heard: list[tuple[str, Row]] = []
        enough = asyncio.Event()

        def take(coin: str, entry: Row) -> None:
            heard.append((coin, entry))
            if len(heard) >= _ENTRIES:
                enough.set()

        stream = await self._start(client, channel, self.coin, take)
        async with asyncio.timeout(self.wait_s):
            await enough.wait()
        await stream.stop()
        count = len(heard)
        await asyncio.sleep(0)  # an entry that the stop has not cancelled would be sent now

        assert len(heard) == count
        assert not stream.running
        assert {coin for coin, _ in heard} == {self.coin}
        assert {entry["symbol"] for _, entry in heard} == {client.spelled(self.coin)}
        return [entry for _, entry in heard]

    async def _start(self, client: IExchangeAPIClient, channel: StreamChannel, coin: str, take: Any) -> RealtimeStream:
        options: dict[str, Any] = {"channel": channel, "interval": self.interval, "depth": 5, "on_event": None}
        return await start_stream(client.start_realtime_stream, coin, take, name="the client", **options)

    async def _rows(self, client: IExchangeAPIClient, span: Span) -> list[Row]:
        return await fetch_rows(client.fetch_historical_data, self.coin, *_bounds(span), self.interval)

    def _last(self, count: int) -> Span:
        """Return the span of the last whole candles but one, which may not be served yet."""
        end = self.interval.step(self.interval.floor(self.now()), -1)
        return Span(self.interval.step(end, -count), end)

    def _check(self, row: Row) -> None:
        """Check the numbers of a candle, and that it is plain values."""
        assert all(isinstance(row[name], float | int) and math.isfinite(row[name]) for name in PRICES)
        assert row["low"] <= min(row["open"], row["close"]) <= max(row["open"], row["close"]) <= row["high"]
        assert row["volume"] >= 0
        assert self.interval.floor(Unit.MILLIS.micros(row["timestamp"])) == Unit.MILLIS.micros(row["timestamp"])
        json.dumps(row)


def _open_times(rows: Sequence[Row]) -> list[Micros]:
    return [Unit.MILLIS.micros(row["timestamp"]) for row in rows]


def _bounds(span: Span) -> tuple[Any, Any]:
    return to_datetime(span.start), to_datetime(span.end)
