"""Requests that are cancelled at any moment close no descriptor but their own."""

from __future__ import annotations

import asyncio
import os
import random
import socket

import pytest
import uvloop

from chandlery.core.errors import ChandleryError
from chandlery.core.http import Request
from chandlery.database.sqlite import FILE_NAME, SqliteDatabase
from chandlery.net.http import HttpClient
from chandlery.net.limiter import RateLimiter
from chandlery.sim.server import running


class Held:
    """Files and sockets that are opened and closed meanwhile; each must be what it was, as long as it is open."""

    def __init__(self, folder, dice):
        self.folder, self.dice = folder, dice
        self.files = {}
        self.lost = []

    def turn(self):
        """Look at some, close some, open others, which take the numbers that have become free."""
        for descriptor, (held, inode) in list(self.files.items()):
            try:
                same = os.fstat(descriptor).st_ino == inode
            except OSError:
                same = False
            if not same:
                self.lost.append(descriptor)
            if not same or self.dice.random() < 0.3:
                del self.files[descriptor]
                if same:
                    held.close()
        while len(self.files) < 20:
            held = socket.socket() if self.dice.random() < 0.5 else (self.folder / "file").open("ab")
            self.files[held.fileno()] = held, os.fstat(held.fileno()).st_ino

    def close(self):
        """Close them all."""
        for held, _ in self.files.values():
            held.close()


async def cancelled(url, folder, count):
    """How many of so many requests were cut off, and the descriptors that were closed under their owners."""
    dice = random.Random(7)
    held, cut = Held(folder, dice), 0
    async with SqliteDatabase(folder / FILE_NAME) as database:
        await database.write(("CREATE TABLE IF NOT EXISTS numbers (number)", [()]))
        for number in range(count // 20):
            # A new client each time, so that every request makes a connection.
            async with HttpClient(limiter=RateLimiter(folder / "limits"), retry_count=0) as http:
                tasks = [asyncio.create_task(http.send(Request(f"{url}/binance_spot/api/v3/time"))) for _ in range(20)]
                for task in tasks:
                    await asyncio.sleep(dice.random() * 0.0004)  # the moment is what is tested
                    held.turn()
                    task.cancel()
                answers = await asyncio.gather(*tasks, return_exceptions=True)
            cut += sum(isinstance(each, asyncio.CancelledError) for each in answers)
            assert [] == [each for each in answers if isinstance(each, ChandleryError)]
            await database.write(("INSERT INTO numbers VALUES (?)", [(number,)]))
        held.turn()
        stored = await database.read("SELECT count(*) FROM numbers")
        assert [] == await database.check()
    held.close()
    assert [(count // 20,)] == stored
    return cut, held.lost


@pytest.mark.parametrize(
    "count", [400, pytest.param(40_000, marks=[pytest.mark.soak, pytest.mark.timeout(900)])], ids=["short", "long"]
)
def test_cancelled_requests_leave_others_descriptors_alone(count, tmp_path):
    """Under uvloop, as the synchronous face runs; sockets, files and a database are used meanwhile."""
    with running(weight_limit=10**9) as exchange, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        cut, lost = runner.run(cancelled(f"http://127.0.0.1:{exchange.port}", tmp_path, count))

    assert [] == lost
    assert cut > count / 4
