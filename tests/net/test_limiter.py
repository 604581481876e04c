"""The rate limiter: never more than allowed, nobody forgotten, shared by processes."""

from __future__ import annotations

import asyncio
import fcntl
import heapq
import itertools
import json
import os
import subprocess
import sys
import tempfile
from email.utils import formatdate
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chandlery.core.errors import CacheError, RateLimited, UnsupportedRequest
from chandlery.core.http import RateLimit
from chandlery.core.time import SECOND
from chandlery.net.limiter import SHORTEST_BAN_S, RateLimiter, pause_of

START = 1_700_000_000 * SECOND
HOST = "api.example.org:443"
MINUTE = (RateLimit(100, 60),)


class FakeTime:
    """A clock that stands still until everybody sleeps, then goes on to the next who wakes."""

    def __init__(self, oversleep=()):
        self.now = START
        self._sleepers = []
        self._order = itertools.count()
        self._oversleep = itertools.chain(oversleep, itertools.repeat(0))

    def clock(self):
        """Now."""
        return self.now

    async def sleep(self, seconds):
        """Until the clock gets there, or somewhat longer."""
        woken = asyncio.get_running_loop().create_future()
        wakes = self.now + round((seconds + next(self._oversleep)) * SECOND)
        heapq.heappush(self._sleepers, (wakes, next(self._order), woken))
        await woken

    async def run(self, *coroutines):
        """What each returns or raises."""
        tasks = [asyncio.ensure_future(each) for each in coroutines]
        while not all(task.done() for task in tasks):
            for _ in range(5):
                await asyncio.sleep(0)
            if self._sleepers and not all(task.done() for task in tasks):
                wakes, _, woken = heapq.heappop(self._sleepers)
                self.now = max(self.now, wakes)
                if not woken.done():
                    woken.set_result(None)
        return await asyncio.gather(*tasks, return_exceptions=True)


def most_in_a_window(uses, length):
    """The greatest weight of any ``[t, t + length)``; it begins at a use."""
    return max(
        (sum(weight for at, weight in uses if start <= at < start + length) for start, _ in uses),
        default=0,
    )


ASKS = st.lists(
    st.tuples(st.floats(0, 20), st.integers(1, 10), st.booleans(), st.none() | st.floats(0, 30)), max_size=40
)
LIMITS = st.lists(st.builds(RateLimit, st.integers(10, 40), st.sampled_from([1, 7.5, 60])), min_size=1, max_size=3)


@settings(max_examples=80)
@given(asks=ASKS, limits=LIMITS, oversleep=st.lists(st.floats(0, 3), max_size=20))
def test_no_window_ever_holds_more_than_the_limit(asks, limits, oversleep):
    """Whoever asks, gives up or oversleeps, with two limiters on one folder: no window exceeds, all are served."""
    fake, uses = FakeTime(oversleep), []
    limits = tuple(limits)

    async def ask(limiter, delay, weight, patience):
        await fake.sleep(delay)
        acquiring = asyncio.ensure_future(limiter.acquire(HOST, limits, weight, max_wait_s=3600))
        if patience is not None:
            acquiring.add_done_callback(lambda _: None)
            giving_up = asyncio.ensure_future(fake.sleep(patience))
            await asyncio.wait({acquiring, giving_up}, return_when=asyncio.FIRST_COMPLETED)
            giving_up.cancel()
            if not acquiring.done():
                acquiring.cancel()
                await asyncio.wait({acquiring})
                return
        await acquiring
        uses.append((fake.now, weight))

    with tempfile.TemporaryDirectory() as folder:
        limiters = [RateLimiter(Path(folder), clock=fake.clock, sleep=fake.sleep) for _ in range(2)]
        ended = asyncio.run(fake.run(*(ask(limiters[second], *rest) for *rest, second in _reordered(asks))))

    assert [None] * len(asks) == ended
    for limit in limits:
        assert most_in_a_window(uses, limit.seconds * SECOND) <= limit.weight


