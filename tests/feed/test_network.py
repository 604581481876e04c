"""What a feed asks of an exchange."""

import pytest

from chandlery.adapter.live import Channel, SocketRules
from chandlery.core.errors import Closed, ExchangeUnavailable
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, HOUR, MINUTE, SECOND
from chandlery.core.wire import RateLimit
from chandlery.sim.faults import Fault, FaultKind
from feeding import Quick, Stopped, truth


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
