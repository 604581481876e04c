"""Contradictions of the offline exchange, on every wire of every market."""

from __future__ import annotations

from itertools import pairwise

import aiohttp
import msgspec
import pytest

from chandlery.adapter.live import CandleStream, Channel
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import InvalidInput, UnknownName
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, HOUR, MINUTE, SECOND, to_datetime
from chandlery.sim import SimServer, SyntheticMarket, Unlike, running
from chandlery.sim.book import tick_of
from chandlery.sim.unlike import contradictions
from chandlery.sim.wires import wires
from fixtures.offline_adapter import OfflineAdapter
from fixtures.support import LINEAR, SPOT, micros

NOW = micros(2025, 3, 12, 10, 20, 30)
EXCHANGES = list(wires())
SPAN = Span(NOW - 21 * MINUTE, NOW)


@pytest.fixture(params=EXCHANGES)
def facing(request):
    """One exchange and its adapter."""
    return OfflineAdapter(request.param, NOW)


def asked(facing: OfflineAdapter, span: Span = SPAN) -> list[int]:
    """The opens of the closed minutes of ``span`` in one answer by REST."""
    body = facing.body(facing.adapter.candles_request(facing.native, Interval.MINUTE_1, span))
    opens = facing.adapter.candles(body, Interval.MINUTE_1).open_time
    return [each for each in opens if span.start <= each < min(span.end, facing.now - facing.now % MINUTE)]


def test_a_shorter_page(facing):
    """However many candles are asked for, the answer holds no more, and all of them are the market's."""
    whole = asked(facing)
    facing.view.differ(Unlike(page_size=7))
    page = asked(facing)

    assert 20 <= len(whole)
    assert 6 <= len(page) <= 7
    assert page in (whole[: len(page)], whole[-len(page) :])


def test_a_page_is_empty_once(facing):
    """The second page is empty, and is not when it is asked for again."""
    whole = asked(facing)
    facing.view.differ(Unlike(empty_once=2))

    assert [whole, [], whole] == [asked(facing) for _ in range(3)]


def test_rows_come_late(facing):
    """By REST there is no candle that closed less than ``late_s`` ago; sockets have it."""
    whole = asked(facing)
    facing.view.differ(Unlike(late_s=600))

    assert [each for each in whole if each + MINUTE <= NOW - 600 * SECOND] == asked(facing)
    live = facing.view.live(facing.symbol, Interval.MINUTE_1, Span(SPAN.start, NOW + 1), 5)
    assert NOW - NOW % MINUTE == live[-1].open_time


def test_rest_is_behind(facing):
    """It has everything as it was ``behind_s`` ago, the candle that ran then included; sockets and the clock are not."""
    body = facing.adapter.candles_request(facing.native, Interval.MINUTE_1, SPAN)
    facing.now -= 45 * SECOND
    before = facing.adapter.candles(facing.body(body), Interval.MINUTE_1)
    facing.now += 45 * SECOND
    facing.view.differ(Unlike(behind_s=45))
    behind = facing.adapter.candles(facing.body(body), Interval.MINUTE_1)

    assert before == behind
    assert NOW - NOW % MINUTE - MINUTE == behind.open_time[-1]
    assert facing.wire.now == NOW
    live = facing.view.live(facing.symbol, Interval.MINUTE_1, Span(SPAN.start, NOW + 1), 5)
    assert NOW - NOW % MINUTE == live[-1].open_time


