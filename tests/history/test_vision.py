"""The archive client by itself."""

from __future__ import annotations

import asyncio
import hashlib
import io
import zipfile
from datetime import UTC, datetime

import pytest
from aiohttp import web

from chandlery.core.errors import IncompleteData, InvalidRange, NotFound
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.provenance import EventKind
from chandlery.core.time import DAY
from chandlery.history.interfaces import Resources
from chandlery.history.plan import ArchiveFile
from chandlery.history.vision import VisionDataClient
from chandlery.net.http import HttpClient
from chandlery.net.portal import shared_portal
from chandlery.sim.faults import Fault, FaultKind
from chandlery.sim.server import SimServer
from fixtures.support import at, micros


@pytest.fixture
async def client(exchange):
    """Hours of BTCUSDT, two files at a time."""
    async with HttpClient(retry_count=1) as http:
        resources = Resources(http, exchange.server.clock, exchange.endpoints, max_concurrent_downloads=2)
        yield VisionDataClient(symbol="BTCUSDT", interval=Interval.HOUR_1, resources=resources)


async def test_a_span_comes_from_the_fewest_files_and_is_cut_to_size(exchange, client):
    """A month and a day; of the last day only what is in the span."""
    got = await client.fetch_span(Span(to_micros(at(2024, 4, 1)), to_micros(at(2024, 5, 1, 12))))

    assert 30 * 24 + 12 == len(got.table)
    assert ["BTCUSDT-1h-2024-04", "BTCUSDT-1h-2024-05-01"] == [each.file for each in got.spans]


async def test_older_files_are_found_by_few_requests(exchange, client):
    """Ever farther back, none of the month in which the series begins, none where there are none."""
    moment, first = (to_micros(at(2024, month, 2)) for month in (4, 5))
    assert to_micros(at(2024, 4, 1)) == await client.earlier(moment, first)
    assert to_micros(at(2024, 3, 1)) == await client.earlier(moment, moment)
    exchange.faults.append(Fault(FaultKind.MISSING_DAY, path=r"\.zip", times=None))
    exchange.server.log.clear()

    assert await client.earlier(moment, first) is None
    assert len(exchange.server.log) <= 8


def test_the_synchronous_fetch_never_leaves_a_silent_hole(exchange):
    """A day that the archive lacks is an error that carries the others, and so is a range without a moment."""
    exchange.faults.append(Fault(FaultKind.MISSING_DAY, path=r"1h-2024-05-02\.zip", times=None))
    resources = Resources(HttpClient(), exchange.server.clock, exchange.endpoints)
    client = VisionDataClient(symbol="BTCUSDT", interval=Interval.HOUR_1, resources=resources)

    with pytest.raises(IncompleteData, match=r"2024-05-02T00:00:00Z, 2024-05-03T00:00:00Z.*no usable file") as caught:
        client.fetch(at(2024, 5, 1), at(2024, 5, 4))
    with pytest.raises(InvalidRange, match="give a later end_time"):
        client.fetch(at(2024, 5, 4), at(2024, 5, 1))

    assert 48 == len(caught.value.data)
    shared_portal().run(resources.http.close())


async def test_what_cannot_be_had_stays_unanswered_with_an_event(exchange, client):
    """One missing day between two that are there."""
    exchange.faults.append(Fault(FaultKind.MISSING_DAY, path=r"1h-2024-05-02\.zip", times=None))

    got = await client.fetch_span(Span(to_micros(at(2024, 5, 1)), to_micros(at(2024, 5, 4))))

    assert 48 == len(got.table)
    assert [at(2024, 5, 1), at(2024, 5, 3)] == [datetime.fromtimestamp(each.start / 1e6, UTC) for each in got.spans]
    assert [EventKind.MISSING_ARCHIVE_FILE] == [event.kind for event in got.events]


async def test_results_come_in_the_order_of_the_files(client):
    """Though later files may arrive first."""
    files = [ArchiveFile(to_micros(at(2024, 5, 1)) + day * DAY, monthly=False) for day in range(9)]
    tables = []

    async def keep(part):
        tables.append(part.table)

    await client.fetch_files(files, keep)

    times = [time for table in tables for time in table["open_time"].to_pylist()]
    assert sorted(times) == times
    assert 9 * 24 == len(times)


