"""The demo: a year cold and warm, and a fault survived."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """What the demo prints in a pipe, and the temporary folder that it had."""
    folder = tmp_path_factory.mktemp("temporary")
    done = subprocess.run(
        [sys.executable, "-m", "chandlery.cli.demo"],
        env=os.environ | {"TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout, folder


def test_a_year_comes_cold_from_the_archive_and_warm_from_the_cache(shown):
    """Both whole, with their source, time and rate."""
    text, _ = shown

    assert re.search(r"^cold +vision: 12 spans +527,040 +[\d.]+ +[\d,]+$", text, re.MULTILINE)
    assert re.search(r"^warm +cache \(vision\): 12 spans +527,040 +[\d.]+ +[\d,]+$", text, re.MULTILINE)
    assert "cold and warm are equal, value for value" in text


def test_a_bad_checksum_and_a_429_are_survived(shown):
    """The events are told, and the month is the same by REST."""
    text, _ = shown

    assert "event: bad_checksum: archive/data/spot/monthly/" in text
    assert "1 answered 429 with Retry-After 1" in text
    assert "44,640 rows (44,640 from rest)" in text
    assert "the repaired month is equal to the one from the archive" in text


def test_it_says_the_same_each_time_and_leaves_nothing_behind(shown):
    """No port, path or date of today is in what it says, nor any control character; no file is left."""
    text, folder = shown

    assert not re.search(r"127\.0\.0\.1|\x1b", text)
    assert str(folder) not in text
    assert [] == list(folder.iterdir())


def test_the_service_collects_streams_and_goes_on_from_the_past(shown):
    """Three coins by MCP, books and candles of each over one socket, and the past followed without a seam."""
    text, _ = shown

    assert 3 == len(re.findall(r"^MCP: add_coin [A-Z/]+: book running, candles:1s running$", text, re.MULTILINE))
    arrived = re.findall(r"^[A-Z]+/USDT +[\d,.]+ +[\d,.]+ +(\d+) +(\d+)$", text, re.MULTILINE)
    assert 3 == len(arrived)
    assert all(int(books) > 5 and int(candles) > 0 for books, candles in arrived)
    assert "each second once, no gap and no duplicate" in text
    assert re.search(r"^in the database: \d+ order books of BTC/USDT, one a second$", text, re.MULTILINE)
    assert "the service has stopped" in text
