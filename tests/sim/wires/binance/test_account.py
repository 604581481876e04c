"""Signed requests to the offline Binance: what is let in, and what is refused with which words."""

from __future__ import annotations

from urllib.parse import parse_qsl

import msgspec
import pytest

from chandlery.sim.accounts import Account, Accounts, hmac_sha256
from chandlery.sim.wire import SimRequest
from chandlery.sim.wires.binance.account import signed_answer

ACCOUNT = Account("key", "secret", {"USDT": "12.5"})
NOW_MS = 1_700_000_000_000


def asked(path="/api/v3/account", *, key="key", secret="secret", at=NOW_MS, more="", sign=True):
    """The answer to a signed request: status, and content."""
    query = f"timestamp={at}{more}" if at is not None else f"recvWindow=5000{more}"
    if sign:
        query += f"&signature={hmac_sha256(Account('', secret), query)}"
    request = SimRequest("GET", path, dict(parse_qsl(query)), {"x-mbx-apikey": key}, b"", query)
    reply = signed_answer("binance_spot", Accounts([ACCOUNT]), request, NOW_MS)
    return reply.status, msgspec.json.decode(reply.body)


@pytest.mark.parametrize(
    "path", ["/api/v3/account", "/sapi/v1/capital/config/getall", "/sapi/v1/margin/account", "/fapi/v3/account"]
)
def test_an_account_sees_its_balances(path):
    """Who signs with the right keys is answered with what is on the account."""
    status, content = asked(path)

    assert 200 == status
    assert "12.5" in str(content)


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"key": "other"}, 401, -2015),
        ({"key": ""}, 401, -2015),
        ({"secret": "other"}, 400, -1022),
        ({"sign": False}, 400, -1022),
        ({"at": None}, 400, -1102),
        ({"at": NOW_MS - 5001}, 400, -1021),
        ({"at": NOW_MS + 1001}, 400, -1021),
    ],
)
def test_what_is_refused(change, status, code):
    """A wrong key, a wrong or missing signature, a missing, late or early timestamp: Binance's codes."""
    found, content = asked(**change)

    assert (status, code) == (found, content["code"])


def test_the_window_is_the_caller_s():
    """``recvWindow`` says how late a request may be."""
    assert 200 == asked(at=NOW_MS - 9000, more="&recvWindow=10000")[0]
    assert 400 == asked(at=NOW_MS - 9000, more="&recvWindow=8000")[0]


def test_what_needs_no_account_is_not_answered_here():
    """Public paths are left to whoever answers them."""
    request = SimRequest("GET", "/api/v3/klines", {}, {}, b"")

    assert signed_answer("binance_spot", Accounts(), request, NOW_MS) is None