def _reordered(asks):
    return [(delay, weight, patience, second) for delay, weight, second, patience in asks]


@settings(max_examples=40)
@given(weights=st.lists(st.integers(1, 20), min_size=1, max_size=40))
def test_nobody_is_overtaken_and_the_limit_is_used(weights):
    """Served in the order of asking, however light the later ones are; a full budget is not left idle."""
    fake, order = FakeTime(), []

    async def main(folder):
        limiter = RateLimiter(Path(folder), clock=fake.clock, sleep=fake.sleep)

        async def ask(number, weight):
            await limiter.acquire(HOST, (RateLimit(20, 6),), weight, max_wait_s=3600)
            order.append((fake.now, number))

        await fake.run(*(ask(number, weight) for number, weight in enumerate(weights)))

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(folder))

    assert sorted(order) == order
    assert list(range(len(weights))) == [number for _, number in order]
    assert fake.now - START <= (sum(weights) / 11 + 1) * 6.3 * SECOND


@pytest.fixture
def fake():
    return FakeTime()


@pytest.fixture
def limiter(tmp_path, fake):
    return RateLimiter(tmp_path, clock=fake.clock, sleep=fake.sleep)


async def test_the_exchanges_count_wins_where_it_is_greater(limiter, fake):
    """Weight that others used from this address is known after the next answer; a smaller count changes nothing."""
    await limiter.acquire(HOST, MINUTE, 10)
    limiter.observe(HOST, MINUTE, {"x-mbx-used-weight-1m": "5"}, 200)
    limiter.observe(HOST, MINUTE, {"x-mbx-used-weight-1m": "95"}, 200)
    limiter.observe(HOST, MINUTE, {"x-mbx-used-weight-1m": "nonsense"}, 200)

    await limiter.acquire(HOST, MINUTE, 5)
    assert START == fake.now
    with pytest.raises(RateLimited) as raised:
        await limiter.acquire(HOST, MINUTE, 1, max_wait_s=10)
    assert 60 <= raised.value.retry_after_s <= 62


async def test_a_refused_acquire_costs_nothing(limiter, fake):
    """What would take too long is not booked."""
    await limiter.acquire(HOST, MINUTE, 90)
    for _ in range(3):
        with pytest.raises(RateLimited):
            await limiter.acquire(HOST, MINUTE, 11, max_wait_s=1)
    await limiter.acquire(HOST, MINUTE, 10)

    assert START == fake.now


async def test_what_never_fits_is_refused(limiter):
    """A weight above the limit would wait for ever."""
    with pytest.raises(UnsupportedRequest, match="can never be sent"):
        await limiter.acquire(HOST, MINUTE, 101)


async def test_hosts_do_not_hinder_each_other(limiter, fake):
    """Each host and port has its own budget, whatever its name holds."""
    for host in ("a:1", "a:2", "a_1", "../a", "A/1", "ä" * 300):
        await limiter.acquire(host, MINUTE, 100)

    assert START == fake.now


async def test_a_pause_delays_those_who_wait_already(limiter, fake, tmp_path):
    """A Retry-After learnt by one limiter holds for those who had booked an earlier moment with another."""
    other = RateLimiter(tmp_path, clock=fake.clock, sleep=fake.sleep)
    await limiter.acquire(HOST, MINUTE, 100)
    waiting = fake.run(limiter.acquire(HOST, MINUTE, 1, max_wait_s=600))
    other.observe(HOST, (), {"retry-after": "90"}, 429)
    assert [None] == await waiting

    assert START + 90 * SECOND == fake.now
    assert (True, 90.0) == (limiter.waits >= 1, round(limiter.waited_s, 3))


