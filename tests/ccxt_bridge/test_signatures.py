"""Signed requests of the eight documented exchanges, as they leave: path, headers, and the signature by the exchange's documentation."""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import ccxt
import pytest

from chandlery.ccxt_bridge.addresses import filled, leaves
from chandlery.ccxt_bridge.manager import AuthenticatedExchangeManager
from chandlery.clients.settings import CCXTConfig, Settings

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
KEY, SECRET, PASSWORD = "key-0123456789", base64.b64encode(b"secret-0123456789").decode(), "phrase-01234"


class Sent(NamedTuple):
    """One request."""

    method: str
    target: str
    headers: dict[str, str]
    body: str

    @property
    def path(self):
        return urlsplit(self.target).path

    @property
    def query(self):
        return urlsplit(self.target).query


@pytest.fixture(scope="module")
def server():
    """Answers everything with an empty object: its URL, and what it was sent."""
    sent = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):  # what the standard library calls
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            sent.append(Sent(self.command, self.path, dict(self.headers), body))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_POST = do_GET  # noqa: N815  # the same

        def log_message(self, *arguments):
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", sent
        http.shutdown()
        thread.join(10)


def digest(text, kind="sha256", secret=SECRET):
    """The HMAC of a text."""
    key, content = (each if isinstance(each, bytes) else each.encode() for each in (secret, text))
    return hmac.new(key, content, kind)


def base64_of(made):
    return base64.b64encode(made.digest()).decode()


def signed_query(sent, header):
    """Binance and MEXC: the query without the signature, at its end."""
    query, _, signature = sent.query.rpartition("&signature=")
    return {header: sent.headers[header], "signature": signature}, {
        header: KEY,
        "signature": digest(query).hexdigest(),
    }


def binance(sent):
    """The key in a header, the signature of the query in hex."""
    assert "timestamp" in dict(parse_qsl(sent.query))
    return signed_query(sent, "X-MBX-APIKEY")


def mexc(sent):
    """As Binance, with a header of its own."""
    assert "timestamp" in dict(parse_qsl(sent.query))
    return signed_query(sent, "X-MEXC-APIKEY")


def kraken(sent):
    """SHA-512 over the path and the SHA-256 of nonce and body, with the decoded secret."""
    nonce = dict(parse_qsl(sent.body))["nonce"]
    hashed = hashlib.sha256(f"{nonce}{sent.body}".encode()).digest()
    signature = base64_of(digest(sent.path.encode() + hashed, "sha512", base64.b64decode(SECRET)))
    return sent.headers, {"API-Key": KEY, "API-Sign": signature}


def kucoin(sent):
    """Time, method, path and body; version 2 signs the passphrase too."""
    text = f"{sent.headers['KC-API-TIMESTAMP']}{sent.method}{sent.target}{sent.body}"
    return sent.headers, {
        "KC-API-KEY": KEY,
        "KC-API-KEY-VERSION": "2",
        "KC-API-SIGN": base64_of(digest(text)),
        "KC-API-PASSPHRASE": base64_of(digest(PASSWORD)),
    }


def gate(sent):
    """SHA-512 over lines: method, path, query, the hash of the body, time."""
    hashed = hashlib.sha512(sent.body.encode()).hexdigest()
    lines = [sent.method, sent.path, sent.query, hashed, sent.headers["Timestamp"]]
    return sent.headers, {"KEY": KEY, "SIGN": digest("\n".join(lines), "sha512").hexdigest()}


def okx(sent):
    """Time, method, path with query, and body."""
    text = f"{sent.headers['OK-ACCESS-TIMESTAMP']}{sent.method}{sent.target}{sent.body}"
    return sent.headers, {
        "OK-ACCESS-KEY": KEY,
        "OK-ACCESS-PASSPHRASE": PASSWORD,
        "OK-ACCESS-SIGN": base64_of(digest(text)),
    }


def bybit(sent):
    """Time, key, receive window and query."""
    text = f"{sent.headers['X-BAPI-TIMESTAMP']}{KEY}{sent.headers['X-BAPI-RECV-WINDOW']}{sent.query}"
    return sent.headers, {"X-BAPI-API-KEY": KEY, "X-BAPI-SIGN": digest(text).hexdigest()}


def huobi(sent):
    """Lines: method, host, path, the sorted query; the host is the exchange's, wherever the request goes."""
    query = dict(parse_qsl(sent.query))
    signature = query.pop("Signature")
    text = "\n".join([sent.method, "api.huobi.pro", sent.path, urlencode(sorted(query.items()), quote_via=quote)])
    expected = {"AccessKeyId": KEY, "SignatureMethod": "HmacSHA256", "SignatureVersion": "2"}
    return query | {"Signature": signature}, expected | {"Signature": base64_of(digest(text))}


CALLS = [
    (binance, "privateGetAccount", "/api/v3/account"),
    (kraken, "privatePostBalance", "/0/private/Balance"),
    (kucoin, "privateGetAccounts", "/api/v1/accounts"),
    (gate, "privateSpotGetAccounts", "/api/v4/spot/accounts"),
    (okx, "privateGetAccountBalance", "/api/v5/account/balance"),
    (bybit, "privateGetV5AccountWalletBalance", "/v5/account/wallet-balance"),
    (mexc, "spotPrivateGetAccount", "/api/v3/account"),
    (huobi, "privateGetAccountAccounts", "/v1/account/accounts"),
]
"""What signs, ccxt's name of the request for balances, and its documented path."""


@pytest.mark.parametrize(("signing", "call", "path"), CALLS, ids=lambda each: getattr(each, "__name__", ""))
def test_a_request_leaves_signed(server, limiter, signing, call, path):
    """Key and signature are where the exchange's documentation has them, and the signature is what it says."""
    url, sent = server
    name = "htx" if signing is huobi else signing.__name__
    plain = getattr(ccxt, name)()
    real = [filled(plain, key, address) for key, address in leaves(plain.urls["api"])]
    moved = {"/".join(each.split("/")[:3]): url for each in real if each.startswith("http")}
    config = CCXTConfig(_env_file=None, endpoints={name: moved}, enable_rate_limit=False)
    settings = Settings(_env_file=None, env_file=None, ccxt=config)
    with AuthenticatedExchangeManager(settings=settings, limiter=limiter, request_pause=0) as manager:
        connect = getattr(manager, f"connect_to_{signing.__name__}_with_credentials")
        exchange = connect(KEY, SECRET, password=PASSWORD)
        del sent[:]
        with suppress(ccxt.BaseError):  # the empty answer is none of the exchange's
            manager.throttled_call(getattr(exchange, call), {"accountType": "UNIFIED"} if name == "bybit" else {})

    (request,) = sent
    assert path == request.path
    found, expected = signing(request)
    assert expected == {key: found[key] for key in expected}
    assert SECRET not in str(request)
