"""What the service says of itself."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from chandlery.cli.app import app

SECRET = "S3cret-0123456789"

CODE = """
import logging
from chandlery.service.logs import configure
configure({form!r})
logging.getLogger("chandlery.x").warning("about %s", "it")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("chandlery.x").exception("failed")
logging.getLogger("uvicorn.error").info("noise")
"""


FAILING = """
import asyncio, logging, sys
import aiohttp
from fastapi import FastAPI, Request
from chandlery.service import logs
from chandlery.service.web.server import listening, serving

logs.configure({form!r}, logging.DEBUG)
app = FastAPI()

@app.get("/")
async def fail(request: Request):
    token = request.headers["Authorization"]
    raise RuntimeError("it failed")

async def work(token):
    raise RuntimeError("the task failed")

async def main(secret):
    bound = listening("127.0.0.1", 0)
    url = "http://127.0.0.1:%d/" % bound.getsockname()[1]
    async with serving(app, bound), aiohttp.ClientSession() as session:
        async with session.get(url, headers={{"Authorization": secret}}) as answer:
            assert answer.status == 500
    task = asyncio.create_task(work(secret))
    await asyncio.wait({{task}})
    del task  # asyncio logs the error that nobody has asked for
    try:
        await work(secret)
    except RuntimeError:
        logging.getLogger("chandlery.x").exception("failed")

asyncio.run(main(sys.stdin.read()))
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_tracebacks_hold_no_local_variables(form):
    """Neither ours, nor the server's, nor the event loop's: a token in a variable is not in the log."""
    done = subprocess.run(
        [sys.executable, "-c", FAILING.format(form=form)], input=SECRET, capture_output=True, text=True, check=True
    )

    assert 3 <= done.stderr.count("Traceback (most recent call last)")
    assert "it failed" in done.stderr
    assert "the task failed" in done.stderr
    assert SECRET not in done.stderr
    assert len(done.stderr) < 20_000


def test_the_command_line_prints_no_local_variables():
    """None of its parts, wherever one is started by itself."""
    groups = [app, *(group.typer_instance for group in app.registered_groups)]

    assert [False] * 4 == [each.pretty_exceptions_show_locals for each in groups]


@pytest.mark.parametrize("form", ["json", "console"])
def test_forms(form):
    """On stderr, a line each; as JSON with the traceback in it."""
    done = subprocess.run([sys.executable, "-c", CODE.format(form=form)], capture_output=True, text=True, check=True)

    assert not done.stdout
    assert "noise" not in done.stderr
    assert "ZeroDivisionError" in done.stderr
    if form == "json":
        first, second = map(json.loads, done.stderr.splitlines())
        assert ("about it", "warning", "chandlery.x") == (first["event"], first["level"], first["logger"])
        assert "Traceback" in second["exception"]