def test_a_shifted_grid(facing):
    """Candles open later, by REST and on sockets, and are sums of the same trades."""
    facing.view.differ(Unlike(anchor={"1h": 1800, "4h": 3600}))
    interval = Interval.HOUR_4 if Interval.HOUR_4 in facing.adapter.intervals else Interval.HOUR_1
    shift = {Interval.HOUR_4: HOUR, Interval.HOUR_1: HOUR // 2}[interval]
    span = Span(NOW - 2 * DAY, NOW - DAY)
    raw = facing.view.candles(facing.symbol, interval, span, 100, newest=False)
    minutes = facing.view.candles(
        facing.symbol, Interval.MINUTE_1, Span(raw[0].open_time, raw[0].end), 500, newest=False
    )

    assert {shift} == {each.open_time % interval.longest for each in raw}
    assert (minutes[0].open, minutes[-1].close) == (raw[0].open, raw[0].close)
    assert max(float(each.high) for each in minutes) == float(raw[0].high)
    live = facing.view.live(facing.symbol, interval, Span(0, NOW + 1), 1)
    assert shift == live[0].open_time % interval.longest
    assert not live[0].closed


def test_a_shorter_memory(facing):
    """REST has the latest candles alone, the running one among them."""
    whole = asked(facing)
    facing.view.differ(Unlike(memory=5))

    assert whole[-4:] == asked(facing)
    assert [] == asked(facing, span=Span(NOW - HOUR, NOW - HOUR // 2))


def test_a_skewed_clock(facing):
    """An exchange that is behind has less, and says so where it gives the time."""
    whole = asked(facing)
    facing.view.differ(Unlike(clock_skew_s=-180))

    assert NOW - 3 * MINUTE == facing.wire.now
    assert whole[:-3] == [each for each in asked(facing) if each + MINUTE <= facing.wire.now]


def test_the_archive_has_the_same_grid():
    """Files of days hold the candles that the exchange has."""
    with running(exchanges=["binance_spot"], unlike={"binance_spot": {"anchor": {"1w": 86400}}}) as exchange:
        market = exchange.view("binance_spot").market
        opens = market.candles(SPOT, "BTCUSDT", Interval.WEEK_1, Span(NOW - 60 * DAY, NOW))["open_time"]

    assert {5 * DAY} == {int(each) % (7 * DAY) for each in opens}


def test_fields_of_one_come_before_those_of_all():
    """What is given for an exchange takes the place of what is given for all, field by field."""
    given = {"*": {"page_size": 10, "memory": 20}, "okx_spot": Unlike(page_size=5)}

    found = contradictions(given, ("okx_spot", "kraken_spot"))

    assert {"okx_spot": Unlike(page_size=5, memory=20), "kraken_spot": Unlike(page_size=10, memory=20)} == found


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"okx": {}}, UnknownName, r"no offline exchange okx; available: \*, okx_spot"),
        ({"okx_spot": {"pages": 3}}, InvalidInput, "unknown: pages; available: page_size, "),
        ({"okx_spot": {"page_size": 0}}, InvalidInput, "unlike of okx_spot: .* >= 1"),
        ({"okx_spot": {"page_size": "x"}}, InvalidInput, "unlike of okx_spot: Expected `int"),
        ({"okx_spot": {"late_s": -1}}, InvalidInput, "unlike of okx_spot: .* >= 0"),
        ({"*": {"anchor": {"3d": 30}}}, InvalidInput, "anchor of 3d: 30 s; use whole minutes"),
        ({"*": {"anchor": {"1h": 7200}}}, InvalidInput, "less than the interval"),
        ({"*": {"funding_hours": [["2024-01-01T00:00:00", 4]]}}, InvalidInput, "times must have a time zone"),
        (
            {"*": {"lives": {"X": [["2024-01-02T00:00:00Z", "2024-01-01T00:00:00Z"]]}}},
            InvalidInput,
            "X: times .* ascend",
        ),
        ({"*": {"anchor": {"9d": 60}}}, InvalidInput, "'9d' is not an interval"),
    ],
)
def test_impossible_contradictions(given, error, said):
    """Each is refused at once, with what there is."""
    with pytest.raises(error, match=said):
        SimServer(SyntheticMarket(), exchanges=["okx_spot"], unlike=given)


def test_contradictions_end():
    """The same exchange behaves as documented again."""
    with running(exchanges=["binance_perpetual"], unlike={"*": {"memory": 3}}) as exchange:
        view = exchange.view("binance_perpetual")
        few = view.candles("BTCUSDT", Interval.MINUTE_1, Span(0, 2**60), 10, newest=True)
        exchange.differ({})
        many = view.candles("BTCUSDT", Interval.MINUTE_1, Span(0, 2**60), 10, newest=True)

    assert (3, 10) == (len(few), len(many))
    assert LINEAR is view.market_type


def leaves(content):
    """How many plain values a JSON value holds."""
    if isinstance(content, dict):
        return sum(map(leaves, content.values()))
    return sum(map(leaves, content)) if isinstance(content, list) else 1


def holds(whole, part):
    """True where ``whole`` has everything of ``part``, in its place."""
    if isinstance(part, dict):
        return all(key in whole and holds(whole[key], value) for key, value in part.items())
    if isinstance(part, list):
        return len(whole) >= len(part) and all(holds(*each) for each in zip(whole, part, strict=False))
    return whole == part


def replied(facing):
    """The JSON of one answer with candles, as it goes out."""
    request = facing.adapter.candles_request(facing.native, Interval.MINUTE_1, SPAN)
    return msgspec.json.decode(facing.ask(request).body)


def test_rows_are_wider(facing):
    """Each row has more places, the others being as before; without candles nothing is."""
    plain = replied(facing)
    facing.view.differ(Unlike(extra_columns=2))
    wide = replied(facing)

    assert holds(wide, plain)
    assert leaves(wide) >= leaves(plain) + 2 * 20
    request = facing.adapter.instruments_request()
    assert "extra0" not in facing.ask(request).body.decode()


