"""Connections are taken as long as there is room."""

from __future__ import annotations

import asyncio
import resource
import socket

import pytest
from fastapi import FastAPI

from chandlery.service.refusals import Refusals
from chandlery.service.web.connections import Connections
from chandlery.service.web.limits import Edge
from chandlery.service.web.server import listening, serving
from fixtures.raw_socket import answer, head, said
from fixtures.waiting import until


def application(edge):
    """Says that it is here."""
    app = FastAPI()
    app.state.edge = edge
    app.get("/")(lambda: "here")
    return app


async def test_where_all_places_are_taken():
    """Who comes is told so by a problem, and gets in when somebody has left."""
    refusals = Refusals()
    edge = Edge(Connections(4, everybody=True), refusals)
    with listening("127.0.0.1", 0) as bound:
        async with serving(application(edge), bound):
            streams = [await asyncio.open_connection(*bound.getsockname()) for _ in range(4)]
            await until(lambda: edge.connections.count == 4)
            reader, writer = await asyncio.open_connection(*bound.getsockname())
            status, headers, _ = await answer(reader)
            assert (503, "1") == (status, headers["retry-after"])
            writer.close()
            for _, each in streams:
                each.close()
            await until(lambda: edge.connections.count == 0)
            reader, writer = await asyncio.open_connection(*bound.getsockname())
            writer.write(head())
            assert 200 == (await answer(reader))[0]
            writer.close()

    assert {"connections": 1} == refusals.counts


@pytest.fixture
def few_descriptors():
    """This process may open only a few more files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield lambda count: resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_where_descriptors_run_out(few_descriptors):
    """Others may have opened them all: who is idle without a token goes, and who comes waits until there are some again."""
    refusals = Refusals()
    edge = Edge(Connections(1_000), refusals)
    with listening("127.0.0.1", 0) as bound, socket.socket() as client:
        client.setblocking(False)
        async with serving(application(edge), bound):
            idle, idle_writer = await asyncio.open_connection(*bound.getsockname())
            await until(lambda: edge.connections.count == 1)
            few_descriptors(client.fileno())
            await asyncio.get_running_loop().sock_connect(client, bound.getsockname())
            await until(lambda: refusals.counts["descriptors"])
            assert b"" == await said(idle)
            idle_writer.close()
            few_descriptors(1_000)
            reader, writer = await asyncio.open_connection(sock=client)
            writer.write(head())
            assert 200 == (await answer(reader))[0]
            writer.close()
