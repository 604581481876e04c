"""Series that share a connection."""

from __future__ import annotations

import asyncio
import json
import random
from itertools import islice

import pytest

from chandlery.adapter.live import CandleStream, SocketRules
from chandlery.core.errors import ExchangeUnavailable, MalformedResponse
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE, SECOND
from chandlery.feed.events import Connected, Reconnecting, Rejected
from chandlery.feed.sockets import Bundle, poll_interval
from chandlery.feed.stream import LiveStream
from fixtures.candle_feed import FAST, Heard, Stopped
from fixtures.support import micros

START = micros(2025, 3, 12)


class Filler:
    """Remembers what was to be filled."""

    fall_back = False

    def __init__(self):
        self.asked = []

    def restart(self, stream, error):
        self.asked.append(("restart", stream.symbol, str(error)))

    def start_filling(self, stream):
        self.asked.append(("start", stream.symbol))

    def keep_filling(self, stream):
        self.asked.append(("keep", stream.symbol))


class Bench:
    """A bundle, and streams for it."""

    def __init__(self, network):
        self.network, self.filler = network, Filler()
        self.bundle = Bundle(network, self.filler, sleep=asyncio.sleep, random=lambda: 1.0, pace=FAST)

    def stream(self, symbol, interval=Interval.MINUTE_1):
        heard = Heard()
        made = LiveStream(self.network, symbol, interval, max_records=5, publish=heard, on_begun=lambda: None)
        return made, heard


@pytest.fixture
async def bench(sim_of, network_of, adapter_of):
    sim = await sim_of(tick_s=None)
    return Bench(network_of(sim, adapter_of(socket=SocketRules(streams=2))))


def names(messages):
    return [name for each in messages for name in json.loads(each)["params"]]


def streams(*symbols):
    return [CandleStream(symbol, Interval.MINUTE_1) for symbol in symbols]


async def test_what_is_subscribed_to(bench):
    """Each stream once, however many want it, and no more of them than the exchange allows."""
    bundle = bench.bundle
    first, double, other, third = (bench.stream(each)[0] for each in ("AAAUSDT", "AAAUSDT", "BBBUSDT", "CCCUSDT"))
    assert streams("AAAUSDT") == bundle.add(first)
    assert [] == bundle.add(double)
    assert bundle.has_room(other)
    assert streams("BBBUSDT") == bundle.add(other)
    assert not bundle.has_room(third)
    assert bundle.has_room(double)
    assert streams("AAAUSDT", "BBBUSDT") == bundle.subscriptions()
    assert ["aaausdt@kline_1m", "bbbusdt@kline_1m"] == names(bundle.messages(bundle.subscriptions()))
    assert [] == bundle.remove(first)
    gone = bundle.remove(double)
    (message,) = bundle.messages(gone, leave=True)
    assert ("UNSUBSCRIBE", ["aaausdt@kline_1m"]) == (json.loads(message)["method"], names([message]))
    assert streams("BBBUSDT") == bundle.subscriptions()
    assert bundle.has_room(third)