def test_rows_are_narrower(facing):
    """Each row lacks its last place."""
    plain = replied(facing)
    facing.view.differ(Unlike(fewer_columns=1))
    narrow = replied(facing)

    assert holds(plain, narrow)
    assert leaves(narrow) <= leaves(plain) - 20


def subscription(facing):
    """The channel and the messages of a subscription: of candles, or of a book where there are none."""
    adapter = facing.adapter
    for interval in adapter.live_intervals:
        return Channel.CANDLES, adapter.subscribe([CandleStream(facing.native, interval)])
    return Channel.BOOK, adapter.subscribe_book([facing.native], adapter.book_depths[0])


def test_live_rows_are_wider(facing):
    """Candles and books on sockets, too; digits stay."""
    channel, messages = subscription(facing)
    session = facing.open(channel)
    for message in messages:
        facing.wire.obey(session, message)
    want = next(iter(session.wants.values()))
    if want.interval is None:
        tick = tick_of(NOW)
        changes = facing.view.changes(want.symbol, want.depth, tick, tick + 1)
        plain = facing.wire.changes(session, want, *changes, tick, tick + 1)
    else:
        live = facing.view.live(facing.symbol, want.interval, Span(0, NOW + 1), 1)
        plain = facing.wire.candles(session, want, live)
    facing.view.differ(Unlike(extra_columns=1))
    wide = [facing.wire.reshaped(each, rows=True) for each in plain]

    assert len(plain) == len(wide)
    assert all(facing.wire.frame(one) != facing.wire.frame(other) for one, other in zip(plain, wide, strict=True))


def test_the_closed_flag_comes_late(facing):
    """A candle that has closed says so only later."""
    facing.view.differ(Unlike(close_delay_s=45))
    *_, last, running = facing.view.live(facing.symbol, Interval.MINUTE_1, Span(0, NOW + 1), 5)
    facing.now += 15 * SECOND
    *_, later, _ = facing.view.live(facing.symbol, Interval.MINUTE_1, Span(0, facing.now + 1), 5)

    assert (False, False, True) == (last.closed, running.closed, later.closed)
    assert last.open_time == later.open_time


def test_the_last_trades_count_late(facing):
    """Right after its close a candle lacks its last second; by REST and on sockets."""
    facing.now += 30 * SECOND + 50_000
    facing.view.differ(Unlike(late_update_ms=100))
    opened = facing.now - 50_000 - MINUTE
    early = facing.view.candles(facing.symbol, Interval.MINUTE_1, Span(opened, opened + 1), 1, newest=True)
    live = facing.view.live(facing.symbol, Interval.MINUTE_1, Span(opened, opened + 1), 1)
    facing.now -= 50_001
    assert early[0].volume == facing.view.live(facing.symbol, Interval.MINUTE_1, Span(opened, opened + 1), 1)[0].volume
    facing.now += 150_001
    final = facing.view.candles(facing.symbol, Interval.MINUTE_1, Span(opened, opened + 1), 1, newest=True)
    facing.view.differ(Unlike())
    right = facing.view.candles(facing.symbol, Interval.MINUTE_1, Span(opened, opened + 1), 1, newest=True)

    assert early == live
    assert early != final == right
    assert early[0].count < final[0].count


def test_sockets_refuse_a_symbol(facing):
    """REST has it; a subscription of it brings nothing, in the words that the exchange has for it."""
    facing.view.differ(Unlike(refused=frozenset({facing.symbol})))
    channel, messages = subscription(facing)
    session = facing.open(channel)
    for message in messages:
        facing.wire.heed(session, message)

    assert [] == [want for want in session.wants.values() if want.symbol]
    assert facing.wire.symbol(facing.native) == facing.symbol
    assert asked(facing)


@pytest.mark.parametrize(
    ("exchange", "path", "command"),
    [
        ("binance_spot", "/ws", {"method": "SUBSCRIBE", "params": ["btcusdt@kline_1m"], "id": 1}),
        (
            "kraken_spot", "",
            {"method": "subscribe", "params": {"channel": "ohlc", "symbol": ["BTC/USDT"], "snapshot": False}},
        ),
        ("okx_perpetual", "/business", {"op": "subscribe", "args": [{"channel": "candle1m", "instId": "BTC-USDT-SWAP"}]}),
    ],
)  # fmt: skip
async def test_subscribers_are_cut_off(http, clock, exchange, path, command):
    """The first two connections that subscribe; the third stays open and has data."""
    unlike = {exchange: {"close_on_subscribe": 2}}
    kinds = []
    async with SimServer(SyntheticMarket(), exchanges=[exchange], clock=clock, tick_s=None, unlike=unlike) as sim:
        for _ in range(3):
            async with http.ws_connect(sim.endpoints[exchange]["ws"] + path) as socket:
                await socket.send_json(command)
                messages = [await socket.receive(timeout=5)]
                while len(messages) < 3 and messages[-1].type is aiohttp.WSMsgType.TEXT:
                    await sim.tick()
                    messages.append(await socket.receive(timeout=5))
                kinds.append(messages[-1].type is aiohttp.WSMsgType.TEXT)

    assert [False, False, True] == kinds