async def test_a_pause_that_comes_while_waiting_is_seen(limiter, fake):
    """Who wakes into a pause waits for its end, or gives up where that takes too long."""

    async def pause():
        await fake.sleep(30)
        limiter.observe(HOST, (), {"retry-after": "50"}, 418)

    await limiter.acquire(HOST, MINUTE, 100)
    ended = await fake.run(
        limiter.acquire(HOST, MINUTE, 1, max_wait_s=100), limiter.acquire(HOST, MINUTE, 1, max_wait_s=70), pause()
    )

    assert [None, RateLimited, None] == [each and type(each) for each in ended]
    assert START + 80 * SECOND == fake.now


@pytest.mark.parametrize("left", [b"", b"\0", b"nonsense" * 100, b"\x05\0\0\0\0\0\0\0\xff\xff\xff\xff\xff"])
async def test_a_damaged_state_is_replaced(limiter, fake, tmp_path, left):
    """Rubbish in the state file costs the memory of what was used, nothing else."""
    await limiter.acquire(HOST, MINUTE, 100)
    (state,) = tmp_path.iterdir()
    state.write_bytes(left)
    await limiter.acquire(HOST, MINUTE, 100)
    with pytest.raises(RateLimited):
        await limiter.acquire(HOST, MINUTE, 100, max_wait_s=1)

    assert START == fake.now


async def test_a_swept_state_is_made_again(limiter, tmp_path, fake):
    """When the temporary folder is cleaned, the limiters meet again in a new file."""
    other = RateLimiter(tmp_path, clock=fake.clock, sleep=fake.sleep)
    await limiter.acquire(HOST, MINUTE, 1)
    await other.acquire(HOST, MINUTE, 1)
    (state,) = tmp_path.iterdir()
    state.unlink()
    await limiter.acquire(HOST, MINUTE, 100)
    with pytest.raises(RateLimited):
        await other.acquire(HOST, MINUTE, 1, max_wait_s=1)


def aged(path):
    """Make the file look as if it had not been written for more than a day."""
    at = path.stat().st_mtime - 86_500
    os.utime(path, (at, at))


async def test_expired_state_is_removed(tmp_path, fake):
    """A limiter that opens a folder removes state of yesterday, except pauses in force and what is not a state."""
    before = RateLimiter(tmp_path, clock=fake.clock, sleep=fake.sleep)
    for host in ("expired", "paused", "young", "locked"):
        await before.acquire(host, MINUTE, 1)
    before.pause("paused", 3 * 86_400)
    (tmp_path / "notes.txt").touch()
    (tmp_path / "damaged.limits").write_bytes(b"x")
    (tmp_path / "elsewhere.limits").symlink_to(tmp_path / "notes.txt")
    for path in tmp_path.iterdir():
        if "young" not in path.name:
            aged(path)
    fake.now += 86_500 * SECOND
    locked = next(tmp_path.glob("locked*")).open()
    with locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        await RateLimiter(tmp_path, clock=fake.clock, sleep=fake.sleep).acquire("new", MINUTE, 1)

    kept = {path.name.split("-")[0] for path in tmp_path.iterdir()}
    assert {"paused", "young", "locked", "new", "notes.txt", "elsewhere.limits"} == kept


async def test_expired_state_in_use_is_made_again(limiter, tmp_path, fake):
    """A limiter whose state was removed meets the others in a new file."""
    await limiter.acquire(HOST, MINUTE, 1)
    for path in tmp_path.iterdir():
        aged(path)
    fake.now += 86_500 * SECOND
    other = RateLimiter(tmp_path, clock=fake.clock, sleep=fake.sleep)
    await other.acquire("another", MINUTE, 1)
    assert ["another"] == [path.name.split("-")[0] for path in tmp_path.iterdir()]
    await limiter.acquire(HOST, MINUTE, 100)
    with pytest.raises(RateLimited):
        await other.acquire(HOST, MINUTE, 1, max_wait_s=1)