async def test_an_archive_that_takes_its_time_is_asked_for_many_files_at_once(exchange):
    """It answers nobody before it has been asked for all nine files and their checksums."""
    asked, all_asked = [], asyncio.Event()

    async def sleep(seconds):
        asked.append(seconds)
        if len(asked) == 18:
            all_asked.set()
        await asyncio.wait_for(all_asked.wait(), 10)

    slow = [Fault(FaultKind.SLOW, path="zip", times=None, seconds=1)]
    async with (
        SimServer(exchange.market, clock=exchange.server.clock, tick_s=None, faults=slow, sleep=sleep) as server,
        HttpClient(retry_count=0) as http,
    ):
        resources = Resources(http, server.clock, server.endpoints)
        client = VisionDataClient(symbol="BTCUSDT", interval=Interval.HOUR_1, resources=resources)
        got = await client.fetch_span(Span(micros(2024, 5, 1), micros(2024, 5, 10)))

    assert 9 * 24 == len(got.table)


async def test_months_of_seconds_that_are_not_there_do_not_wait_for_each_other(client):
    """Each may be so large that only one is held at a time; that none of them comes does not stop the others."""
    seconds = VisionDataClient(symbol="BTCUSDT", interval=Interval.SECOND_1, resources=client.shared)
    files = [ArchiveFile(micros(2016, month, 1), monthly=True) for month in range(1, 5)]
    events = []

    async def keep(part):
        events.extend(part.events)

    await asyncio.wait_for(seconds.fetch_files(files, keep), 20)

    assert [EventKind.MISSING_ARCHIVE_FILE] * 4 == [event.kind for event in events]


async def test_a_file_without_a_checksum_is_not_used(exchange, client):
    """It cannot be proved, so it stays unanswered."""
    exchange.faults.append(Fault(FaultKind.SERVER_ERROR, path=r"05-02\.zip\.CHECKSUM", times=None, status=404))

    got = await client.fetch_span(Span(to_micros(at(2024, 5, 2)), to_micros(at(2024, 5, 3))))

    assert 0 == len(got.table)
    assert [EventKind.BAD_CHECKSUM, EventKind.BAD_CHECKSUM] == [event.kind for event in got.events]
    assert "cannot be verified" in got.events[0].detail


async def test_the_published_checksum_can_be_asked_for(client):
    """As it stands in the archive now; a file that is not there is said not to be."""
    assert 64 == len(await client.checksum(ArchiveFile(to_micros(at(2024, 5, 2)), monthly=False)))
    with pytest.raises(NotFound):
        await client.checksum(ArchiveFile(to_micros(at(2016, 5, 2)), monthly=False))


@pytest.fixture
async def odd():
    """An archive whose every file is a right zip of ``text``, with the checksum ``says`` or the right one."""
    content = {"text": b"", "says": None}

    async def answer(request):
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as archive:
            archive.writestr("a.csv", content["text"])
        right = hashlib.sha256(target.getvalue()).hexdigest()
        if request.path.endswith(".CHECKSUM"):
            return web.Response(text=content["says"] or f"{right}  a.zip")
        return web.Response(body=target.getvalue())

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoints = {"binance_spot": {"archive": f"http://127.0.0.1:{runner.addresses[0][1]}"}}
    async with HttpClient(retry_count=0) as http:
        resources = Resources(http, lambda: micros(2024, 6, 1), endpoints)
        yield VisionDataClient(symbol="BTCUSDT", interval=Interval.HOUR_1, resources=resources), content
    await runner.cleanup()


async def test_a_checksum_that_is_none_proves_nothing(odd):
    """A page in place of a SHA-256, as a proxy may send it."""
    client, content = odd
    content["says"] = "<html>hello</html>"

    got = await client.fetch_span(Span(micros(2024, 5, 1), micros(2024, 5, 2)))

    assert 0 == len(got.table)
    assert {EventKind.BAD_CHECKSUM} == {event.kind for event in got.events}
    assert "contains no SHA-256" in got.events[0].detail


async def test_a_proved_file_may_still_hold_no_candles(odd):
    """It is reported, and its moments stay unanswered."""
    client, content = odd
    content["text"] = b"1,these,are,no,candles\n"

    got = await client.fetch_span(Span(micros(2024, 5, 1), micros(2024, 5, 2)))

    assert [] == list(got.spans)
    assert [EventKind.BAD_ARCHIVE] == [event.kind for event in got.events]
    assert "not a CSV of candles" in got.events[0].detail
