"""Ten minutes of everything at once; what came of it is printed as a table."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter

import aiohttp
import numpy as np
import pytest

from chandlery.core.gaps import Span
from chandlery.core.series_id import SeriesId
from chandlery.core.time import SECOND, iso
from chandlery.database.books import RawDataRepositoryImpl
from chandlery.database.candles import CandleRepository
from chandlery.database.checkup import problems
from chandlery.database.gaps import GapRepository
from chandlery.database.series_ids import SeriesIds, always
from chandlery.database.sqlite import FILE_NAME, SqliteDatabase
from chandlery.sim.server import running
from chandlery.tables.frame import open_times
from fixtures.hostile_clients import (
    EVERY_S,
    MARKET,
    Crowd,
    Seen,
    Target,
    account_of,
    coins,
    full,
    locked,
    stopped,
    strike,
    token_of,
)

EVER = Span(0, 2**60)
MIB = 1 << 20


async def faults_on_all_sides(target, lasts_s, table):
    """One after the other, spread over the time: what it was, and how long the service took to be ready again."""

    async def held(name, block, seconds, expected):
        async with block:
            await asyncio.sleep(seconds - 5)
            status, _ = await asyncio.gather(target.readyz(), asyncio.sleep(5))
        table.append((name, f"{seconds} s", f"/readyz {status}; ready again after {await target.until_ready():.1f} s"))
        assert expected == status, name

    pause_s = (lasts_s - 70) / 7
    for number in range(3):
        await asyncio.sleep(pause_s)
        begun = time.monotonic()
        await target.kill()
        up_s, ready_s = time.monotonic() - begun, await target.until_ready()
        table.append((f"kill -9, number {number + 1}", "1", f"ready again after {up_s + ready_s:.1f} s"))
        await asyncio.sleep(pause_s)
        if number == 0:
            await held("database locked by another process", locked(target.data_dir), 20, 503)
        elif number == 1:
            await held("no file can grow, as on a full disk", full(target.process.pid), 20, 503)
        else:
            await held("SIGSTOP", stopped(target), 30, None)
    await asyncio.sleep(pause_s)


async def stored(database, origin, exchange, symbol):
    """The candles' closes by open in milliseconds, the moments of the order books, and the gaps of these."""
    series = SeriesId.parse(exchange, symbol, "candles:1m")
    table = await CandleRepository(SeriesIds(database, origin)).table(series, EVER, 100_000)
    candles = dict(zip((open_times(table) // 1000).tolist(), table.column("close").to_pylist(), strict=True))
    entries = await RawDataRepositoryImpl(SeriesIds(database, origin)).find_by_range(
        symbol, 0, 2**60, 100_000, exchange=exchange
    )
    gaps = await GapRepository(SeriesIds(database, origin)).find(SeriesId.of_book(exchange, symbol), EVER)
    return candles, [entry.timestamp for entry in entries], gaps


async def check_file(data_dir, seen):
    """Nothing that was answered or published is lost, and every moment has its order book or lies in a gap."""
    origin, counts = always(MARKET.origin), Counter()
    async with SqliteDatabase(data_dir / FILE_NAME) as database:
        assert [] == await problems(database)
        for exchange, symbol in coins():
            candles, books, gaps = await stored(database, origin, exchange, symbol)
            told, answered = seen.candles.get((exchange, symbol), {}), seen.books.get((exchange, symbol), set())
            assert {} == {at: close for at, close in told.items() if candles.get(at) != close}, (exchange, symbol)
            assert set() == answered - {iso(at) for at in books}, (exchange, symbol)
            moments, known = range(books[0], books[-1], EVERY_S * SECOND), set(books)
            lacking = [at for at in moments if at not in known]
            holes = [iso(at) for at in lacking if not any(gap.start < at <= gap.end for gap in gaps)]
            assert [] == holes, (exchange, symbol)
            opened = sorted(candles)
            assert opened == list(range(opened[0], opened[-1] + 1, 60_000)), (exchange, symbol)
            counts.update(
                candles=len(candles), told=len(told), books=len(books), answered=len(answered), moments=len(moments)
            )
            counts.update(lacking=len(lacking), gaps=len(gaps))
    return counts


def flat(samples, settle_s):
    """How much memory (in bytes) and how many descriptors the last life has at its end more than after ``settle_s``."""
    begun = samples[0][0]
    after = [each for each in samples if each[0] - begun > settle_s]
    early, late = after[: len(after) // 3], after[-len(after) // 3 :]
    return [float(np.median([each[at] for each in late]) - np.median([each[at] for each in early])) for at in (1, 2)]


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("lasts_s", [600])
async def test_everything_at_once(tmp_path, lasts_s, capsys):
    """A hundred coins, two hundred clients, and faults on all sides: the service lives, loses nothing and says what it lacks."""
    dice, seen, table = random.Random(7), Seen(), []
    (tmp_path / "data").mkdir()
    accounts = [await account_of(tmp_path / "data", f"client {number}", "read", "collect") for number in range(5)]
    # No more messages a second than one core of a small machine makes for so many coins.
    with running(MARKET, tick_s=0.5, weight_limit=10**9) as sim:
        target = Target(tmp_path / "data", sim.endpoints)
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(target.run())
            await target.up()
            async with aiohttp.ClientSession(target.host) as session:
                tokens = [await token_of(session, each) for each in accounts]
                for exchange, symbol in coins():
                    coin = {"exchange": exchange, "symbol": symbol}
                    headers = {"Authorization": f"Bearer {tokens[0]}"}
                    async with session.post("/v1/coins", json=coin, headers=headers) as answer:
                        assert 201 == answer.status, await answer.text()
            crowd = [tasks.create_task(each) for each in Crowd(target, seen, tokens, dice).clients()]
            striking = tasks.create_task(strike(sim.faults, dice))
            await faults_on_all_sides(target, lasts_s, table)
            striking.cancel()
            sim.faults.clear()
            await asyncio.sleep(20)  # so that the last order books are stored
            grown, descriptors = flat(target.samples, min(60, lasts_s / 20))
            for each in crowd:
                each.cancel()
            serving.cancel()
        counts = await check_file(target.data_dir, seen)

    p50, p99, worst = np.percentile(seen.took_s, [50, 99, 100])
    with capsys.disabled():
        print(f"\n{'fault':40} {'times':>8}  what came of it")  # noqa: T201  # the figures of a long run
        for name, times, outcome in table:
            print(f"{name:40} {times:>8}  {outcome}")  # noqa: T201
        print(f"{'lives of the service':40} {target.lives:8}  none ended by itself")  # noqa: T201
        for name, times in sorted(seen.hostile.items()):
            print(f"{'hostile client: ' + name:40} {times:8}  refused, or cancelled")  # noqa: T201
        print(dict(counts), dict(seen.answers))  # noqa: T201
        print(  # noqa: T201
            f"memory {grown / MIB:+.1f} MiB, descriptors {descriptors:+.0f} in the last life; "
            f"honest requests: {len(seen.took_s)}, median {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, worst {worst:.2f} s"
        )
    assert 4 == target.lives
    assert min(counts["told"], counts["answered"]) > 0
    assert [] == [each for each in seen.answers if each.startswith("5") and not each.startswith("503")]
    assert (grown < 64 * MIB, abs(descriptors) < 64) == (True, True)
