"""What TradeStation has of its own: bars named by their ends, sessions, tokens, and past bars of who has signed in."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import traceback
from datetime import timedelta

import numpy as np
import pytest

from chandlery.adapter.live import CandleStream
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.candle import CandleData
from chandlery.core.errors import (
    IncompleteData,
    InvalidInput,
    InvalidSymbol,
    MalformedResponse,
    RateLimited,
    RequestRejected,
    UnknownName,
    UnsupportedRequest,
)
from chandlery.core.gaps import Span
from chandlery.core.http import Response
from chandlery.core.interval import Interval
from chandlery.core.query import DataProvider
from chandlery.core.time import HOUR, MINUTE, SECOND, to_datetime
from chandlery.feed.book_feed import OrderBookFeed
from chandlery.feed.candles_feed import CandlesFeed, FeedGroup
from chandlery.feed.events import Reconnecting, Rejected
from chandlery.history.async_manager import AsyncDataSourceManager
from chandlery.history.manager import DataSourceManager
from chandlery.sim import Fault, FaultKind, SimServer, SyntheticMarket
from chandlery.sim.server import running
from fixtures.support import SPOT, micros

ADAPTER = ExchangeRegistry.create("tradestation")
NOW = micros(2025, 3, 12, 10, 20, 30)
SECRETS = {"client_id": "key-1234", "client_secret": "secret-1234", "refresh_token": "refresh-1234"}
GIVEN = {"tradestation": SECRETS}
STREAM = b"/v3/marketdata/stream/barcharts/MSFT?interval=%b&unit=%b&barsback=1\n"


def body(*ends: int) -> bytes:
    """A chart of bars that end then."""
    prices = dict.fromkeys(("Open", "High", "Low", "Close"), "1.5")
    bars = [{**prices, "TotalVolume": "7", "TotalTicks": 3, "Epoch": end // 1000} for end in ends]
    return json.dumps({"Bars": bars}).encode()


@pytest.mark.parametrize(
    ("interval", "end", "opened"),
    [
        (Interval.MINUTE_1, micros(2020, 11, 12, 14, 31), micros(2020, 11, 12, 14, 30)),
        (Interval.MINUTE_30, micros(2020, 11, 12, 21), micros(2020, 11, 12, 20, 30)),
        (Interval.HOUR_1, micros(2020, 11, 12, 0), micros(2020, 11, 11, 23)),
        (Interval.DAY_1, micros(2020, 11, 12, 21), micros(2020, 11, 12)),
        (Interval.DAY_1, micros(2020, 11, 13), micros(2020, 11, 12)),
        (Interval.WEEK_1, micros(2020, 11, 13, 21), micros(2020, 11, 9)),
        (Interval.MONTH_1, micros(2020, 11, 30, 21), micros(2020, 11, 1)),
        (Interval.MONTH_1, micros(2020, 12, 1), micros(2020, 11, 1)),
    ],
)
def test_opens_follow_from_ends(interval, end, opened):
    """Minutes by their length; sessions by the day, week or month in which they end."""
    assert [opened] == ADAPTER.candles(body(end), interval).open_time


def test_hours_off_the_clock_are_refused():
    """Equities begin at half past: their hours are no hours of ours, and are neither moved nor mixed with any."""
    ends = [micros(2020, 11, 12, hour, 30) for hour in range(15, 21)]

    with pytest.raises(UnsupportedRequest, match="1h candles of this symbol are aligned to its session"):
        ADAPTER.candles(body(*ends, micros(2020, 11, 12, 21)), Interval.HOUR_1)
    alone = ADAPTER.candles(body(micros(2020, 11, 12, 18), micros(2020, 11, 12, 18, 15)), Interval.HOUR_1)
    assert [micros(2020, 11, 12, 17), micros(2020, 11, 12, 17, 15)] == alone.open_time


def test_no_bound_is_an_end():
    """Whether bounds are inclusive is not documented, and makes no difference: each lies a second after an end."""
    span = Span(NOW, NOW + 5 * MINUTE)
    request = ADAPTER.candles_request("@ES", Interval.MINUTE_1, span)

    assert "https://api.tradestation.com/v3/marketdata/barcharts/@ES" == request.url
    assert {
        "interval": "1",
        "unit": "Minute",
        "firstdate": "2025-03-12T10:21:01Z",
        "lastdate": "2025-03-12T10:26:01Z",
    } == request.params


@pytest.mark.parametrize("symbol", ["MSFT", "BRK.B", "@ES", "@NQ.D", "ESZ24", "$SPX.X", "MSFT 220916C305", "BTCUSD"])
def test_symbols(symbol):
    """Whatever has a chart; a stream of it says which it is."""
    assert symbol == ADAPTER.symbol(symbol.lower())
    (target,) = ADAPTER.subscribe([CandleStream(symbol, Interval.WEEK_1)])
    line = json.loads(body(NOW))["Bars"][0]
    (row,) = ADAPTER.live_rows(target.encode() + b"\n" + json.dumps(line).encode())
    assert (symbol, Interval.WEEK_1, False) == (row.symbol, row.interval, row.candle.closed)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b'{"Error":"GoAway","Message":"The server is about to shut down."}', RequestRejected),
        (b'{"Symbol":"MSFT","Error":"FAILED, INVALID SYMBOL"}', InvalidSymbol),
        (b'{"Error":"TooManyRequests"}', RateLimited),
        (b'{"Something":1}', MalformedResponse),
        (b"null", MalformedResponse),
    ],
)
def test_lines_that_are_no_bars(line, error):
    """Refusals are errors, and so is what nobody has documented; heartbeats and statuses are neither."""
    with pytest.raises(error):
        ADAPTER.live_rows(STREAM % (b"1", b"Minute") + line)
    assert () == ADAPTER.live_rows(STREAM % (b"1", b"Minute") + b'{"StreamStatus":"EndSnapshot"}')


def test_a_bar_of_no_stream_is_refused():
    """Nothing is made up where it is unclear what a bar is of."""
    line = json.dumps(json.loads(body(NOW))["Bars"][0]).encode()
    for head in (b"\n", STREAM % (b"7", b"Minute"), b"close " + STREAM % (b"1", b"Minute")):
        with pytest.raises(MalformedResponse, match="is not a stream"):
            ADAPTER.live_rows(head + line)


@pytest.mark.parametrize("status", [200, 400, 401, 404])
def test_errors_are_those_of_the_status(status):
    """A 401 keeps its status, by which a new token is fetched; an answer that is no JSON is no other error."""
    error = ADAPTER.error(Response(status, {}, b'{"Error":"Unauthorized","Message":"expired"}'))
    bare = ADAPTER.error(Response(status, {}, b"<html>"))

    assert {200: None, 400: 400, 401: 401}.get(status) == getattr(error, "status", None)
    assert (status == 404) == isinstance(error, InvalidSymbol) == isinstance(bare, InvalidSymbol)


def test_the_time_is_in_a_header():
    """To a second; without it the answer is malformed."""
    assert micros(2025, 3, 12, 10, 20, 30) == ADAPTER.clock(
        Response(200, {"date": "Wed, 12 Mar 2025 10:20:30 GMT"}, b"")
    )
    for said in ({}, {"date": "noon"}):
        with pytest.raises(MalformedResponse, match="Date header"):
            ADAPTER.clock(Response(200, said, b""))


def test_an_answer_without_a_token_shows_nothing_of_itself():
    """What the sign-in says may hold what was sent there."""
    for said in (b'{"token":"refresh-1234"}', b"refresh-1234", b'{"access_token":"a b","expires_in":1}'):
        with pytest.raises(MalformedResponse) as caught:
            ADAPTER.token(said)
        assert "tradestation sent no access token" == str(caught.value)
        assert caught.value.__cause__ is None


def test_a_new_refresh_token_is_kept():
    """Keys may be set up so that each is good for one use."""
    token = ADAPTER.token(b'{"access_token":"a","expires_in":1200,"refresh_token":"next"}')

    assert ({"refresh_token": "next"}, 1200.0) == (token.renewed, token.lifetime_s)


# --- past bars, through the offline exchange -------------------------------------------------------------------------


class Ticks:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


MARKET = SyntheticMarket(symbols={SPOT: ("BTCUSD", "MSFT")})


@pytest.mark.parametrize("interval", ["1m", "1h", "1d", "1w"])
def test_past_bars_are_the_market(interval, tmp_path):
    """Cold and from the cache, synchronously, with a token that expires on the way."""
    grid, ticks = Interval(interval), Ticks()
    end = grid.floor(NOW - 2 * MINUTE)
    span = Span(grid.step(end, -1500 if interval == "1m" else -60), end)
    with running(MARKET, exchanges=["tradestation"], clock=lambda: NOW, tick_s=None, ticks=ticks) as sim:
        manager = DataSourceManager(
            provider=DataProvider.TRADESTATION, endpoints=sim.endpoints, credentials=GIVEN, cache_dir=tmp_path,
            clock=lambda: NOW,
        )  # fmt: skip
        with manager:
            for symbol in ("BTCUSD", "MSFT"):
                frame = manager.get_data(symbol, to_datetime(span.start), to_datetime(span.end), interval)
                expected = MARKET.candles(SPOT, symbol, grid, span)
                np.testing.assert_array_equal(expected["open_time"] * 1000, frame.index.asi8)
                for name in ("open", "high", "low", "close", "volume", "count"):
                    np.testing.assert_array_equal(expected[name], frame[name].to_numpy(), err_msg=name)
                # Longer than a token lives there: the next request is refused, and sent again with a new one.
                ticks.now += 1201
            before = len(sim.log)
            again = manager.get_data("BTC/USD", to_datetime(span.start), to_datetime(span.end), interval)
            assert len(again) == len(expected["open_time"])
            assert not [path for _, path, _ in list(sim.log)[before:] if "barcharts" in path]
        statuses = [status for _, path, status in sim.log if "/v3/" in path]
        assert {200, 401} == set(statuses)
        assert 2 == sum("/oauth/token" in path for _, path, _ in sim.log)


async def test_missing_credentials_are_said_before_anything_is_sent(tmp_path):
    """What is missing and how to pass it, of one or of all; and names that are unknown."""
    async with SimServer(MARKET, exchanges=["tradestation"], clock=lambda: NOW, tick_s=None) as sim:
        for given in (None, {}, {"tradestation": {"client_id": "key"}}, {"tradestation": SECRETS | {"user": "x"}}):
            manager = AsyncDataSourceManager(
                provider=DataProvider.TRADESTATION, endpoints=sim.endpoints, credentials=given, cache_dir=tmp_path
            )
            async with manager:
                with pytest.raises(InvalidInput, match=r"(missing|not known): .*pass credentials=\{\"tradestation\""):
                    await manager.get_data("MSFT", to_datetime(NOW - HOUR), to_datetime(NOW), "1m")
        assert not sim.log
    with pytest.raises(UnknownName, match="credentials names tradestaton, which is not an exchange"):
        AsyncDataSourceManager(credentials={"tradestaton": SECRETS})


@pytest.mark.parametrize("revoked", ["refresh_token", "client_id"])
async def test_nothing_shows_a_secret(revoked, tmp_path, caplog):
    """Not an error, nor its causes, nor a representation, nor a log: those who are refused least of all."""
    caplog.set_level(logging.DEBUG)
    secrets = SECRETS | {revoked: "revoked"}
    async with SimServer(MARKET, exchanges=["tradestation"], clock=lambda: NOW, tick_s=None) as sim:
        manager = AsyncDataSourceManager(
            provider=DataProvider.TRADESTATION, endpoints=sim.endpoints, credentials={"tradestation": secrets},
            cache_dir=tmp_path, clock=lambda: NOW,
        )  # fmt: skip
        async with manager:
            with pytest.raises(
                IncompleteData, match=r"returned no access token \(status 40[13]\); check client_id"
            ) as caught:
                await manager.get_data("MSFT", to_datetime(NOW) - timedelta(hours=1), to_datetime(NOW), "1m")
            said = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(vars(manager))
    for value in SECRETS.values():
        assert value not in said


async def test_a_symbol_that_is_unknown_is_an_error(tmp_path):
    """The exchange's own words for it."""
    async with SimServer(MARKET, exchanges=["tradestation"], clock=lambda: NOW, tick_s=None) as sim:
        manager = AsyncDataSourceManager(
            provider=DataProvider.TRADESTATION, endpoints=sim.endpoints, credentials=GIVEN, cache_dir=tmp_path,
            clock=lambda: NOW,
        )  # fmt: skip
        async with manager:
            with pytest.raises((InvalidSymbol, IncompleteData), match="INVALID SYMBOL"):
                await manager.get_data("NOSUCH", to_datetime(NOW - HOUR), to_datetime(NOW), "1m")


