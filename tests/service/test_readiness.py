"""Whether the service says the truth about itself: 503 for its own faults alone, degraded for those of others."""

from __future__ import annotations

import asyncio

import pytest

from chandlery.core.gaps import Span
from chandlery.core.series_id import SeriesId
from chandlery.core.time import SECOND
from chandlery.database.sqlite import FILE_NAME
from chandlery.net.clock import system_clock
from fixtures.service import connected, offline, served
from fixtures.waiting import until

BTC = {"exchange": "binance", "symbol": "BTC/USDT"}
BOOKS = SeriesId.of_book("binance", "BTC/USDT")
EVER = Span(0, 2**60)


async def ready(session):
    """The status of ``/readyz`` and what it says."""
    async with session.get("/readyz") as answer:
        return answer.status, await answer.json(content_type=None)


async def metric(session, name):
    """The lines of a metric, by what stands before the value."""
    async with session.get("/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)}


async def until_ready(session, wanted):
    """What ``/readyz`` says once its status is the ``wanted`` one."""
    async with asyncio.timeout(20):
        while True:
            status, content = await ready(session)
            if status == wanted:
                return content
            await asyncio.sleep(0.02)  # it is asked over the network


@pytest.mark.parametrize("name", ["clock of the snapshots", "keeper of binance BTC/USDT book", "watch of the database"])
async def test_a_task_that_has_ended(sim, tmp_path, name):
    """Not ready until it runs again, which a metric counts."""
    async with served(sim, tmp_path) as (service, session):
        async with session.post("/v1/coins", json={**BTC, "channels": ["book"]}) as answer:
            assert 201 == answer.status
        (task,) = (each for each in asyncio.all_tasks() if each.get_name() == f"chandlery {name}")
        task.cancel()
        await until(lambda: service.supervisor.faults)
        status, content = await ready(session)
        assert (503, "not_ready") == (status, content["code"])
        assert f"the task {name!r} has ended: it was cancelled" in content["detail"]
        assert {"chandlery_ready": 0} == await metric(session, "chandlery_ready")
        assert {"status": "ok"} == await until_ready(session, 200)
        assert {f'chandlery_task_restarts_total{{task="{name}"}}': 1} == await metric(
            session, "chandlery_task_restarts_total"
        )
        await until(lambda: "running" == service.collection.list_coins()[0].channels[0].state)


async def test_a_deleted_database(sim, tmp_path):
    """Not ready, what would have to be written is refused; put back, it is ready again by itself."""
    async with served(sim, tmp_path) as (_, session):
        file = tmp_path / "data" / FILE_NAME
        file.rename(tmp_path / "moved")
        status, content = await ready(session)
        assert 503 == status
        assert "deleted or replaced" in content["detail"]
        async with session.post("/v1/coins", json=BTC) as answer:
            assert 503 == answer.status
        (tmp_path / "moved").rename(file)
        assert {"status": "ok"} == await until_ready(session, 200)
        async with session.post("/v1/coins", json=BTC) as answer:
            assert 201 == answer.status


async def test_an_exchange_that_is_away_is_one_gap_and_no_fault_of_the_service(tmp_path):
    """Ready and degraded, with the reasons; the state and the metrics say so; the outage is one gap that grows."""
    async with (
        offline("binance_spot") as first,
        served(first, tmp_path) as (service, session),
        connected(session) as client,
    ):
        await client.say("subscribe", channel="book", **BTC)
        await client.until("realtime_data")
        (stream_supervisor,) = service.collection.stream_supervisors()
        await until(lambda: stream_supervisor.last_snapshot)
        assert (200, {"status": "ok"}) == await ready(session)
        before = stream_supervisor.gaps
        await first.__aexit__(None, None, None)
        await until(lambda: stream_supervisor.status().state != "running")
        lost = system_clock()
        await until(lambda: system_clock() - lost > 5 * SECOND)

        status, content = await ready(session)
        assert (200, "degraded") == (status, content["status"])
        (reason,) = content["reasons"]
        assert reason.startswith("binance BTC/USDT book is ")
        async with session.get("/v1/coins") as answer:
            ((channel,),) = [coin["channels"] for coin in (await answer.json())["coins"]]
        assert channel["state"] != "running"
        assert reason.endswith(channel["error"])
        assert 0.0 in (await metric(session, "chandlery_stream_running{")).values()
        (gap,) = [each for each in await service.gaps.find(BOOKS, EVER) if each.end > lost]
        assert gap.end - gap.start > 3 * SECOND
        assert before + 1 == stream_supervisor.gaps
        assert len(client.of("gap")) <= 4
        async with offline("binance_spot", port=first.port):
            assert {"status": "ok"} == await until_content(session, {"status": "ok"})
            stored = stream_supervisor.last_snapshot
            await until(lambda: stream_supervisor.last_snapshot > stored)
            found = [each for each in await service.gaps.find(BOOKS, EVER) if each.end > lost]
        assert 1 == len(found)
        assert before + 1 == stream_supervisor.gaps


async def until_content(session, wanted):
    """What ``/readyz`` says once it is the ``wanted``."""
    async with asyncio.timeout(40):
        while (content := (await ready(session))[1]) != wanted:
            await asyncio.sleep(0.05)  # it is asked over the network
    return content


async def test_a_book_that_cannot_be_stored_is_stale_and_live(sim, tmp_path):
    """As on a full disk: not ready, and live books go on; with room again it goes on by itself, with one gap."""
    async with served(sim, tmp_path) as (service, session), connected(session) as client:
        await client.say("subscribe", channel="book", **BTC)
        await client.until("realtime_data")
        (stream_supervisor,) = service.collection.stream_supervisors()
        await until(lambda: stream_supervisor.last_snapshot)
        file = tmp_path / "data" / FILE_NAME
        file.rename(tmp_path / "moved")
        await until(lambda: "stale" == stream_supervisor.status().state)
        (channel,) = service.collection.list_coins()[0].channels
        assert "deleted or replaced" in channel.error
        await until_ready(session, 503)
        messages = len(client.of("realtime_data"))
        while len(client.of("realtime_data")) < messages + 20:
            await client.next()
        assert 0 == stream_supervisor.failures
        (tmp_path / "moved").rename(file)
        assert {"status": "ok"} == await until_content(session, {"status": "ok"})
        assert "running" == stream_supervisor.status().state
        assert None is stream_supervisor.error
        await until(lambda: not stream_supervisor._gaps)
        assert 1 == len(
            [each for each in await service.gaps.find(BOOKS, EVER) if "could not be stored" in each.evidence]
        )
