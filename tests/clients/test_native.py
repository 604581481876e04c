"""Our own adapters as a client: past, availability and live, against an offline exchange."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.clients.native import NativeExchangeClient, native_markets
from chandlery.clients.rows import table_of_rows
from chandlery.clients.settings import Settings
from chandlery.core.errors import (
    Closed,
    ExchangeUnavailable,
    IncompleteData,
    InvalidInput,
    InvalidRange,
    InvalidSymbol,
    UnknownInterval,
    UnknownName,
    WrongMarket,
)
from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.time import MINUTE, Unit
from chandlery.feed.events import Connected, Reconnecting
from chandlery.net.limiter import RateLimiter
from chandlery.sim.faults import Fault, FaultKind
from chandlery.sim.market import SyntheticMarket
from chandlery.testing import no_waiting
from fixtures.candle_feed import Quick, truth
from fixtures.offline_adapter import MARKET

BINANCE = ("binance_spot", "binance_perpetual", "binance_inverse")


@pytest.fixture
async def client_of(settings_of, limiter):
    """Makes clients, and closes them afterwards."""
    made = []

    def client(sim, exchange, **options):
        made.append(NativeExchangeClient(exchange, settings_of(sim), limiter=limiter, clock=sim.clock, **options))
        return made[-1]

    yield client
    for each in made:
        await each.close()


def known(rows, symbol, market=MarketType.SPOT):
    """What the market says of the minutes of rows: prices and volume."""
    opens = [Unit.MILLIS.micros(row["timestamp"]) for row in rows]
    candles = truth(MARKET, symbol, Interval.MINUTE_1, Span(opens[0], opens[-1] + MINUTE), market)
    return [(each.open, each.high, each.low, each.close, each.volume) for each in candles]


def prices(row):
    """Prices and volume of a row."""
    return row["open"], row["high"], row["low"], row["close"], row["volume"]


@pytest.mark.parametrize(
    ("coin", "market", "symbol"),
    [
        ("BTC/USDT", MarketType.SPOT, "BTCUSDT"),
        ("BTC-USDT", MarketType.SPOT, "BTCUSDT"),
        ("BTC/USDT:USDT", MarketType.FUTURES_USDT, "BTCUSDT"),
        ("BTC/USD:BTC", MarketType.FUTURES_COIN, "BTCUSD_PERP"),
        ("BTCUSD_PERP", MarketType.FUTURES_COIN, "BTCUSD_PERP"),
    ],
)
async def test_the_coin_says_the_market(offline, client_of, last, coin, market, symbol):
    """One client serves all markets of an exchange: rows are those of the market that the coin names."""
    async with offline(*BINANCE) as sim:
        start, end = last(50, sim.clock)
        rows = await client_of(sim, "binance").fetch_historical_data(coin, start, end, "1m")

        assert 50 == len(rows)
        assert start == datetime.fromtimestamp(rows[0]["timestamp"] / 1000, UTC)
        assert known(rows, symbol, market) == [prices(row) for row in rows]
        assert {("binance", "1m", True)} == {(row["exchange"], row["interval"], row["closed"]) for row in rows}


async def test_rows_are_the_columns(offline, client_of, last):
    """The columnar form holds the same candles, and their provenance."""
    async with offline("binance_spot") as sim:
        client = client_of(sim, "binance_spot")
        rows = await client.fetch_historical_data("BTC/USDT", *last(20, sim.clock))
        table = await client.fetch_candles("BTC/USDT", *last(20, sim.clock))

        assert table_of_rows(rows).equals(table.replace_schema_metadata(None))
        assert b"chandlery" in table.schema.metadata
        assert {"BTC/USDT"} == {row["symbol"] for row in rows}
        assert "binance_spot" == client.get_exchange_name()


async def test_what_is_not_sent_is_none(offline, client_of, last):
    """Columns that an exchange does not send are ``None`` in its rows, never 0."""
    async with offline("kraken_spot", "kucoin_spot") as sim:
        (row,) = await client_of(sim, "kucoin").fetch_historical_data("BTC/USDT", *last(1, sim.clock))

        assert (None, None) == (row["count"], row["taker_buy_volume"])


async def test_availability(offline, client_of):
    """Listed and trading is available; a symbol that is only spelled like one is not."""
    async with offline(*BINANCE, "okx_spot") as sim:
        client = client_of(sim, "binance")

        assert await client.check_coin_availability("BTC/USDT")
        assert await client.check_coin_availability("BTC/USD:BTC")
        assert not await client.check_coin_availability("NOPE/USDT")
        assert await client_of(sim, "okx_spot").check_coin_availability("BTC-USDT")


async def test_the_list_is_read_once(offline, client_of):
    """However many ask at once, the list of instruments is fetched once."""
    async with offline("binance_spot") as sim:
        client = client_of(sim, "binance_spot")
        await asyncio.gather(*(client.check_coin_availability("BTC/USDT") for _ in range(10)))

        assert 1 == sum("exchangeInfo" in path for _, path, _ in sim.log)


async def test_contracts_that_expire_and_names_in_any_script(offline, client_of, last):
    """Spot, perpetual and dated contracts of one pair are three series; the coin alone says which exchange market is meant."""
    symbols = {
        MarketType.SPOT: ["BTCUSDT", "币安人生USDT"],
        MarketType.FUTURES_USDT: ["BTCUSDT", "BTCUSDT_270326", "币安人生USDT"],
        MarketType.FUTURES_COIN: ["BTCUSD_PERP", "BTCUSD_270326"],
    }
    coins = (
        "BTC/USDT", "BTC/USDT:USDT", "BTC/USDT:USDT-270326", "BTCUSD_270326", "币安人生/USDT", "币安人生/usdt:usdt",
    )  # fmt: skip
    async with offline(*BINANCE, market=SyntheticMarket(symbols=symbols)) as sim:
        client = client_of(sim, "binance")
        start, end = last(5, sim.clock)
        rows = {coin: await client.fetch_historical_data(coin, start, end) for coin in coins}

        assert [True] * 6 == [await client.check_coin_availability(coin) for coin in coins]
        assert not await client.check_coin_availability("BTC/USDT:USDT-270625")

    assert [5] * 6 == [len(each) for each in rows.values()]
    assert 6 == len({tuple(prices(row) for row in each) for each in rows.values()})
    assert "BTC/USDT:USDT-270326" == rows["BTC/USDT:USDT-270326"][0]["symbol"]


@pytest.mark.parametrize(
    ("coin", "meant"),
    [
        ("BTCUSDT", "BTC/USDT"),
        ("btcusdt", "BTC/USDT"),
        ("PEPEUSDT", "PEPE/USDT:USDT"),
        ("BTCUSD", "BTC/USD:BTC"),
        ("BTCUSDT_270326", "BTCUSDT_270326"),
    ],
)
async def test_a_symbol_of_several_markets_is_that_of_spot_or_else_of_the_only_one_that_lists_it(
    offline, client_of, last, coin, meant
):
    """The rows name the market; spot is also taken while the lists are unknown."""
    symbols = {
        MarketType.SPOT: ["BTCUSDT"],
        MarketType.FUTURES_USDT: ["BTCUSDT", "PEPEUSDT", "BTCUSDT_270326"],
        MarketType.FUTURES_COIN: ["BTCUSD_PERP"],
    }
    async with offline(*BINANCE, market=SyntheticMarket(symbols=symbols)) as sim:
        client = client_of(sim, "BINANCE")
        (row,) = await client.fetch_historical_data(coin, *last(1, sim.clock))

        assert meant == row["symbol"] == client.spelled(coin)


async def test_a_symbol_of_several_other_markets_is_refused(offline, client_of):
    """The error names them."""
    symbols = {MarketType.SPOT: [], MarketType.FUTURES_USDT: ["ETHUSD"], MarketType.FUTURES_COIN: ["ETHUSD_PERP"]}
    async with offline(*BINANCE, market=SyntheticMarket(symbols=symbols)) as sim:
        with pytest.raises(InvalidSymbol, match="listed by binance_perpetual, binance_inverse"):
            await client_of(sim, "binance").check_coin_availability("ETHUSD")


async def test_any_spelling_without_a_separator(offline, client_of, last):
    """Where the exchange writes a separator, too, and by the name of one market."""
    async with offline("okx_spot", "okx_perpetual") as sim:
        for exchange in ("okx", "okx_spot", "OKX_Spot"):
            (row,) = await client_of(sim, exchange).fetch_historical_data("btcusdt", *last(1, sim.clock))
            assert "BTC/USDT" == row["symbol"]


async def test_an_instrument_whose_spelling_follows_no_rule_is_looked_up(offline, client_of):
    """Pairs that are called by an index are found in the exchange's list; one that is not there is refused."""
    async with offline("hyperliquid_spot", market=SyntheticMarket(symbols={MarketType.SPOT: ["SOLUSDC"]})) as sim:
        client = client_of(sim, "hyperliquid_spot")

        assert await client.check_coin_availability("SOL/USDC")
        with pytest.raises(InvalidSymbol, match="by an index"):
            await client.check_coin_availability("NOSUCH/USDC")


