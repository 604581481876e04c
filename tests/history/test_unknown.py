"""A cache of chandlery 0.1, which does not say who filled it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from aiohttp import web

from chandlery import AsyncDataSourceManager
from chandlery.cache import day_file
from chandlery.cache.arrow_cache import UnifiedCacheManager
from chandlery.cache.reading import read_file
from chandlery.cache.series import SeriesKey
from chandlery.core.errors import IncompleteData
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.provenance import EventKind
from chandlery.core.query import ChartType
from chandlery.sim import SyntheticMarket, running
from chandlery.tables.frame import open_times, schema_of
from chandlery.testing import no_waiting
from fixtures.support import at

MADE = Path(__file__).parent.parent / "fixtures" / "version_1" / "cache"
SERIES = "BINANCE/SPOT/KLINES/BTCUSDT/1h"
KEY = SeriesKey.of_folder(SERIES)


@pytest.fixture
def cache_dir(tmp_path):
    """A copy that may be changed."""
    return shutil.copytree(MADE, tmp_path / "cache")


def stored_sums(cache_dir):
    """The SHA-256 by archive file that the old files name."""
    sums = {}
    for _, path in UnifiedCacheManager(cache_dir).files(KEY):
        label, _ = read_file(path, KEY, Span(0, 2**60))
        sums |= {each.file: each.sha256 for each in label.spans if each.file}
    return sums


@pytest.fixture
async def archive():
    """A mirror that knows checksums and nothing else; what was asked of it."""
    sums, asked = {}, []

    async def answer(request):
        asked.append(request.path)
        name = re.search(r"([^/]+)\.zip\.CHECKSUM$", request.path)
        if name is None or name[1] not in sums:
            return web.Response(status=404)
        return web.Response(text=f"{sums[name[1]]}  {name[1]}.zip")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    endpoints = {"binance_spot": {"rest": url, "ws": url, "archive": url, "mirror": True}}

    def manager(cache_dir):
        return AsyncDataSourceManager(
            cache_dir=cache_dir, endpoints=endpoints, clock=lambda: to_micros(at(2024, 6, 1)), retry_count=0
        )

    with no_waiting():
        yield manager, sums, asked
    await runner.cleanup()


async def rows(manager, start, end, interval="1h"):
    """What there is without the exchange, and the account of it."""
    frame = await manager.get_data("BTCUSDT", start, end, interval, on_missing="report")
    return frame, frame.attrs["chandlery"]


async def test_rows_of_the_archive_count_once_its_checksum_proves_them(archive, cache_dir):
    """One small request a file; then they are stored as the exchange's own and nobody asks again."""
    manager, sums, asked = archive
    sums |= stored_sums(cache_dir)
    async with manager(cache_dir) as dsm:
        frame, account = await rows(dsm, at(2024, 1, 1), at(2024, 1, 2))
        first = list(asked)
        asked.clear()
        again, _ = await rows(dsm, at(2024, 1, 1), at(2024, 1, 2))

    assert 24 == len(frame) == len(again)
    assert ["BTCUSDT-1h-2024-01-01"] == [each.file for each in account.spans]
    assert 1 == len(first)
    assert first[0].endswith("BTCUSDT-1h-2024-01-01.zip.CHECKSUM")
    assert [] == asked


async def test_their_gaps_are_not_believed(archive, cache_dir):
    """The rows around a stored halt are there; the halt itself has to be asked for again."""
    manager, sums, _ = archive
    sums |= stored_sums(cache_dir)
    async with manager(cache_dir) as dsm:
        frame, account = await rows(dsm, at(2024, 1, 2), at(2024, 1, 3))

    assert 22 == len(frame)
    assert {True} == {gap.kind.is_failure for gap in account.gaps}
    assert [Span(to_micros(at(2024, 1, 2, 10)), to_micros(at(2024, 1, 2, 12)))] == [gap.span for gap in account.gaps]


async def test_what_is_not_proved_is_ignored_and_stays(archive, cache_dir, caplog):
    """Rows by REST, and files whose checksum is another: an event says so, and one line of the log."""
    manager, sums, _ = archive
    sums |= {"BTCUSDT-1h-2024-01-01": "0" * 64}
    before = {path.name: path.read_bytes() for path in (cache_dir / SERIES).glob("*.arrow")}
    async with manager(cache_dir) as dsm:
        for _ in range(2):
            frame, account = await rows(dsm, at(2024, 1, 1), at(2024, 1, 5))
            assert 0 == len(frame)
            (event,) = [each for each in account.events if each.kind is EventKind.UNKNOWN_ORIGIN]

    assert "4 files of an older release" in event.detail
    assert f"chandlery cache adopt {cache_dir}" in event.detail
    assert before == {path.name: path.read_bytes() for path in (cache_dir / SERIES).glob("*.arrow")}
    assert 1 == len([each for each in caplog.records if each.name == "chandlery.history.unknown"])


