"""``chandlery serve --offline`` as a process of its own, which may be killed."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from contextlib import asynccontextmanager

import aiohttp

START_TIMEOUT_S = 60
_COMMAND = [sys.executable, "-c", "from chandlery.cli import main; main()"]


async def command(*args, **options):
    """Start a command line."""
    return await asyncio.create_subprocess_exec(*_COMMAND, *map(str, args), env=dict(os.environ), **options)


async def output_of(*args):
    """The exit code and the output of a command line."""
    child = await command(*args, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(START_TIMEOUT_S):
        out, _ = await child.communicate()
    return child.returncode, out.decode()


class ServingProcess:
    """A running service: its process id, its URL, and a session of a client."""

    def __init__(self, child, url, session):
        self.pid = child.pid
        self.url = url
        self.session = session
        self._child = child

    async def kill(self):
        """End it with no warning, as a power cut would."""
        self._child.kill()
        await self._child.wait()

    @property
    def ended(self):
        """The exit code; ``None`` while it runs."""
        return self._child.returncode

    async def get(self, path, **query):
        """Status and content of an answer."""
        async with self.session.get(path, params=query) as answer:
            return answer.status, json.loads(await answer.read())

    async def channels(self):
        """How the streams are doing, by symbol and channel."""
        _, content = await self.get("/v1/coins")
        return {(coin["symbol"], each["channel"]): each for coin in content["coins"] for each in coin["channels"]}

    async def until(self, condition, timeout_s=30):
        """Wait until something holds that has to be asked for."""
        async with asyncio.timeout(timeout_s):
            while not (found := await condition()):
                await asyncio.sleep(0.05)
        return found

    async def until_running(self):
        """Wait until every stream runs."""

        async def running():
            found = await self.channels()
            return found and all(each["state"] == "running" for each in found.values())

        await self.until(running)


@asynccontextmanager
async def serving_process(data_dir, *args, exchange=("--offline",), port=0, descriptors=None):
    """
    A service over the built-in offline exchange, or as ``exchange`` says; it does not outlive the block.

    It may open so many ``descriptors``, where that is said.
    """

    def limit():
        if descriptors is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    with (data_dir.parent / "serve.log").open("ab") as log:
        options = ("--port", port, "--data-dir", data_dir, *args)
        streams = {"stdout": asyncio.subprocess.PIPE, "stderr": log}
        child = await command("serve", *exchange, *options, **streams, preexec_fn=limit)
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            url = (await child.stdout.readline()).decode().strip()
        assert url, (data_dir.parent / "serve.log").read_text()[-2000:]
        async with aiohttp.ClientSession(url) as session:
            yield ServingProcess(child, url, session)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
        child._transport.close()
