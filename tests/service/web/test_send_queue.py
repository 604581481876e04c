"""What waits for clients."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from chandlery.service.metrics import Metrics
from chandlery.service.web.send_queue import HIGH_WATER, MOST_BEFORE_AUTH, MOST_BYTES, Pump, SendQueue
from fixtures.waiting import until

LARGE = b"x" * (HIGH_WATER + 1)


class Socket:
    """Takes what is written, or does not; ``unsent`` is what it says that it has not taken."""

    def __init__(self):
        self.is_open = True
        self.unsent = 0
        self.written = []
        self.is_trusted = False

    def trust(self):
        self.is_trusted = True

    def write_parts(self, parts):
        self.written.append(b"".join(parts))

    def write_frames(self, frames):
        """Remember them."""
        self.written.append(frames)


class Broken(Socket):
    """Takes nothing, by a mistake."""

    def write_frames(self, frames):
        """Fail."""
        raise ZeroDivisionError


def made(grace_s=0.2, *, trusted=True):
    """A socket, its send queue, what was told of slowness, and the counters."""
    socket, slow, metrics = Socket(), [], Metrics()
    pump = Pump(0.001, metrics)
    send_queue = SendQueue(socket, pump, grace_s=grace_s, on_slow=lambda: slow.append(1), metrics=metrics)
    if trusted:
        send_queue.trust()
    return socket, send_queue, slow, metrics


async def settle(socket, count=1):
    """Until something was written so often."""
    await until(lambda: len(socket.written) >= count, 5)


async def turn(send_queue):
    """Until the pump has had a turn: it has written what another client of it gets."""
    other = Socket()
    SendQueue(other, send_queue._pump, grace_s=60, on_slow=print, metrics=Metrics()).put(b"x")
    await settle(other)


ITEMS = st.lists(st.tuples(st.sampled_from("abk"), st.binary(min_size=1, max_size=3)), max_size=30)


@given(ITEMS)
async def test_in_order_all_that_is_put_and_the_last_of_what_is_replaced(items):
    """In one go."""
    socket, send_queue, _, metrics = made()
    puts, latest = [], {}
    for name, frame in items:
        if name == "k":
            send_queue.put(b"P" + frame)
            puts.append(b"P" + frame)
        else:
            send_queue.replace(name, b"R" + frame)
            latest[name] = b"R" + frame
    replaced = sum(name != "k" for name, _ in items) - len(latest)
    assert len(puts) + len(latest) == len(send_queue)
    send_queue.flush(0.0)
    sent = b"".join(socket.written)

    assert sorted(sent) == sorted(b"".join([*puts, *latest.values()]))
    assert len(socket.written) == bool(items)
    assert replaced == metrics.messages_replaced
    positions = [sent.find(each) for each in puts]
    assert all(at >= 0 for at in positions)


async def test_the_pump_writes_after_a_while():
    """What came meanwhile in one go; then it rests."""
    socket, send_queue, _, metrics = made()
    send_queue.put(b"a")
    send_queue.put(b"b")
    assert [] == socket.written
    await settle(socket)

    assert [b"ab"] == socket.written
    assert 2 == metrics.messages_sent


async def test_a_slow_client_holds_up_nothing_and_is_told_of_the_latest():
    """While it takes nothing, books are replaced; when it takes again, it gets all that must not be dropped."""
    socket, send_queue, slow, _ = made(grace_s=60)
    socket.unsent = HIGH_WATER + 1
    send_queue.put(b"closed")
    for number in range(100):
        send_queue.replace("book", b"%d" % number)
    await turn(send_queue)
    assert [] == socket.written
    socket.unsent = 0
    await settle(socket)

    assert [b"closed99"] == socket.written
    assert [] == slow


async def test_too_slow_for_closed_candles():
    """After the grace time, once; books alone never are too much."""
    socket, send_queue, slow, metrics = made(grace_s=0.1)
    socket.unsent = HIGH_WATER + 1
    send_queue.replace("book", b"1")
    await asyncio.sleep(0.15)  # the grace time passes
    await turn(send_queue)
    assert [] == slow
    send_queue.put(b"closed")
    await until(lambda: slow, 5)
    send_queue.put(b"more")
    await turn(send_queue)

    assert [1] == slow
    assert 1 == metrics.slow_clients
    assert [] == socket.written


async def test_the_memory_of_a_client_is_bounded():
    """More than that may not wait, however short the time."""
    socket, send_queue, slow, _ = made(grace_s=60)
    socket.unsent = HIGH_WATER + 1
    for _ in range(MOST_BYTES // len(LARGE) + 1):
        send_queue.put(LARGE)

    assert [1] == slow
    assert 0 == len(send_queue)


async def test_what_is_large_is_sent_at_once_after_what_waits():
    """In parts, with no wait for the pump's turn."""
    socket, send_queue, _, metrics = made()
    send_queue.put(b"a")
    await send_queue.send([b"b", memoryview(b"c")])

    assert [b"a", b"bc"] == socket.written
    assert 2 == metrics.messages_sent


async def test_who_sends_much_waits_for_room():
    """Until the client has taken it, which the socket may tell; nothing is sent where it is gone."""
    socket, send_queue, _, _ = made(grace_s=60)
    socket.unsent = HIGH_WATER + 1
    waiting = asyncio.create_task(send_queue.send([b"a"]))
    await turn(send_queue)
    assert not waiting.done()
    socket.unsent = 0
    send_queue.drained()
    await asyncio.wait_for(waiting, 5)
    assert [b"a"] == socket.written
    socket.unsent = HIGH_WATER + 1
    waiting = asyncio.create_task(send_queue.send([b"b"]))
    await turn(send_queue)
    socket.is_open = False
    await asyncio.wait_for(waiting, 5)
    send_queue.put(b"late")
    assert 0 == len(send_queue)
    assert [b"a"] == socket.written


async def test_a_client_that_cannot_be_written_to_holds_up_no_other():
    """It alone is closed."""
    metrics, broken, slow = Metrics(), Broken(), []
    pump, sockets = Pump(0.001, metrics), [Socket(), broken, Socket()]
    for socket in sockets:
        send_queue = SendQueue(
            socket, pump, grace_s=60, on_slow=lambda socket=socket: slow.append(socket), metrics=metrics
        )
        send_queue.put(b"a")
    await settle(sockets[0])
    await settle(sockets[2])

    assert [broken] == slow


async def test_who_has_shown_no_token_owes_little():
    """What waits and what was not taken count together; with a token, the same is nothing."""
    for trusted, expected in ((False, [1]), (True, [])):
        socket, send_queue, slow, _ = made(trusted=trusted)
        socket.unsent = MOST_BEFORE_AUTH - 10
        send_queue.put(b"x" * 10)
        assert [] == slow
        send_queue.put(b"x")

        assert (expected, trusted) == (slow, socket.is_trusted)