def kline(symbol, interval, opened=START, **fields):
    candle = dict.fromkeys("ohlcvqVQ", "1") | {"t": opened // 1000, "i": interval, "n": 1, "x": False} | fields
    return json.dumps({"e": "kline", "E": START // 1000 + 7, "s": symbol, "k": candle}).encode()


async def test_to_whom_a_candle_goes(bench):
    """To all that want it, and what nobody wants is counted."""
    bundle = bench.bundle
    minute, double, hour = (
        bench.stream("AAAUSDT")[0],
        bench.stream("AAAUSDT")[0],
        bench.stream("AAAUSDT", Interval.HOUR_1)[0],
    )
    for each in (minute, double, hour):
        bundle.add(each)
    assert bundle.on_message(kline("AAAUSDT", "1m"))
    assert bundle.on_message(kline("ZZZUSDT", "1m"))
    assert not bundle.on_message(b'{"result":null,"id":1}')

    assert [1, 1, 0] == [each.heard for each in (minute, double, hour)]
    assert 1 == bundle.unclaimed


async def test_when_a_candle_came(bench):
    """By the clock of the machine, a message that tells no more moves it on; the exchange's time is that of the message."""
    stream, heard = bench.stream("AAAUSDT")
    now = bench.network.clock = Stopped(START + 3 * SECOND)
    bundle = Bundle(bench.network, bench.filler, sleep=asyncio.sleep, random=lambda: 1.0, pace=FAST)
    bundle.add(stream)
    stream.up()
    stream.filled = True
    shortcut, seen = bundle.shortcut(), []
    for step, volume in enumerate("1123"):
        now.now = START + step * SECOND
        message = kline("AAAUSDT", "1m", v=volume)
        if list(shortcut([message])):
            bundle.on_message(message)
        (candle,) = stream.processor.candles
        seen.append((candle.volume, candle.at, candle.received_at))

    at = START + 7_000
    assert [(float(volume), at, START + step * SECOND) for step, volume in enumerate("1123")] == seen
    assert seen[:1] + seen[2:] == [(each.volume, each.at, each.received_at) for each in heard.updates]
    assert 2 == stream.processor.followed


def flowing(bench):
    """Series: one alone and filled, two of a symbol, one alone that waits for its history."""
    made = [
        bench.stream(symbol, interval)
        for symbol, interval in (
            ("AAAUSDT", Interval.MINUTE_1),
            ("BBBUSDT", Interval.MINUTE_1),
            ("BBBUSDT", Interval.HOUR_1),
            ("CCCUSDT", Interval.MINUTE_1),
        )
    ]
    for stream, _ in made:
        bench.bundle.add(stream)
        stream.up()
        stream.filled = stream.symbol != "CCCUSDT"
    return made


def any_frame(dice, number):
    """Of one of the series or of none, right or wrong, or nothing that could be one."""
    if dice.random() < 0.1:
        return dice.choice([b"", b"{}", b'{"result":null,"id":1}', b'{"s":1}', b'{"k":{}}', b"\xff", b'{"k":null}'])
    symbol = dice.choice(["AAAUSDT"] * 5 + ["BBBUSDT", "CCCUSDT", "DDDUSDT"])
    numbers = {key: dice.choice(["1"] * 30 + ["2", "nan", "inf", "-inf"]) for key in "ohlc"}
    minute, part = divmod(number, 50)
    opened = START + (minute + dice.choice([-1, 0.5, *[0] * 20])) * MINUTE
    volume = dice.choice(["nan", "inf", "-1", str(part - 1), *[str(part)] * 10])
    closed = dice.random() < 0.02
    return kline(symbol, dice.choice(["1m"] * 9 + ["1h"]), int(opened), v=volume, x=closed, **numbers)


@pytest.mark.parametrize("seed", range(20))
async def test_the_shortcut_leads_to_the_same(bench, seed):
    """Whatever comes: the same candles are told in the same order, and the same is counted, as without it."""
    bench.network.clock = Stopped(START)
    straight, short = Bench(bench.network), Bench(bench.network)
    series = [flowing(each) for each in (straight, short)]

    def general(of):
        def take(message):
            try:
                of.bundle.on_message(message)
            except MalformedResponse as error:
                of.bundle.on_rejected(error, message)

        return take

    shortcut, general_of_short, general_of_straight = short.bundle.shortcut(), general(short), general(straight)
    dice = random.Random(seed)
    numbers = iter(range(400))
    while messages := [any_frame(dice, number) for number in islice(numbers, dice.choice([1, 1, 5, 50]))]:
        for message in messages:
            general_of_straight(message)
        for place in shortcut(messages):
            general_of_short(messages[place])
        if dice.random() < 0.1:
            for bundle in (straight.bundle, short.bundle):
                bundle.streams[0].processor.interrupted()

    assert straight.bundle.unclaimed == short.bundle.unclaimed > 0
    for (one, heard), (other, told) in zip(*series, strict=True):
        assert heard.updates == told.updates
        assert one.heard == other.heard
        assert repr(one._waiting) == repr(other._waiting)  # they may hold what is no number
        assert one.processor.candles == other.processor.candles
        assert one.processor.counts == other.processor.counts
        assert one.processor.taken == other.processor.taken
    assert short.bundle.streams[0].processor.followed > 20
    assert sum(stream.heard > 0 for stream, _ in series[0]) >= 3, "of hours few candles come, and some of them are none"


async def test_the_shortcut_of_a_series_alone(bench):
    """It ends when a second one wants the candles of the symbol, and begins anew when that is gone."""
    (first, heard), (second, _) = bench.stream("AAAUSDT"), bench.stream("AAAUSDT", Interval.HOUR_1)
    shortcut = bench.bundle.shortcut()

    def take(message):
        return not list(shortcut([message]))

    bench.bundle.add(first)
    first.up()
    first.filled = True
    bench.bundle.on_message(kline("AAAUSDT", "1m", v="1"))
    assert take(kline("AAAUSDT", "1m", v="2"))
    assert 2 == len(heard.updates)
    bench.bundle.add(second)
    assert not take(kline("AAAUSDT", "1m", v="3"))
    bench.bundle.remove(second)
    assert 2 == len(heard.updates)
    assert take(kline("AAAUSDT", "1m", v="4"))
    assert 3 == len(heard.updates)
    first.lost()
    assert not take(kline("AAAUSDT", "1m", v="5"))
    assert 3 == len(heard.updates)


async def test_all_are_told(bench):
    """Of the connection, its loss, and what could not be read; history is fetched in either case."""
    (first, heard), (second, other) = bench.stream("AAAUSDT"), bench.stream("BBBUSDT")
    for each in (first, second):
        bench.bundle.add(each)
    bench.bundle.on_down(ExchangeUnavailable("refused"))
    bench.bundle.on_up(2)
    bench.bundle.on_rejected(MalformedResponse("no"), b"x" * 1000)

    assert [Reconnecting("refused"), Connected(2), Rejected("no", "b'" + "x" * 198)] == heard.updates == other.updates
    assert [("keep", "AAAUSDT"), ("keep", "BBBUSDT"), ("start", "AAAUSDT"), ("start", "BBBUSDT")] == bench.filler.asked
    first.began = True
    bench.filler.asked.clear()
    bench.bundle.on_down(ExchangeUnavailable("again"))
    assert [("keep", "BBBUSDT")] == bench.filler.asked


async def test_patience_grows_with_each_time_in_vain(bench):
    """Until the series is heard."""
    stream, _ = bench.stream("AAAUSDT")
    bench.bundle.add(stream)
    found = []
    for heard in (0, 0, 0, 1):
        if heard:
            bench.bundle.on_message(kline("AAAUSDT", "1m"))
        bench.bundle.on_up(1)
        found.append(bench.bundle._watchdogs[stream]._quiet_s / FAST.quiet_s)
        bench.bundle.give_up(stream)

    assert [1, 2, 4, 1] == found
    assert not bench.bundle.is_silent(stream)


async def test_when_to_poll(bench):
    """Once after each close and the exchange's delay."""
    stream, _ = bench.stream("AAAUSDT", Interval.HOUR_1)
    delay = bench.network.adapter.close_delay
    found = [
        bench.bundle.is_poll_due(stream, START + delay + each)
        for each in (0, 1, MINUTE - 1, MINUTE, 2 * MINUTE - delay, 2 * MINUTE)
    ]

    assert [True, False, False, True, False, True] == found


def test_poll_intervals():
    """A minute for all that are longer."""
    assert Interval.SECOND_1 is poll_interval(Interval.SECOND_1)
    assert {Interval.MINUTE_1} == {poll_interval(each) for each in Interval if each.longest > SECOND}
