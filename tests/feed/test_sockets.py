"""Series that share a connection."""

from __future__ import annotations

import asyncio
import json

import pytest

from chandlery.adapter.live import SocketRules
from chandlery.core.errors import MalformedResponse
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE, SECOND
from chandlery.feed.events import Connected, Reconnecting, Rejected
from chandlery.feed.sockets import Bundle, poll_interval
from chandlery.feed.stream import LiveStream
from feeding import FAST, Heard
from support import micros

START = micros(2025, 3, 12)


class Filler:
    """Remembers what was to be filled."""

    def __init__(self):
        self.asked = []

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


async def test_what_is_subscribed_to(bench):
    """Each stream once, however many want it, and no more of them than the exchange allows."""
    bundle = bench.bundle
    first, double, other, third = (bench.stream(each)[0] for each in ("AAAUSDT", "AAAUSDT", "BBBUSDT", "CCCUSDT"))
    assert ["aaausdt@kline_1m"] == names(bundle.add(first))
    assert [] == bundle.add(double)
    assert bundle.has_room(other)
    assert ["bbbusdt@kline_1m"] == names(bundle.add(other))
    assert not bundle.has_room(third)
    assert bundle.has_room(double)
    assert ["aaausdt@kline_1m", "bbbusdt@kline_1m"] == names(bundle.subscriptions())
    assert [] == bundle.remove(first)
    (message,) = bundle.remove(double)
    assert ("UNSUBSCRIBE", ["aaausdt@kline_1m"]) == (json.loads(message)["method"], names([message]))
    assert ["bbbusdt@kline_1m"] == names(bundle.subscriptions())
    assert bundle.has_room(third)


def kline(symbol, interval, opened=START):
    candle = dict.fromkeys("ohlcvqVQ", "1") | {"t": opened // 1000, "i": interval, "n": 1, "x": False}
    return json.dumps({"e": "kline", "s": symbol, "k": candle}).encode()


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


async def test_all_are_told(bench):
    """Of the connection, its loss, and what could not be read; history is fetched in either case."""
    (first, heard), (second, other) = bench.stream("AAAUSDT"), bench.stream("BBBUSDT")
    for each in (first, second):
        bench.bundle.add(each)
    bench.bundle.on_down("refused")
    bench.bundle.on_up(2)
    bench.bundle.on_rejected(MalformedResponse("no"), b"x" * 1000)

    assert [Reconnecting("refused"), Connected(2), Rejected("no", "b'" + "x" * 198)] == heard.updates == other.updates
    assert [("keep", "AAAUSDT"), ("keep", "BBBUSDT"), ("start", "AAAUSDT"), ("start", "BBBUSDT")] == bench.filler.asked
    first.began = True
    bench.filler.asked.clear()
    bench.bundle.on_down("again")
    assert [("keep", "BBBUSDT")] == bench.filler.asked


async def test_patience_grows_with_each_time_in_vain(bench):
    """Until the series is heard."""
    stream, _ = bench.stream("AAAUSDT")
    bench.bundle.add(stream)
    found = []
    for heard in (0, 0, 0, 1):
        stream.heard = heard
        bench.bundle.on_up(1)
        found.append(bench.bundle._pulses[stream]._quiet_s / FAST.quiet_s)
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