async def test_expired_state_is_removed_in_small_steps(tmp_path, fake):
    """However much there is, a limiter opens the folder quickly; later ones remove the rest."""
    for number in range(50):
        path = tmp_path / f"{number}.limits"
        path.touch()
        aged(path)
    left = []
    for _ in range(3):
        await RateLimiter(tmp_path, clock=fake.clock, sleep=fake.sleep).acquire("new", MINUTE, 1)
        left.append(len(list(tmp_path.iterdir())) - 1)

    assert [30, 10, 0] == left


async def test_a_clock_set_back_does_not_block_for_ever(limiter, fake):
    """What was booked more than an hour ahead of the clock is forgotten."""
    await limiter.acquire(HOST, MINUTE, 100)
    fake.now -= 7200 * SECOND
    await limiter.acquire(HOST, MINUTE, 100, max_wait_s=1)


async def test_without_a_folder_it_says_so(tmp_path):
    """State that cannot be kept is an error that names the way out."""
    (tmp_path / "file").touch()

    with pytest.raises(CacheError, match="state_dir"):
        await RateLimiter(tmp_path / "file" / "below").acquire(HOST, MINUTE)


async def test_the_default_is_private_to_the_user():
    """Without a folder of its own, state lies in one that only this user may enter."""
    await RateLimiter().acquire("test.invalid:1", MINUTE)
    folder = Path(tempfile.gettempdir()) / f"chandlery-{os.getuid()}"

    assert 0o700 == folder.stat().st_mode & 0o777


_HAMMER = """
import asyncio, json, sys, time
from pathlib import Path
from chandlery.core.http import RateLimit
from chandlery.net.limiter import RateLimiter

async def main():
    limiter, uses = RateLimiter(Path(sys.argv[1])), []
    async def ask():
        await limiter.acquire("host:1", (RateLimit(30, 0.6),), 1)
        uses.append(time.time())
    print("ready", flush=True)
    sys.stdin.readline()
    await asyncio.gather(*(ask() for _ in range(60)))
    print(json.dumps(uses))

asyncio.run(main())
"""


def test_two_processes_together_keep_the_limit(tmp_path):
    """Two processes that ask as fast as they can are served 120 in all, never more than 30 in a window."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _HAMMER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in processes:
        assert "ready\n" == process.stdout.readline()
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    uses = [at for process in processes for at in json.loads(process.communicate(timeout=30)[0])]

    assert 120 == len(uses)
    # The moments are noted after the limiter's decision; a busy machine may take its time between.
    assert most_in_a_window([(at, 1) for at in uses], 0.55) <= 30


def test_a_forked_child_takes_turns_with_its_parent(tmp_path):
    """After a fork the state is opened anew: a lock inherited with its descriptor would keep nobody out."""
    limiter = RateLimiter(tmp_path)
    asyncio.run(limiter.acquire(HOST, MINUTE, 60))
    inherited = limiter._file(HOST)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        opened = limiter._file(HOST)
        with inherited.open() as budget:
            fresh = opened is not inherited and sum(budget.windows[0].used.values()) == 60
        os.write(writing, b"y" if fresh else b"n")
        os._exit(0)
    os.waitpid(child, 0)

    assert b"y" == os.read(reading, 1)
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        (200, "5", None),
        (503, "5", None),
        (429, "5", 5),
        (429, "0", 0),
        (429, "-3", 0),
        (429, "", None),
        (429, "nan", None),
        (429, "inf", None),
        (429, "soon", None),
        (418, "", SHORTEST_BAN_S),
        (418, "7", 7),
        (429, formatdate(START // SECOND + 9, usegmt=True), 9),
        (429, formatdate(START // SECOND - 9, usegmt=True), 0),
    ],
)
def test_how_long_to_leave_the_exchange_alone(status, text, expected):
    """Seconds or a date, of 429 and 418 only; a ban without an end lasts two minutes."""
    assert expected == pause_of(status, {"retry-after": text}, START)