async def test_a_coin_is_resolved_anew_when_the_list_changes(offline, client_of):
    """One that was refused is found once the list names it; one that was found is refused where the list names two."""
    async with offline("hyperliquid_spot", market=SyntheticMarket(symbols={MarketType.SPOT: ["SOLUSDC"]})) as sim:
        client = client_of(sim, "hyperliquid_spot")
        with pytest.raises(InvalidSymbol):
            client.spelled("SOL/USDC")
        assert await client.check_coin_availability("SOL/USDC")
        assert "SOL/USDC" == client.spelled("SOL/USDC")
    row = {"status": "TRADING", "baseAsset": "LIT", "quoteAsset": "USDT", "filters": []}

    async def listed(_):
        return web.json_response({"symbols": [row | {"symbol": symbol} for symbol in ("LITUSDT", "LITNEWUSDT")]})

    app = web.Application()
    app.router.add_get("/api/v3/exchangeInfo", listed)
    async with TestServer(app) as server:
        settings = Settings(
            _env_file=None, env_file=None, endpoints={"binance_spot": {"rest": str(server.make_url(""))}}
        )
        async with NativeExchangeClient("binance_spot", settings) as client:
            assert "LIT/USDT" == client.spelled("LIT/USDT")
            with pytest.raises(InvalidSymbol, match="LITNEWUSDT, LITUSDT"):
                await client.check_coin_availability("LIT/USDT")
            with pytest.raises(InvalidSymbol, match="LITNEWUSDT, LITUSDT"):
                client.spelled("LIT/USDT")


