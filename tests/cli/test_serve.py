"""``chandlery serve``."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

MADE = Path(__file__).parent.parent / "fixtures" / "version_1" / "chandlery.db"
"""The database of a folder, as 0.1 made it."""


@pytest.fixture
def served(process, tmp_path):
    """Starts the service; its process and URL."""

    def start(*args):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        child = process("serve", "--offline", "--port", 0, "--data-dir", tmp_path, *args, **pipes)
        return child, child.stdout.readline().strip()

    return start


def get(url, method="GET", content=None):
    """The content of an answer."""
    body = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read() or b"null")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_told_to_stop(served, number):
    """It says where, answers, keeps what is collected, and ends with code 0."""
    child, url = served("--no-auth", "--log-format", "json")
    assert "ok" == get(f"{url}/healthz")["status"]
    added = get(f"{url}/v1/coins", "POST", {"exchange": "binance", "symbol": "BTC/USDT", "channels": ["candles:1s"]})
    assert "running" == added["channels"][0]["state"]
    child.send_signal(number)
    _, err = child.communicate(timeout=30)

    assert 0 == child.returncode
    assert "Traceback" not in err
    again, url = served("--no-auth")
    assert ["BTC/USDT"] == [each["symbol"] for each in get(f"{url}/v1/coins")["coins"]]
    again.send_signal(signal.SIGTERM)
    assert 0 == again.wait(30)


def test_two_services_do_not_share_a_folder(served, chandlery, tmp_path):
    """The second one says so and changes nothing; commands on the database go on."""
    child, _ = served("--no-auth")
    code, _, err = chandlery("serve", "--offline", "--no-auth", "--port", 0, "--data-dir", tmp_path)

    assert 1 == code
    assert "another service uses" in err
    assert (0, "all in order\n") == chandlery("db", "check", "--data-dir", tmp_path)[:2]
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=30)


def test_what_is_made_up_and_what_is_real_stay_apart(process, chandlery, tmp_path):
    """On one folder: nothing real is listed or served by the offline service, and none of it changes."""

    def served(*args):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        child = process("serve", "--no-auth", "--port", 0, "--data-dir", tmp_path, *args, **pipes)
        url = child.stdout.readline().strip()
        coins = [each["symbol"] for each in get(f"{url}/v1/coins")["coins"]]
        try:
            book = get(f"{url}/v1/books/latest?exchange=binance_spot&symbol=BTC/USDT")["bids"]
        except urllib.error.HTTPError as error:
            book = error.code
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=30)
        return coins, book, err.count("chandlery db adopt")

    shutil.copy(MADE, tmp_path / "chandlery.sqlite3")
    base = {"rest": "http://127.0.0.1:1", "ws": "ws://127.0.0.1:1", "archive": "http://127.0.0.1:1"}
    assert ([], 404, 1) == served("--exchange-endpoints", json.dumps({"binance_spot": base}))
    assert (0, "adopted 2 series, 1 coin\n", "") == chandlery("db", "adopt", "--yes", "--data-dir", tmp_path)
    assert ([], 404, 0) == served("--offline")
    mirror = json.dumps({"binance_spot": base | {"mirror": True}})
    assert (["BTC/USDT"], [[1.0, 2.0]], 0) == served("--exchange-endpoints", mirror)


def test_two_kinds_of_exchange_at_once(chandlery, tmp_path):
    """Are refused in a line, not one of them passed over."""
    endpoints = json.dumps({"binance_spot": {"rest": "http://127.0.0.1:1"}})
    code, _, err = chandlery("serve", "--offline", "--exchange-endpoints", endpoints, "--data-dir", tmp_path)

    assert (2, True) == (code, "not both" in err)
    assert [] == list(tmp_path.iterdir())


def test_it_says_how_to_get_a_token(served):
    """Without one, nothing is answered."""
    child, url = served()
    with pytest.raises(urllib.error.HTTPError, match="401"):
        get(f"{url}/v1/coins")
    child.send_signal(signal.SIGINT)

    assert "chandlery auth create-client" in child.communicate(timeout=30)[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--no-auth", "--host", "0.0.0.0"), "--no-auth disables authentication"),
        (("--snapshot-interval", "soon"), "snapshot_interval"),
        (("--exchange-endpoints", "x"), "the endpoints are not JSON"),
        (("--log-format", "xml"), "log_format"),
        (("--host", "256.0.0.1"), "cannot listen"),
    ],
)
def test_asked_wrongly(chandlery, tmp_path, arguments, said):
    """One line, code 2, before anything runs."""
    code, out, err = chandlery("serve", "--data-dir", tmp_path, "--port", 0, *arguments)

    assert (2, "") == (code, out)
    assert said in err.splitlines()[-1]
