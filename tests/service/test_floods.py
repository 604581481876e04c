"""Strangers cannot fill the memory of the service, nor keep others out, with 256 descriptors."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import aiohttp
import pytest

from fixtures.floods import FLOODS, Honest, Memory, flood
from fixtures.processes import output_of, serving_process

MOST_GROWTH = 64
"""MiB."""
DESCRIPTORS = 256


@asynccontextmanager
async def flooded(tmp_path):
    """A service with few descriptors, which has answered once, and an honest client of it."""
    data_dir = tmp_path / "data"
    async with serving_process(data_dir, descriptors=DESCRIPTORS) as service:
        _, told = await output_of("auth", "create-client", "bot", "--scope", "read", "--data-dir", data_dir, "--json")
        login = {"grant_type": "client_credentials", **json.loads(told)}
        async with service.session.post("/token", data=login) as answer:
            token = (await answer.json())["access_token"]
        honest = Honest(service.url, token)
        await honest.ask()
        yield service, honest


async def measured(service, honest, name, scale, settle_s):
    """A row of the table: peak growth, growth that stays, and what the honest client saw."""
    memory = Memory(service.pid)
    honest.worst, honest.count, honest.failed = 0.0, 0, []
    async with memory.watched(), honest.asking():
        await flood(name, service.url, scale)
    for _ in range(int(settle_s / 0.2)):
        if memory.now() - memory.before < MOST_GROWTH / 4:
            break
        await asyncio.sleep(0.2)
    return memory.growth, memory.now() - memory.before, honest.count, honest.worst, list(honest.failed)


def told(rows):
    """The table."""
    lines = [f"{'flood':28} {'peak MiB':>9} {'after':>7} {'asked':>6} {'worst s':>8}"]
    lines += [
        f"{name:28} {peak:9.1f} {after:7.1f} {asked:6} {worst:8.2f}" for name, (peak, after, asked, worst, _) in rows
    ]
    return "\n".join(lines)


async def flooded_by(tmp_path, names, scale, settle_s=5):
    """The rows of floods, one after the other on one service, which is well after them."""
    async with flooded(tmp_path) as (service, honest):
        rows = [(name, await measured(service, honest, name, scale, settle_s)) for name in names]
        async with aiohttp.ClientSession() as session, session.get(f"{service.url}/readyz") as answer:
            assert 200 == answer.status
    print(f"\n{told(rows)}")  # noqa: T201  # the figures of the run
    assert "Traceback" not in (tmp_path / "serve.log").read_text()
    assert (tmp_path / "serve.log").stat().st_size < 100_000
    return rows


def judged(rows):
    """What of a table should not be."""
    return [
        (name, row)
        for name, row in rows
        if row[0] > MOST_GROWTH or row[1] > MOST_GROWTH / 2 or row[3] > 5 or row[4] or row[2] < 1
    ]


@pytest.mark.parametrize("names", [("200 MB to /v1/coins", "200 MB to /token, in parts", "pipelined requests", "sockets that do not read", "many connections")])  # fmt: skip
async def test_floods(tmp_path, names):
    """Memory stays, and an honest client is answered meanwhile; the long run has more of them, and larger ones."""
    assert [] == judged(await flooded_by(tmp_path, names, 1))


@pytest.mark.soak
@pytest.mark.timeout(1_800)
async def test_all_floods(tmp_path):
    """Each of them at twice the size."""
    assert [] == judged(await flooded_by(tmp_path, FLOODS, 2, settle_s=30))