@pytest.mark.parametrize(
    ("exchange", "coin", "error", "said"),
    [
        ("binance_spot", "BTC/USDT:USDT", WrongMarket, "FUTURES_USDT, not of SPOT"),
        ("kraken", "BTC/USDT:USDT", WrongMarket, "not of SPOT"),
        ("kraken", "nonsense!", InvalidSymbol, "not a symbol of kraken"),
        ("binance", "nonsense!", InvalidSymbol, "write e.g. BTC/USDT"),
    ],
)
async def test_symbols_that_are_refused(offline, client_of, exchange, coin, error, said):
    """What cannot be a symbol, may be several, or belongs to another market, is refused before anything is sent."""
    async with offline(*BINANCE, "kraken_spot") as sim:
        client = client_of(sim, exchange)
        with pytest.raises(error, match=said):
            await client.check_coin_availability(coin)

        assert [] == list(sim.log)


async def test_ranges_and_intervals_that_are_refused(offline, client_of, last):
    """Naive moments, empty ranges and intervals that are none are errors of their own."""
    async with offline("binance_spot") as sim:
        client = client_of(sim, "binance_spot")
        start, end = last(3, sim.clock)
        with pytest.raises(InvalidRange, match="no time zone"):
            await client.fetch_historical_data("BTC/USDT", start.replace(tzinfo=None), end)
        with pytest.raises(InvalidRange, match="not after its start"):
            await client.fetch_historical_data("BTC/USDT", end, start)
        with pytest.raises(UnknownInterval):
            await client.fetch_historical_data("BTC/USDT", start, end, "7m")


async def test_an_unknown_symbol_of_the_exchange(offline, client_of, last):
    """A symbol that could be one and is none is refused in the exchange's own words."""
    async with offline("binance_spot") as sim:
        with pytest.raises(InvalidSymbol, match="does not know the symbol"):
            await client_of(sim, "binance").fetch_historical_data("NOPE/USDT", *last(3, sim.clock))


