"""``chandlery sim`` as a process, and as an exchange to ``chandlery fetch``."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.request

import pytest

ROWS = (
    "1735689600000000,10,25,9,11,5,1735693199999999,55,3,2,22,0\n"
    "1735693200000000,11,13,10,12,6,1735696799999999,66,4,3,33,0\n"
)


@pytest.fixture
def served(process):
    """Starts ``chandlery sim``; the process and its endpoints."""

    def start(*args):
        child = process("sim", *args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = child.stdout.readline()
        assert line, child.stderr.read()
        return child, json.loads(line)

    return start


def test_serves_until_ctrl_c(served, chandlery, monkeypatch, tmp_path):
    """What it prints is what ``CHANDLERY_ENDPOINTS`` takes; faults are as asked for; Ctrl-C ends it quietly."""
    child, endpoints = served(
        "--exchange", "binance_spot,binance_perpetual", "--synthetic", "3", "--fault", "bad_checksum:BTCUSDT:2"
    )
    assert {"binance_spot", "binance_perpetual"} == set(endpoints)
    monkeypatch.setenv("CHANDLERY_ENDPOINTS", json.dumps(endpoints))

    code, _, err = chandlery(
        "fetch", "BTCUSDT", "1h", "--start", "2024-01-01", "--end", "2024-01-02", "--no-cache", "-o", tmp_path / "o.csv"
    )  # fmt: skip

    assert 0 == code
    assert "1 bad_checksum" in err

    child.send_signal(signal.SIGINT)
    assert 130 == child.wait(10)
    assert "Traceback" not in child.stderr.read()


def test_a_port_in_use_is_one_line(served, chandlery):
    """And SIGTERM ends it with 0."""
    child, endpoints = served("--exchange", "binance_inverse")
    port = endpoints["binance_inverse"]["rest"].split("/")[2].split(":")[1]

    code, out, err = chandlery("sim", "--port", port)

    assert (1, "") == (code, out)
    assert f"port {port}" in err
    assert 1 == err.count("\n")
    child.terminate()
    assert 0 == child.wait(10)


def test_serves_recorded_files(served, chandlery, monkeypatch, tmp_path):
    """Folders of the archive's CSV files: one of its own for an exchange, and one for the others."""
    prices = {"own": 10.0, "shared": 20.0}
    for name, price in prices.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "BTCUSDT-1h-2025-01-01.csv").write_text(ROWS.replace(",10,25,", f",{price:.0f},25,"))
    _, endpoints = served("--data", f"binance_spot={tmp_path / 'own'}", "--data", tmp_path / "shared")
    monkeypatch.setenv("CHANDLERY_ENDPOINTS", json.dumps(endpoints))

    got = {}
    for market in ("spot", "um"):
        path = tmp_path / f"{market}.csv"
        range_ = ("--start", "2025-01-01", "--end", "2025-01-01T02:00", "--no-cache", "-o", path)
        assert 0 == chandlery("fetch", "BTCUSDT", "1h", "--market", market, *range_)[0]
        got[market] = [float(line.split(",")[1]) for line in path.read_text().splitlines()[1:]]

    assert {"spot": [10.0, 11.0], "um": [20.0, 11.0]} == got


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--exchange", "nowhere_spot"), "is not available offline; available: ascendex_spot, binance_inverse"),
        (("--data", "missing"), "there is no folder"),
        (("--data", ".", "--synthetic", "1"), "not both"),
        (("--fault", "nope"), "available: too_many_requests"),
        (("--fault", "slow:("), "not a regular expression"),
        (("--unlike", "page_size=3"), "--unlike is not JSON"),
        (("--unlike", '{"okx_spot": {"pages": 3}}'), "unknown: pages; available: page_size"),
    ],
)
def test_mistakes_are_one_line(chandlery, tmp_path, monkeypatch, args, said):
    """Nothing is served where something is asked wrongly."""
    monkeypatch.chdir(tmp_path)

    code, out, err = chandlery("sim", *args)

    assert (2, "") == (code, out)
    assert said in err
    assert 1 == err.count("\n")


def test_contradicts_on_demand(served, chandlery, monkeypatch):
    """``--unlike`` reaches the exchange that it names."""
    _, endpoints = served("--exchange", "binance_spot", "--unlike", '{"*": {"page_size": 3}}')

    with urllib.request.urlopen(f"{endpoints['binance_spot']['rest']}/api/v3/klines?symbol=BTCUSDT&interval=1m") as got:
        assert 3 == len(json.load(got))


def test_a_folder_without_files_is_a_mistake(chandlery, tmp_path):
    """An empty folder serves nothing."""
    code, _, err = chandlery("sim", "--data", tmp_path)

    assert 2 == code
    assert "no file like" in err
