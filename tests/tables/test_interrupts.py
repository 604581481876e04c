"""Ctrl-C during a call of polars."""

from __future__ import annotations

import subprocess
import sys

import pytest

from chandlery.tables.interrupts import uninterrupted

PROGRAM = """
import os, signal, sys, threading
from chandlery.tables.interrupts import uninterrupted

received = []
if sys.argv[1] == "handler":
    signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
import polars as pl  # its handler of SIGINT comes after that of the process, as in a service

text = b"1,2,3,4\\n" * 3_000_000
running = threading.Event()

def parse():
    running.set()
    return pl.read_csv(text, has_header=False).height

def end_of(function):
    try:
        return function()
    except KeyboardInterrupt:
        return "interrupted"

def in_thread(function):
    ends = []
    thread = threading.Thread(target=lambda: ends.append(end_of(function)))
    running.clear()
    thread.start()
    running.wait()
    thread.join(0.02)
    os.kill(os.getpid(), signal.SIGINT)
    thread.join()
    return ends[0]

if sys.argv[1] == "handler":
    print(in_thread(parse), in_thread(uninterrupted(parse)), len(received))
else:
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
    print(end_of(uninterrupted(parse)))
"""


def ended(kind):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind], capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout.split(), done.stderr


def test_a_thread_goes_on_where_the_process_handles_the_signal():
    """Alone, polars raises ``KeyboardInterrupt`` in the thread, which would end the event loop."""
    assert (["interrupted", "3000000", "2"], "") == ended("handler")


def test_the_main_thread_is_interrupted_as_usual():
    """With the default handler of Python."""
    assert (["interrupted"], "") == ended("default")


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_other_errors_pass(error):
    """They are raised at once."""

    def fails():
        raise error

    with pytest.raises(error):
        uninterrupted(fails)()