def test_unknown_exchanges():
    """An exchange that no adapter is for is refused with those that there are; other spellings are understood."""
    with pytest.raises(UnknownName, match=r"binance, bitstamp, bybit.*binance_spot"):
        NativeExchangeClient("nowhere", Settings.of(None))

    assert ["htx_inverse", "htx_perpetual", "htx_spot"] == sorted(each.id for each in native_markets("huobi"))
    assert ["gate_spot"] == [each.id for each in native_markets("gate_io_spot")]
    assert [] == native_markets("nowhere")


async def test_part_of_a_range_that_fails(offline, client_of, last):
    """Where a page cannot be had, the rows that were come with the error, and the failure is its cause."""
    fault = Fault(FaultKind.SERVER_ERROR, path="klines.*startTime", after=1, times=None)
    async with offline("binance_spot", faults=[fault]) as sim:
        client = client_of(sim, "binance_spot")
        with no_waiting(), pytest.raises(IncompleteData) as caught:
            await client.fetch_historical_data("BTC/USDT", *last(1500, sim.clock))

        assert isinstance(caught.value.__cause__, ExchangeUnavailable)
        assert caught.value.data
        assert {"binance_spot"} == {row["exchange"] for row in caught.value.data}
        span = Span(*map(to_micros, last(1500, sim.clock)))
        with no_waiting():
            part = await client.fetch_part("BTC/USDT", span, Interval.MINUTE_1)
        assert list(caught.value.missing) == part.failures
        assert len(caught.value.data) == part.table.num_rows
        assert {"rest"} == {each.source for each in part.spans}


async def test_closed(offline, client_of):
    """A closed client says so; closing again is nothing."""
    async with offline("binance_spot") as sim:
        client = client_of(sim, "binance_spot")
        await client.close()
        await client.close()
        with pytest.raises(Closed):
            await client.check_coin_availability("BTC/USDT")


async def heard(client, coin, enough, **options):
    """What a stream tells until it is enough."""
    entries, events, over = [], [], asyncio.Event()

    def take(name, entry):
        entries.append((name, entry))
        if enough(entries, events):
            over.set()

    stream = await client.start_realtime_stream(coin, take, on_event=lambda _, event: events.append(event), **options)
    async with asyncio.timeout(30):
        await over.wait()
    await stream.stop()
    return entries, events


async def test_candles_through_a_cut(offline, settings_of, tmp_path):
    """Closed candles come once each, in order, without a hole, and are the market's, although connections are lost."""
    clock = Quick(speed=60)
    faults = [Fault(FaultKind.DROP, path="binance_spot", after=40, times=1)]
    async with offline("binance_spot", faults=faults, clock=clock) as sim:
        async with NativeExchangeClient(
            "binance", settings_of(sim), limiter=RateLimiter(tmp_path), clock=sim.clock
        ) as client:
            entries, events = await heard(
                client,
                "BTC/USDT",
                lambda entries, events: (
                    sum(entry["closed"] for _, entry in entries) >= 8
                    and any(isinstance(each, Reconnecting) for each in events)
                ),
            )
        closed = [entry for _, entry in entries if entry["closed"]]

        assert {"BTC/USDT"} == {name for name, _ in entries}
        assert [closed[0]["timestamp"] + 60_000 * place for place in range(len(closed))] == [
            each["timestamp"] for each in closed
        ]
        assert known(closed, "BTCUSDT") == [prices(each) for each in closed]
        assert any(not entry["closed"] for _, entry in entries), "the running candle is told as well"
        assert any(isinstance(each, Connected) for each in events)
        # By the clock of that exchange, which runs 60 times as fast; what was fetched after the cut has no time of the exchange's.
        sent = [entry for _, entry in entries if entry["at"] is not None]
        assert len(sent) > len(entries) / 2
        assert all(0 <= entry["received_at"] - entry["at"] < 60_000 for entry in sent)
        assert None not in [entry["received_at"] for _, entry in entries]


async def test_books(offline, client_of):
    """A book's entries are whole books of so many levels, never crossed, and say whose they are."""
    async with offline("binance_spot") as sim:
        entries, _ = await heard(
            client_of(sim, "binance"), "BTC/USDT", lambda entries, _: len(entries) >= 5, channel="book", depth=10
        )

        assert 5 <= len(entries)
        for _, book in entries:
            assert ("binance", "BTC/USDT", 10, 10) == (
                book["exchange"], book["symbol"], len(book["bids"]), len(book["asks"]),
            )  # fmt: skip
            assert book["bids"][0][0] < book["asks"][0][0]
        assert sorted(book["sequence"] for _, book in entries) == [book["sequence"] for _, book in entries]


