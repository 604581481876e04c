"""``chandlery cache`` on a cache that a fetch has filled."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chandlery.core.moment import to_micros
from chandlery.sim.server import running

BTC = "@offline-7/BINANCE/SPOT/KLINES/BTCUSDT/1h"
ETH = "@offline-7/BINANCE/FUTURES_USDT/KLINES/ETHUSDT/1d"


@pytest.fixture
def folder(chandlery, exchange, tmp_path):
    """A cache of two series of three days each."""
    days = ("--start", "2024-01-01", "--end", "2024-01-04", "--cache-dir", tmp_path)
    assert 0 == chandlery("fetch", "BTCUSDT", "1h", *days)[0]
    assert 0 == chandlery("fetch", "ETHUSDT", "1d", *days, "--market", "linear")[0]
    return tmp_path


def days_of(folder, series):
    """The names of the files of a series."""
    return sorted(path.name for path in (folder / series).glob("*.arrow"))


def damage(folder):
    """Flip a byte in the middle of one file."""
    path = folder / BTC / "2024-01-02.arrow"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return path


def test_ls(chandlery, folder):
    """One line for each series."""
    code, out, err = chandlery("cache", "ls", "--cache-dir", folder)

    lines = [line.split() for line in out.splitlines()]
    assert (0, "") == (code, err)
    assert ["BINANCE", "SPOT", "KLINES", "BTCUSDT", "1h", "2024-01-01", "2024-01-03", "3", "72"] in [
        line[:9] for line in lines
    ]
    assert 4 == len(lines)


def test_ls_for_scripts(chandlery, folder):
    """``--json`` is a list of series."""
    code, out, _ = chandlery("cache", "ls", "--json", "--cache-dir", folder)

    found = json.loads(out)
    assert 0 == code
    assert [ETH, BTC] == [each["series"] for each in found]
    assert ("2024-01-01", "2024-01-03", 72) == (found[1]["first"], found[1]["last"], found[1]["rows"])


def test_info(chandlery, folder):
    """Of everything, or of the series that a pattern names."""
    _, everything, _ = chandlery("cache", "info", "--cache-dir", folder)
    _, one, _ = chandlery("cache", "info", "BTCUSDT/1h", "--cache-dir", folder)
    _, numbers, _ = chandlery("cache", "info", "--json", "--cache-dir", folder)

    assert "2 series, 6 files, 75 rows" in everything
    assert "BTCUSDT" in one
    assert "ETHUSDT" not in one
    assert 75 == json.loads(numbers)["rows"]


def test_a_series_that_is_not_there(chandlery, folder):
    """The message says what is."""
    code, _, err = chandlery("cache", "info", "DOGE*", "--cache-dir", folder)

    assert 2 == code
    assert BTC in err


def test_verify_finds_damage(chandlery, folder):
    """Code 0 and ``all in order``; code 1 and the file where one byte is wrong."""
    sound = chandlery("cache", "verify", "--cache-dir", folder)
    damage(folder)
    code, out, err = chandlery("cache", "verify", "--cache-dir", folder)
    as_json = chandlery("cache", "verify", "--json", "--cache-dir", folder)

    assert 0 == sound[0]
    assert "6 files, 75 rows" in sound[1]
    assert "all in order" in sound[1]
    assert (1, "") == (code, err)
    assert f"damaged: {BTC}/2024-01-02.arrow" in out
    assert 1 == as_json[0]
    assert [f"{BTC}/2024-01-02.arrow"] == [each["path"] for each in json.loads(as_json[1])["damaged"]]


def test_clean_removes_what_is_of_no_use_and_no_data(chandlery, folder):
    """What was set aside goes, without a question."""
    path = damage(folder)
    chandlery("fetch", "BTCUSDT", "1h", "--start", "2024-01-02", "--end", "2024-01-03", "--cache-dir", folder)
    assert 1 == len(list(path.parent.glob("*.damaged")))

    code, out, err = chandlery("cache", "clean", "--cache-dir", folder)

    assert (0, "") == (code, err)
    assert "removed 1 file," in out
    assert [] == list(path.parent.glob("*.damaged"))
    assert 3 == len(days_of(folder, BTC))


def test_clean_of_data_asks_first(chandlery, folder, process):
    """Where nobody can be asked it is refused; on a terminal ``n`` keeps all, ``y`` removes it."""
    args = ("cache", "clean", "--series", "BTCUSDT", "--cache-dir", folder)
    child = process(*args, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert b"confirm with --yes" in child.communicate(timeout=30)[1]
    assert 2 == child.returncode

    for answer, code, left in ((b"n\n", 1, 3), (b"y\n", 0, 0)):
        end, terminal = pty.openpty()
        child = process(*args, stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.close(terminal)
        os.write(end, answer)
        child.communicate(timeout=30)
        os.close(end)
        assert code == child.returncode
        assert left == len(days_of(folder, BTC))
    assert 3 == len(days_of(folder, ETH))


def test_clean_before_a_day(chandlery, folder):
    """``--before`` keeps that day and what follows; without ``--series``, of all."""
    code, out, _ = chandlery("cache", "clean", "--before", "2024-01-03", "--yes", "--cache-dir", folder)

    assert 0 == code
    assert "removed 4 files" in out
    assert ["2024-01-03.arrow"] == days_of(folder, BTC) == days_of(folder, ETH)


@pytest.mark.parametrize("command", ["ls", "info", "verify", "clean"])
def test_a_folder_that_is_not_there(chandlery, tmp_path, command):
    """A mistyped folder is not an empty cache."""
    code, out, err = chandlery("cache", command, "--cache-dir", tmp_path / "none")

    assert (2, "") == (code, out)
    assert "there is no folder" in err


def test_an_empty_cache(chandlery, tmp_path, monkeypatch):
    """The user's cache, before anything is in it, is empty and in order."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert (0, "the cache is empty\n", "") == chandlery("cache", "ls")
    assert (0, "[]\n") == chandlery("cache", "ls", "--json")[:2]
    assert 0 == chandlery("cache", "verify")[0]
    assert 0 == chandlery("cache", "clean")[0]
    assert 2 == chandlery("cache", "info", "BTCUSDT")[0]


