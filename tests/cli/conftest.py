"""The offline exchange, and the command line both in a process of its own and in this one."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import pytest

from chandlery.cli.app import run
from chandlery.sim.server import running
from fixtures.support import listing

# Whoever started the tests may have them ignore Ctrl-C, which their children inherit.
COMMAND = [
    sys.executable,
    "-c",
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from chandlery.cli import main; main()",
]


@pytest.fixture(scope="module")
def _served():
    with running(listing("MSFT")) as sim:
        yield sim


@pytest.fixture
def exchange(_served, monkeypatch):
    """The offline exchange, without faults, under ``CHANDLERY_ENDPOINTS``."""
    monkeypatch.setenv("CHANDLERY_ENDPOINTS", json.dumps(_served.endpoints))
    _served.faults.clear()
    _served.log.clear()
    yield _served
    _served.faults.clear()


@pytest.fixture
def chandlery(capsys):
    """Runs a command line in this process: exit code, stdout, stderr."""

    def call(*args):
        root = logging.getLogger()
        handlers, level = root.handlers, root.level
        try:
            code = run([str(arg) for arg in args])
        finally:
            # ``serve`` configures the log of the process, whose standard error is another one in the next test.
            root.handlers = handlers
            root.setLevel(level)
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def process():
    """Starts a command line as a process of its own, which Ctrl-C reaches; it does not outlive the test."""
    started = []

    def start(*args, **options):
        child = subprocess.Popen(
            [*COMMAND, *map(str, args)],
            env=dict(os.environ),
            **options,
        )
        started.append(child)
        return child

    yield start
    for child in started:
        child.kill()
        child.wait(10)
        for stream in (child.stdout, child.stderr, child.stdin):
            if stream is not None:
                stream.close()