async def test_a_file_that_is_proved_in_part(archive, cache_dir):
    """Its rows by REST are not lost: they wait apart until somebody vouches for them."""
    manager, sums, _ = archive
    sums |= stored_sums(cache_dir)
    async with manager(cache_dir) as dsm:
        frame, _ = await rows(dsm, at(2024, 1, 3), at(2024, 1, 4))
        assert 12 == len(frame)
        apart = [each.series for each in dsm.cache.entries() if each.origin == "unknown"]
        adopted = dsm.cache.adopt()
        whole, account = await rows(dsm, at(2024, 1, 3), at(2024, 1, 4))

    assert [f"@unknown/{SERIES}"] == apart
    assert 4 == adopted.files
    assert 24 == len(whole)
    assert ["rest", "vision"] == [each.source for each in account.spans]


async def test_adopting_takes_rows_and_neither_gaps_nor_candles_of_three_days(archive, cache_dir):
    """Everything is the exchange's own then; nothing is left that says nothing, but for the wrong grid."""
    manager, _, asked = archive
    async with manager(cache_dir) as dsm:
        assert 6 == dsm.cache.verify().unknown
        adopted = dsm.cache.adopt()
        frame, account = await rows(dsm, at(2024, 1, 1), at(2024, 1, 5))
        assert all("CHECKSUM" not in path or "01-02" in path for path in asked)
        three_days, _ = await rows(dsm, at(2024, 1, 2), at(2024, 1, 6), "3d")
        left = dsm.cache.verify()

    assert (4, 94) == (adopted.files, adopted.rows)
    assert 94 == len(frame)
    assert 1 == len(account.gaps)
    assert 0 == len(three_days)
    assert (2, True) == (left.unknown, left.ok)
    assert Interval.DAY_3.slug in {each.parts[-1] for each in dsm.cache.entries() if each.unknown}


@pytest.mark.parametrize("adopts", [False, True])
async def test_a_running_candle_that_was_stored_as_closed_is_never_returned(cache_dir, adopts):
    """While it runs there is none; once it has closed it is the exchange's, whatever 0.1 had stored of it."""
    file = cache_dir / "BINANCE/SPOT/KLINES/BTCUSDT/3d/2024-01-06.arrow"
    label, stored = day_file.parse(file.read_bytes(), "BINANCE/SPOT/KLINES/BTCUSDT/3d", schema_of(ChartType.KLINES))
    assert [to_micros(at(2024, 1, 7))] == open_times(stored).tolist()
    assert label.spans[0].fetched_at < to_micros(at(2024, 1, 10))
    if adopts:
        UnifiedCacheManager(cache_dir).adopt()
    moments = {at(2024, 1, 9, 12): [1, 4], at(2024, 1, 9, 13): [1, 4], at(2024, 1, 10, 1): [1, 4, 7]}
    clock = [0]
    with running(SyntheticMarket(8), exchanges=["binance_spot"], clock=lambda: clock[0], tick_s=None) as sim:
        own = {name: {**urls, "mirror": True} for name, urls in sim.endpoints.items()}
        for urls in own.values():
            del urls["origin"]
        for now, opens in moments.items():
            clock[0] = to_micros(now)
            async with AsyncDataSourceManager(cache_dir=cache_dir, endpoints=own, clock=lambda: clock[0]) as dsm:
                frame = await dsm.get_data("BTCUSDT", at(2024, 1, 1), now, "3d")
                account = frame.attrs["chandlery"]

            assert opens == [each.day for each in frame.index]
            assert 7.0 not in set(frame["close"])
            assert () == account.gaps


async def test_another_origin_does_not_see_them(archive, cache_dir):
    """What 0.1 stored is nobody's but, perhaps, the exchange's."""
    _, _, asked = archive
    url = {"rest": "http://127.0.0.1:9", "archive": "http://127.0.0.1:9"}
    async with AsyncDataSourceManager(
        cache_dir=cache_dir, endpoints={"binance_spot": url}, clock=lambda: to_micros(at(2024, 6, 1)), retry_count=0
    ) as dsm:
        with pytest.raises(IncompleteData) as failed:
            await dsm.get_data("BTCUSDT", at(2024, 1, 1), at(2024, 1, 2), "1h")

    assert 0 == len(failed.value.data)
    assert [] == asked
