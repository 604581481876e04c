"""Answers of the tools where there is much of everything: never more than the budget, and a way to the rest."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from mcp.client import Client
from msgspec import structs

from chandlery.clients.interfaces import ResolvedSeries
from chandlery.clients.rows import row_of_candle
from chandlery.connector import DataSourceConnectorImpl
from chandlery.core.candle import CandleData
from chandlery.core.gaps import Gap, GapKind
from chandlery.core.instrument import LONGEST_SYMBOL
from chandlery.core.interval import Interval
from chandlery.core.query import ChartType
from chandlery.core.time import DAY, MINUTE, iso
from chandlery.database.listings import ListingRepository
from chandlery.database.sqlite import SqliteDatabase
from chandlery.service.auth.interfaces import EverybodyMay
from chandlery.service.collection.interfaces import IDataCollectionManager
from chandlery.service.collection.status import ChannelStatus, CoinStatus
from chandlery.service.historical.interfaces import IHistoricalDataManager, Piece, Source
from chandlery.service.instruments import InstrumentSearch
from chandlery.service.mcp.budget import TOKEN_BUDGET, tokens_of
from chandlery.service.mcp.service import MCPRouter
from chandlery.service.workload import Workload
from chandlery.tables.frame import schema_of, table_of

NOW = 20_000 * DAY


class Collection(IDataCollectionManager):
    """Collects as many coins as one likes, or fails."""

    def __init__(self, coins=0):
        self.coins = coins
        self.clients = DataSourceConnectorImpl()

    async def add_coin(self, coin, exchange, channels=("book",)):
        raise RuntimeError("a secret of the database")

    async def remove_coin(self, coin, exchange, channel=None):
        raise NotImplementedError

    def list_coins(self):
        channels = [ChannelStatus(f"candles:{each.value}", "failed", 10**9, 10**6, 10**6, NOW, 123.456, 99, "x" * 5_000) for each in Interval]  # fmt: skip
        return [CoinStatus("binance", f"COIN{number:05}/USDT", NOW, tuple(channels)) for number in range(self.coins)]

    async def check_availability(self, coin, exchange):
        return True

    def resolve(self, series):
        return ResolvedSeries(series, self.clients.get_client(series.exchange))

    async def stream_realtime_data(self, series, subscriber):
        raise NotImplementedError


class History(IHistoricalDataManager):
    """Has all candles there may be, with long numbers, from many sources and with many gaps."""

    def __init__(self, sources=1, gaps=0, evidence=""):
        self.sources = sources
        self.gaps = gaps
        self.evidence = evidence

    async def pieces(self, series, span, *, rows, snapshots=50):
        length = series.id.length.micros
        for at in range(span.start, span.end, rows * length):
            end = min(at + rows * length, span.end)
            opens = np.arange(at, end, length, dtype=np.int64)
            columns = {name: np.full(len(opens), 1 / 3e-5) for name in schema_of(ChartType.KLINES).names}
            columns |= {
                "open_time": opens,
                "close_time": opens + length - 1,
                "count": np.ones(len(opens), dtype=np.int64),
            }
            table = table_of(ChartType.KLINES, columns)
            sources = [Source(f"cache ({number})", at, end, len(opens)) for number in range(self.sources)]
            gaps = [Gap(at, at + MINUTE, GapKind.FETCH_FAILED, self.evidence)] * self.gaps
            yield Piece(table, sources, gaps)

    async def get_books(self, series, span, limit):
        raise NotImplementedError

    async def get_gaps(self, series, span):
        return [Gap(span.start, span.end, GapKind.NOT_COLLECTED, self.evidence)] * self.gaps

    async def latest(self, series):
        levels = [(1 / 3e-5, 1 / 3)] * 1_000
        return {
            "exchange": series.id.exchange,
            "symbol": series.id.symbol,
            "timestamp": NOW // 1000,
            "sequence": 1,
            "bids": levels,
            "asks": levels,
        }

    async def stream_historical_data(self, coin, start, end, ws):
        raise NotImplementedError

    async def get_most_current_data(self, coin):
        raise NotImplementedError


def router(collection=None, historical=None):
    """The tools over those."""
    collection = collection or Collection()
    return MCPRouter(
        collection,
        historical or History(),
        EverybodyMay(),
        lambda: NOW,
        Workload(8),
        resolve=collection.resolve,
        instruments=InstrumentSearch(
            DataSourceConnectorImpl(), ListingRepository(SqliteDatabase(Path("unused"))), lambda: NOW
        ),
        url="http://127.0.0.1:8700",
    )


async def called(client, tool, **arguments):
    """The answer, of which no part is over the budget."""
    result = await client.call_tool(tool, arguments)
    assert tokens_of(json.dumps(result.model_dump(mode="json", by_alias=True))) <= TOKEN_BUDGET
    assert not result.is_error, result.content
    return result.structured_content


# Without shrinking: each example takes a while, and which one it was says enough.
@settings(max_examples=8, phases=[Phase.explicit, Phase.generate])
@example(
    symbol="\U0001f600" * LONGEST_SYMBOL, evidence="\U0001f600" * 300, counts=(300, 300), rows=500, buckets=50, days=30
)
@given(
    symbol=st.text(min_size=1, max_size=LONGEST_SYMBOL).filter(lambda text: text.isprintable() and text.strip()),
    evidence=st.text(max_size=300),
    counts=st.tuples(st.integers(0, 300), st.integers(0, 300)),
    rows=st.integers(1, 500),
    buckets=st.integers(1, 50),
    days=st.integers(1, 30),
)
async def test_no_answer_is_over_the_budget(symbol, evidence, counts, rows, buckets, days):
    """However long the range, whatever is to be said of it, and in whatever letters."""
    history = History(*counts, evidence)
    wanted = {"exchange": "binance", "symbol": symbol, "start": (NOW - days * DAY) // 1000}
    async with Client(router(historical=history)._server) as client:
        told = await called(client, "download_historical_data", **wanted, preview_rows=rows)
        shown = len(told["preview"]["rows"])
        assert 0 < shown <= rows
        assert (told["next"] is None) == (shown == told["summary"]["rows"])
        assert counts[1] == 0 or told["gaps"]
        if told["next"]:
            more = await called(client, "download_historical_data", **wanted, preview_rows=rows, cursor=told["next"])
            assert told["preview"]["rows"][-1][0] < more["preview"]["rows"][0][0]
        summed = await called(client, "summarize_candles", **wanted, buckets=buckets)
        assert days * 1440 == summed["whole"]["rows"]
        book = await called(
            client, "get_most_current_data", exchange="binance", symbol=symbol, channel="book", levels=100
        )
        assert 1_800 == book["book"]["omitted_levels"]
        page = await client.read_resource(told["resource"])
        assert tokens_of(json.dumps(page.model_dump(mode="json", by_alias=True))) <= TOKEN_BUDGET


class Latest(History):
    """Has one candle, which came or was fetched."""

    def __init__(self, candle):
        super().__init__()
        self.candle = candle

    async def latest(self, series):
        return row_of_candle(self.candle, series.id.exchange, series.id.symbol, Interval.MINUTE_1)


async def test_when_the_latest_candle_came():
    """By the service's clock and by the exchange's, to the millisecond; null where that is not known."""
    fetched = CandleData(NOW, 1.0, 2.0, 0.5, 1.5, 9.0, closed=False)
    told = []
    for candle in (structs.replace(fetched, at=NOW + 1_000, received_at=NOW + 3_000), fetched):
        async with Client(router(historical=Latest(candle))._server) as client:
            answer = await called(client, "get_most_current_data", exchange="binance", symbol="BTC/USDT")
            told.append([answer["candle"][name] for name in ("open_time", "received_at", "at")])

    assert [[iso(NOW), iso(NOW + 3_000), iso(NOW + 1_000)], [iso(NOW), None, None]] == told


async def test_many_coins_come_in_pages():
    """Each once, and how many there are."""
    async with Client(router(Collection(40))._server) as client:
        found, cursor = [], None
        while True:
            told = await called(client, "list_coins", cursor=cursor)
            assert (40, True) == (told["total"], len(told["coins"]) > 0)
            assert all(len(each["error"]) <= 200 for coin in told["coins"] for each in coin["channels"])
            found += [coin["symbol"] for coin in told["coins"]]
            cursor = told["next"]
            if cursor is None:
                break

    assert [f"COIN{number:05}/USDT" for number in range(40)] == found


async def test_exchanges_by_name_and_by_cursor():
    """Those that hold the name in their id or an alias; after the one of the cursor."""
    async with Client(router()._server) as client:
        every = (await called(client, "list_exchanges"))["exchanges"]
        rest = (await called(client, "list_exchanges", cursor=every[3]["id"]))["exchanges"]
        named = (await called(client, "list_exchanges", name="Kraken"))["exchanges"]

    assert every[4:] == rest
    assert named
    assert all("kraken" in " ".join([each["id"], *each["aliases"]]) for each in named)


async def test_what_goes_wrong_unexpectedly_is_for_the_log_alone(caplog):
    """The caller learns that it was not theirs to avoid."""
    with caplog.at_level(logging.ERROR):
        async with Client(router()._server) as client:
            result = await client.call_tool("add_coin", {"exchange": "binance", "symbol": "BTC/USDT"})

    assert (True, "internal_error") == (result.is_error, result.structured_content["code"])
    assert "secret" not in result.model_dump_json()
    assert "a secret of the database" in caplog.text


async def test_a_tool_that_there_is_not():
    """Says which there are."""
    async with Client(router()._server) as client:
        with pytest.raises(Exception, match="unknown tool 'delete_all'; known are add_coin"):
            await client.call_tool("delete_all", {})