def test_a_locale_of_few_letters(process, folder, monkeypatch):
    """Whatever it does not have is spelled out; nothing fails."""
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    symbol = (folder / BTC).parent
    symbol.rename(symbol.with_name("币安人生USDT"))
    for words in (("ls",), ("info",)):
        child = process("cache", *words, "--cache-dir", folder, stdout=subprocess.PIPE, text=True)
        out, _ = child.communicate(timeout=60)
        assert (0, True) == (child.returncode, out.isascii())


def test_what_an_older_release_stored_is_shown_and_can_be_adopted(chandlery, tmp_path):
    """``ls`` and ``verify`` say that it is not used; ``adopt`` asks first, and only then takes it."""
    made = Path(__file__).parent.parent / "fixtures" / "version_1" / "cache"
    folder = shutil.copytree(made, tmp_path / "cache")
    args = ("--cache-dir", folder)

    assert chandlery("cache", "ls", *args)[1].count("unknown") == 2
    assert "6 files not used" in chandlery("cache", "verify", *args)[1]
    code, _, err = chandlery("cache", "adopt", folder)
    assert 2 == code
    assert "--yes" in err
    assert "adopted 4 files, 94 rows" in chandlery("cache", "adopt", folder, "--yes")[1]
    assert "2 files not used" in chandlery("cache", "verify", *args)[1]


def test_verify_requests_cached_gaps_again(chandlery, tmp_path, monkeypatch):
    """What the exchange has by now is stored and counted; where it cannot be reached, the files are in order all the same."""
    now = to_micros(datetime(2024, 2, 10, tzinfo=UTC))
    day = [datetime(2024, 1, day, tzinfo=UTC) for day in range(1, 5)]
    lives = {"BTCUSDT": [[day[0], day[1]], [day[1] + timedelta(hours=6), None]]}
    with running(exchanges=["bybit_spot"], clock=lambda: now, tick_s=None) as sim:
        monkeypatch.setenv("CHANDLERY_ENDPOINTS", json.dumps(sim.endpoints))
        sim.differ({"bybit_spot": {"lives": lives, "serves_delisted": True}})
        fetched = ("--start", "2024-01-01", "--end", "2024-01-04", "--cache-dir", tmp_path)
        assert 0 == chandlery("fetch", "BTC-USDT", "1h", "--exchange", "bybit_spot", *fetched)[0]
        sim.differ({})

        code, out, _ = chandlery("cache", "verify", "--cache-dir", tmp_path)

        assert 0 == code
        assert "6 candles appeared in gaps" in out
        assert "gaps" not in chandlery("cache", "verify", "--cache-dir", tmp_path)[1]
