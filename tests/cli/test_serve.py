"""``chandlery serve``."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.request

import pytest


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
    assert "another service runs on" in err
    assert (0, "all in order\n") == chandlery("db", "check", "--data-dir", tmp_path)[:2]
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=30)


def test_what_is_made_up_and_what_is_real_stay_apart(served, chandlery, tmp_path):
    """A folder of one kind is refused to the other, before anything is written."""
    child, _ = served("--no-auth")
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=30)
    code, _, err = chandlery("serve", "--no-auth", "--port", 0, "--data-dir", tmp_path)
    assert (2, True) == (code, "--offline has made up" in err)
    chandlery("db", "migrate", "--data-dir", tmp_path / "real")
    code, _, err = chandlery("serve", "--offline", "--no-auth", "--port", 0, "--data-dir", tmp_path / "real")
    assert (2, True) == (code, "holds real data" in err)


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
        (("--no-auth", "--host", "0.0.0.0"), "--no-auth lets everybody in"),
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
