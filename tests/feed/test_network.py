"""What a feed asks of an exchange."""

import pytest

from chandlery.adapter.layout import CandleColumns
from chandlery.adapter.live import Channel, SocketRules
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import Closed, ExchangeUnavailable
from chandlery.core.gaps import Span
from chandlery.core.http import RateLimit
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, HOUR, MINUTE, SECOND
from chandlery.feed.network import is_closed
from chandlery.sim.faults import Fault, FaultKind
from fixtures.candle_feed import SPOT, Quick, Stopped, truth
from fixtures.offline_adapter import MARKET, first_example
from fixtures.support import micros

START = micros(2025, 3, 12)


async def test_the_exchanges_time_is_asked_every_hour(sim_of, network_of):
    """And no more often, unless this machine's clock was set; between, that goes on from it."""
    theirs, ours, ticks = Stopped(100 * DAY), Stopped(3 * DAY), Stopped(0)
    sim = await sim_of(clock=theirs)
    network = network_of(sim, clock=ours, ticks=lambda: ticks() / SECOND)

    def asked():
        return sum(path.endswith("/time") for _, path, _ in sim.log)

    assert 100 * DAY == await network.now() == network.guess()
    for clock in (theirs, ours, ticks):
        clock.now += HOUR
    assert 100 * DAY + HOUR == await network.now()
    assert 1 == asked()
    theirs.now += 5 * SECOND
    for clock in (ours, ticks):
        clock.now += SECOND
    assert theirs.now == await network.now()
    assert 2 == asked()
    for step in (5 * MINUTE, -5 * MINUTE, -3 * HOUR):
        ours.now += step
        assert theirs.now == await network.now()
    assert 5 == asked()


async def test_candles_over_pages(sim_of, network_of, adapter_of, market):
    """All of the span, in as many requests as it takes; those that have ended since long enough are closed."""
    sim = await sim_of(clock=Stopped(Quick()() // HOUR * HOUR + SECOND // 2))
    network = network_of(sim, adapter_of(page_size=7, close_delay=SECOND))
    end = sim.clock() // HOUR * HOUR
    found = await network.candles("BTCUSDT", Interval.MINUTE_1, Span(end - 30 * MINUTE, end + MINUTE))

    assert 31 == len(found)
    assert [True] * 29 + [False] * 2 == [each.closed for each in found]
    assert truth(market, "BTCUSDT", Interval.MINUTE_1, Span(end - 30 * MINUTE, end - MINUTE)) == found[:29]
    assert 5 == sum("klines" in path for _, path, _ in sim.log)


async def test_candles_have_the_time_of_the_answer(sim_of, network_of):
    """The local one, as an answer says none; second reads too."""
    sim = await sim_of(clock=Stopped(START + 30 * SECOND))
    network = network_of(sim, clock=Stopped(START + 33 * SECOND))
    span = Span(START - 3 * MINUTE, START)
    read = await network.candles("BTCUSDT", Interval.MINUTE_1, span)
    again = await network.second_read("BTCUSDT", Interval.MINUTE_1, span, settled=START)

    assert 6 == len(read + again)
    assert {(None, START + 33 * SECOND)} == {(each.at, each.received_at) for each in read + again}


@pytest.mark.parametrize(
    ("exchange", "sent", "closed"),
    [
        ("okx_spot", {"closed": [True, False, False]}, [True, False, False]),
        ("gate_spot", {"closed": [True, True, False]}, [True, True, False]),
        ("okx_spot", {}, [True, False, False]),  # without its word, after ``settle``
        ("kraken_spot", {}, [True, True, False]),
        ("binance_spot", {"close_time": [START + MINUTE - 1, START + 3 * MINUTE, 0]}, [True, False, False]),
    ],
)
def test_what_closes_a_candle_by_rest(exchange, sent, closed):
    """The exchange's word where its rows have one, whatever the clock says; else its clock and the end that it names."""
    opens = [START, START + MINUTE, START + 2 * MINUTE]
    rows = CandleColumns(opens, *[[1.0] * 3] * 5, **sent)

    found = is_closed(rows, ExchangeRegistry.create(exchange), Interval.MINUTE_1, START + 2 * MINUTE + 30 * SECOND)

    assert closed == found


@pytest.mark.parametrize(("exchange", "word"), [("okx_perpetual", True), ("gate_spot", True), ("bybit_spot", False)])
async def test_the_word_of_the_exchange_comes_through(sim_of, network_of, exchange, word):
    """Closed half a minute later than by the clock, where rows of REST say it."""
    clock, unlike = Stopped(START + 20 * SECOND), {"*": {"close_delay_s": 30}}
    sim = await sim_of(clock=clock, exchanges=[SPOT, exchange], market=MARKET, unlike=unlike)
    network = network_of(sim, lambda _: ExchangeRegistry.create(exchange, sim.endpoints))
    symbol = network.adapter.symbol(first_example(network.adapter))
    found = await network.candles(symbol, Interval.MINUTE_1, Span(START - 2 * MINUTE, START + MINUTE))

    assert [True, not word, False] == [each.closed for each in found]


async def test_nothing_before_what_the_exchange_keeps(sim_of, network_of, adapter_of):
    """Older candles are not asked for."""
    sim = await sim_of()
    network = network_of(sim, adapter_of(retained_candles=3))
    now = sim.clock()
    found = await network.candles("BTCUSDT", Interval.HOUR_1, Span(now - DAY, now))

    assert 3 == len(found)
    assert [] == await network.candles("BTCUSDT", Interval.HOUR_1, Span(now - DAY, now - 5 * HOUR))


async def test_connects_take_their_turn(sim_of, network_of, adapter_of):
    """As many at once as the exchange allows; and what it refuses is our error."""
    sim = await sim_of(Fault(FaultKind.SERVER_ERROR, "/ws", 1))
    network = network_of(sim, adapter_of(socket=SocketRules(connects=RateLimit(2, 0.5))))
    with pytest.raises(ExchangeUnavailable):
        await network.connect(Channel.CANDLES, print)
    ticks = Quick(speed=1)
    began = ticks()
    sockets = [await network.connect(Channel.CANDLES, print) for _ in range(2)]

    assert ticks() - began > 0.2 * SECOND
    for each in sockets:
        await each.close()


async def test_books(sim_of, network_of):
    """A snapshot by REST."""
    book = await network_of(await sim_of()).book("BTCUSDT", 5)

    assert book.is_snapshot
    assert 5 == len(book.bids) == len(book.asks)


async def test_closes_what_is_its_own(sim_of, network_of, http_of):
    """A shared client stays open."""
    sim = await sim_of()
    shared = http_of()
    await network_of(sim, http=shared).close()
    await network_of(sim, http=shared).now()
    own = network_of(sim, http=None)
    await own.now()
    await own.close()
    with pytest.raises(Closed):
        await own.book("BTCUSDT", 5)