# --- live bars, through the offline exchange --------------------------------------------------------------------------


class Fast:
    """A clock on which a minute passes in half a second."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self) -> int:
        return NOW + round((time.monotonic() - self._began) * 120 * SECOND)


async def live(sim, **wanted):
    """A group of feeds and what they told, until each has closed so many bars while it listened."""
    told, news = {symbol: [] for symbol in wanted}, asyncio.Event()

    def hear(symbol):
        return lambda update: (told[symbol].append(update), news.set())

    group = FeedGroup("tradestation", endpoints=sim.endpoints, credentials=GIVEN, clock=sim.clock)
    feeds = {symbol: group.add(symbol, "1m", 10, on_update=hear(symbol)) for symbol in wanted}
    async with group, asyncio.timeout(30):
        while any(closed(told[symbol]) < count for symbol, count in wanted.items()):
            news.clear()
            await news.wait()
        return {symbol: (told[symbol], feed.get_candles()) for symbol, feed in feeds.items()}


def closed(updates):
    """How many bars closed."""
    return sum(isinstance(each, CandleData) and each.closed for each in updates)


@pytest.mark.parametrize(
    "kind",
    [FaultKind.DROP, FaultKind.TOKEN_EXPIRED, FaultKind.POLICY_CLOSE, FaultKind.GARBAGE],
    ids=lambda kind: kind.value,
)
async def test_live_bars_are_the_market_whatever_happens(kind):
    """Each series has a stream of its own; one that ends is begun anew, with a new token where it must be."""
    fault = Fault(kind, path="/MSFT", after=15)
    async with SimServer(MARKET, exchanges=["tradestation"], clock=Fast(), tick_s=0.05, faults=[fault]) as sim:
        heard = await live(sim, MSFT=14, BTCUSD=14)
        tokens = sum("/oauth/token" in path for _, path, _ in sim.log)
    for symbol, (told, kept) in heard.items():
        candles = {each.open_time: each for each in (*told, *kept) if isinstance(each, CandleData) and each.closed}
        opens = sorted(candles)
        market = MARKET.candles(SPOT, symbol, Interval.MINUTE_1, Span(opens[0], opens[-1] + 1))
        assert opens == market["open_time"].tolist()
        for name in ("open", "high", "low", "close", "volume", "count"):
            assert market[name].tolist() == [getattr(candles[opened], name) for opened in opens], name
    lost = [each for each in heard["MSFT"][0] if isinstance(each, Reconnecting)]
    assert (kind is not FaultKind.GARBAGE) == bool(lost)
    assert (kind is FaultKind.GARBAGE) == any(isinstance(each, Rejected) for each in heard["MSFT"][0])
    assert (2 if kind is FaultKind.TOKEN_EXPIRED else 1) == tokens
    streams = [status for _, path, status in sim.log if "/stream/" in path]
    assert [200] * (3 if lost else 2) == sorted(streams)[: 3 if lost else 2]
    # The stream finds the token expired, or a request for bars in the meantime.
    assert (kind is FaultKind.TOKEN_EXPIRED) == (401 in [status for _, _, status in sim.log])


async def test_a_feed_without_credentials_is_refused():
    """Before anything is sent, and before it is started."""
    with pytest.raises(InvalidInput, match="missing: client_id, refresh_token"):
        CandlesFeed("tradestation", "MSFT")
    with pytest.raises(UnsupportedRequest, match="tradestation has no live order books"):
        OrderBookFeed("tradestation", "MSFT")


async def test_who_is_not_let_in_gets_no_feed():
    """The sign-in's refusal ends the start; nothing is tried again."""
    given = {"tradestation": SECRETS | {"refresh_token": "revoked"}}
    async with SimServer(MARKET, exchanges=["tradestation"], clock=Fast(), tick_s=0.05) as sim:
        feed = CandlesFeed("tradestation", "MSFT", endpoints=sim.endpoints, credentials=given, clock=sim.clock)
        with pytest.raises(RequestRejected, match="tradestation returned no access token") as caught:
            await feed.start()
        await feed.stop()
        assert 10 > len(sim.log)
    assert not any(value in "".join(traceback.format_exception(caught.value)) for value in SECRETS.values())


async def test_a_stream_that_must_wait_is_waited_for():
    """The pause that the exchange asks for is kept before the stream is asked for again."""
    fault = Fault(FaultKind.TOO_MANY_REQUESTS, path="/stream/", retry_after=1)
    async with SimServer(MARKET, exchanges=["tradestation"], clock=Fast(), tick_s=0.05, faults=[fault]) as sim:
        began = time.monotonic()
        heard = await live(sim, MSFT=11)
    assert [each.reason for each in heard["MSFT"][0] if isinstance(each, Reconnecting)]
    assert time.monotonic() - began >= 1