def test_a_symbol_that_is_used_again(facing):
    """REST has the candles of the present instrument alone; where the exchange serves delisted ones, all."""
    again = NOW - NOW % MINUTE - 10 * MINUTE
    lives = [(to_datetime(NOW - 300 * DAY), to_datetime(again - 5 * MINUTE)), (to_datetime(again), None)]
    facing.view.differ(Unlike(lives={facing.symbol: lives}))

    assert again == min(asked(facing))
    facing.view.differ(Unlike(lives={facing.symbol: lives}, serves_delisted=True))
    assert again - 6 * MINUTE in asked(facing)
    assert again - 5 * MINUTE not in asked(facing)


def test_a_symbol_that_closes_connections(facing):
    """Nothing is said, and nothing that was asked for with it is subscribed to."""
    facing.view.differ(Unlike(closes_at=frozenset({facing.symbol})))
    channel, messages = subscription(facing)
    session = facing.open(channel)
    (message,) = messages[-1:]

    assert () == facing.wire.heed(session, message)
    assert session.cut
    assert asked(facing)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("exchange", ["okx_spot", "kraken_spot", "coinbase_spot", "kucoin_spot", "bybit_spot"])
def test_one_symbol_that_refuses_all_of_its_message(exchange, whole):
    """What is answered to the others is left out; what is in other messages is subscribed to."""
    facing = OfflineAdapter(exchange, NOW)
    others = [facing.native.replace("BTC", base) for base in ("ETH", "SOL")]
    facing.view.differ(Unlike(refused=frozenset({facing.symbol}), refuses_whole=whole))
    session = facing.open(Channel.BOOK)
    depth = facing.adapter.book_depths[-1]
    (message,) = facing.adapter.subscribe_book([others[0], facing.native, others[1]], depth)[-1:]
    answers = facing.wire.heed(session, message)
    (alone,) = facing.adapter.subscribe_book(others, depth)[-1:]
    known = sum(bool(want.symbol) for want in session.wants.values())
    facing.wire.heed(session, alone)

    assert (1 if whole or exchange in {"bybit_spot", "coinbase_spot", "kucoin_spot"} else 3) == len(answers)
    assert known in ({0} if whole or exchange == "bybit_spot" else {1, 2})
    assert 2 == sum(bool(want.symbol) for want in session.wants.values())


def test_a_delisted_symbol(facing):
    """It is listed no more, and refused as unknown; where the exchange serves it, REST has what was."""
    ended = NOW - 10 * MINUTE
    life = [(to_datetime(NOW - 300 * DAY), to_datetime(ended))]
    whole = asked(facing)
    facing.view.differ(Unlike(lives={facing.symbol: life}))

    assert facing.wire.symbol(facing.native) is None
    assert facing.symbol not in facing.view.symbols()
    facing.view.differ(Unlike(lives={facing.symbol: life}, serves_delisted=True))
    assert facing.symbol not in facing.view.symbols()
    assert [each for each in whole if each + MINUTE <= ended] == [
        each for each in asked(facing) if each + MINUTE <= ended
    ]
    assert whole[-1] not in asked(facing)


def rates(facing: OfflineAdapter, span: Span) -> list[int]:
    """The moments of the rates of ``span`` in one answer."""
    body = facing.body(facing.adapter.funding_request(facing.native, span))
    return list(facing.adapter.funding_rows(body).open_time)


@pytest.mark.parametrize("exchange", [each for each in EXCHANGES if ExchangeRegistry.get(each).funding_page_size])
def test_funding_in_other_pages_and_intervals(exchange):
    """Shorter answers, and rates that are due more often since a moment."""
    facing = OfflineAdapter(exchange, NOW)
    span = Span(NOW - 3 * DAY, NOW)
    whole = rates(facing, span)
    facing.view.differ(Unlike(funding_page_size=4, funding_hours=((to_datetime(NOW - 2 * DAY), 4),)))
    page = rates(facing, span)

    due = [moment for moment, _ in facing.view.funding(facing.symbol, span)]

    assert 9 <= len(whole)
    assert 4 == len(page)
    assert {4, 8} == {round((after - before) / HOUR) for before, after in pairwise(due)}