async def test_two_streams_of_a_coin_share_a_feed(offline, client_of):
    """A second stream of the same coin opens no second subscription; each ends by itself."""
    async with offline("binance_spot") as sim:
        client = client_of(sim, "binance")
        told = {1: asyncio.Event(), 2: asyncio.Event()}
        first = await client.start_realtime_stream("BTC/USDT", lambda *_: told[1].set())
        second = await client.start_realtime_stream("BTC-USDT", lambda *_: told[2].set())
        await asyncio.wait_for(told[1].wait(), 10)
        await asyncio.wait_for(told[2].wait(), 10)

        assert ["btcusdt@kline_1m"] == sim.subscriptions["binance_spot"]
        await first.stop()
        told[2].clear()
        await asyncio.wait_for(told[2].wait(), 10)
        await second.stop()


async def test_a_callback_that_raises_ends_its_stream_alone(offline, client_of):
    """What a callback raises comes out of ``wait``; other streams go on."""
    async with offline("binance_spot") as sim:
        client = client_of(sim, "binance")
        told = asyncio.Event()

        def broken(coin, entry):
            raise RuntimeError(f"not with {coin}")

        bad = await client.start_realtime_stream("BTC/USDT", broken)
        good = await client.start_realtime_stream("ETH/USDT", lambda *_: told.set())
        with pytest.raises(RuntimeError, match="not with BTC/USDT"):
            await asyncio.wait_for(bad.wait(), 10)
        told.clear()
        await asyncio.wait_for(told.wait(), 10)

        assert good.running
        assert not bad.running


async def test_a_symbol_that_is_none_ends_nobody_else(offline, client_of):
    """A stream of an unknown coin fails at its start, and those that run go on."""
    async with offline("binance_spot") as sim:
        client = client_of(sim, "binance")
        told = asyncio.Event()
        good = await client.start_realtime_stream("BTC/USDT", lambda *_: told.set())
        with pytest.raises(InvalidSymbol):
            await client.start_realtime_stream("NOPE/USDT", lambda *_: None)
        told.clear()
        await asyncio.wait_for(told.wait(), 10)

        assert good.running


@pytest.mark.parametrize("channel", ["book", "candles"])
async def test_a_group_that_has_ended_is_made_anew(offline, client_of, channel):
    """Whatever ended it: its streams say so, and the next one of the market gets a new group."""
    async with offline("binance_spot") as sim:
        client = client_of(sim, "binance")
        first = await client.start_realtime_stream("BTC/USDT", lambda *_: None, channel=channel)
        groups = client._live._books if channel == "book" else client._live._candles
        groups["binance_spot"]._task.cancel()
        with pytest.raises(Closed):
            await asyncio.wait_for(first.wait(), 10)
        told = asyncio.Event()
        second = await client.start_realtime_stream("BTC/USDT", lambda *_: told.set(), channel=channel)
        await asyncio.wait_for(told.wait(), 10)

        assert second.running


@pytest.mark.parametrize("options", [{"channel": "trades"}, {"channel": "book", "depth": 0}])
async def test_streams_that_cannot_be(offline, client_of, options):
    """An unknown channel, or a depth of no level, is refused before anything is sent."""
    async with offline("binance_spot") as sim:
        with pytest.raises(InvalidInput):
            await client_of(sim, "binance").start_realtime_stream("BTC/USDT", lambda *_: None, **options)

        assert [] == list(sim.log)


async def test_closing_ends_streams(offline, client_of):
    """Closing the client ends its streams without an error, and leaves no task behind."""
    async with offline("binance_spot") as sim:
        client = client_of(sim, "binance")
        stream = await client.start_realtime_stream("BTC/USDT", lambda *_: None)
        await client.close()

        assert (False, None) == (stream.running, stream.failure)


def test_units(settings_of):
    """The unit of volumes is what the market's adapter declares."""
    client = NativeExchangeClient("okx", Settings.of(None))

    assert ExchangeRegistry.get("okx_perpetual").volume_unit == client.volume_unit("BTC/USDT:USDT")
    assert "base" == client.volume_unit("BTC/USDT")
