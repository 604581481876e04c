"""Inputs that nobody should send, the same ones for the same seed."""

from __future__ import annotations

import json
import random
from urllib.parse import quote_from_bytes

from models import META

PIECES = (
    b"", b"0", b"-1", b"1", b"1000", b"99999999999999", b"9" * 400, b"9999-12-31", b"0001-01-01", b"1970-01-01", b"2024-01-01",
    b"2024-01-02T00:00:00Z", b"2024-02-30", b"9999-12-31T23:59:59.999999-12:00", b"1M", b"1w", b"1m", b"7m", b"BTC/USDT", b"BTC/USDT:USDT",
    b"btcusdt", b"A/B", b"binance", b"binance_perpetual", b"nowhere", b"book", b"candles", b"candles:1M", b"funding", b"json", b"csv",
    b"arrow", b"parquet", b"true", b"null", b"NaN", b"1e309", b"-0", b"[]", b"{}", b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"\\ud800",
    b"\r\n", b"%00", b"%ff", b"%", b"'; drop table books; --", b"../../../etc/passwd", b"\xf0\x9f\x92\xa5", b"\xd9\xa3", b"x" * 5000,
    b"((((((((", b"admin", b"password", b"client_credentials", b"Bearer ", b"a.b.c", b"eyJhbGciOiJub25lIn0.e30.", b"chandlery://candles/",
)  # fmt: skip
NAMES = (
    "exchange", "symbol", "interval", "start", "end", "limit", "cursor", "format", "channel", "channels", "token", "grant_type",
    "username", "password", "client_id", "client_secret", "scope", "resource", "id", "type", "follow", "name", "arguments", "uri", "x",
)  # fmt: skip
KINDS = ("auth", "subscribe", "unsubscribe", "request_historical", "most_current", "ping", "x")
TOOLS = (
    "add_coin", "remove_coin", "list_coins", "check_availability", "download_historical_data", "get_most_current_data",
    "summarize_candles", "list_exchanges", "x",
)  # fmt: skip
CALLS = (
    "initialize",
    "tools/call",
    "tools/list",
    "resources/read",
    "resources/list",
    "ping",
    "subscriptions/listen",
    "x",
)
PATHS = (
    "/v1/candles", "/v1/funding", "/v1/books", "/v1/books/latest", "/v1/coins", "/v1/exchanges", "/v1/exchanges/binance", "/v1/availability",
    "/token", "/revoke", "/authorize", "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/mcp", "/v1/ws", "/", "/%00", "//", "/..",
    "/.well-known/jwks.json", "/.well-known/oauth-protected-resource/mcp",
)  # fmt: skip
TYPES = (
    "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "x", "",
    "multipart/form-data; boundary=x; charset=unicode_escape", "application/json; charset=utf-7",
)  # fmt: skip
HEADERS = (
    b"Authorization", b"Origin", b"Accept", b"Accept-Encoding", b"If-None-Match", b"X-Forwarded-For", b"Range", b"Mcp-Session-Id",
)  # fmt: skip
GOOD = {
    "exchange": "binance",
    "symbol": "BTC/USDT",
    "interval": "1M",
    "start": "2024-01-01",
    "end": "9999-12-31",
    "limit": 2,
}


class Garbler:
    """Makes inputs from a seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def piece(self):
        """Bytes."""
        return self.random.choice(PIECES)

    def value(self, depth=0):
        """What JSON can hold."""
        kind = self.random.randrange(10 if depth < 3 else 7)
        if kind < 5:
            return self.piece().decode("utf-8", "replace" if self.random.random() < 0.9 else "surrogateescape")
        if kind < 7:
            return self.random.choice((None, True, 0, -1, 1.5, 10**15, 10**40, float("inf"), float("nan"), 2**63))
        if kind == 9:
            return [self.value(depth + 1) for _ in range(self.random.randrange(3))]
        return self.fields(depth + 1)

    def fields(self, depth=0):
        """Good ones, a few of which are not."""
        found = dict(GOOD) if self.random.random() < 0.6 else {}
        for _ in range(self.random.randrange(4)):
            found[self.random.choice(NAMES)] = self.value(depth)
        return found

    def damaged(self, data):
        """The same, or with a few bytes of it changed, doubled or lost."""
        found = bytearray(data)
        if self.random.random() < 0.3:
            for _ in range(self.random.randrange(1, 4)):
                at = self.random.randrange(len(found) + 1)
                found[at : at + self.random.randrange(3)] = self.random.choice(
                    (self.piece()[:20], self.random.randbytes(2))
                )
        return bytes(found)

    def json(self, content):
        """As JSON; surrogates that are alone stay so."""
        return self.damaged(
            json.dumps(content, ensure_ascii=self.random.random() < 0.5).encode("utf-8", "surrogatepass")
        )

    def query(self):
        """The parts of a URL, or of a form."""
        fields = {
            name: value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
            for name, value in self.fields().items()
        }
        if self.random.random() < 0.5:
            fields |= {self.random.choice(NAMES): self.piece() for _ in range(self.random.randrange(4))}
        return "&".join(f"{name}={quote_from_bytes(value[:6000])}" for name, value in fields.items()).encode()

    def request(self, own):
        """A request of HTTP, which names ``own`` as its host."""
        choose = self.random.choice
        method = choose(("GET", "GET", "GET", "POST", "POST", "DELETE", "PUT", "HEAD", "OPTIONS", "X"))
        path = choose(PATHS).encode()
        kind = choose(TYPES)
        if self.random.random() < 0.7:
            path += b"?" + self.query()
        body = b""
        if method in {"POST", "PUT", "DELETE"}:
            body = self.query() if "urlencoded" in kind else self.json(self.fields())
            if "multipart" in kind:
                body = b'--x\r\nContent-Disposition: form-data; name="grant_type"\r\n\r\n%b\r\n--x--\r\n' % self.piece()
        lines = [b"%b %b HTTP/1.1" % (method.encode(), path), b"Host: " + own, b"Content-Type: " + kind.encode()]
        lines += [
            b"%b: %b" % (name, self.piece().replace(b"\r\n", b"")) for name in HEADERS if self.random.random() < 0.05
        ]
        lines += [b"Content-Length: %d" % len(body), b"Connection: close", b"", b""]
        return self.damaged(b"\r\n".join(lines)) + body

    def call(self):
        """The headers and the body of a request to ``/mcp``."""
        method = self.random.choice(CALLS)
        params, name = self.value() if self.random.random() < 0.1 else {}, "x"
        if method == "tools/call":
            name = self.random.choice(TOOLS)
            params = {"name": name, "arguments": self.fields()}
        elif method == "resources/read":
            uri = "chandlery://candles/" + "/".join(quote_from_bytes(self.piece()[:50]) for _ in range(5))
            name = self.random.choice((uri, "chandlery://candles/binance/BTC%2FUSDT/1M/2024-01-01/9999-12-31"))
            params = {"uri": name}
        if isinstance(params, dict) and self.random.random() < 0.95:
            params["_meta"] = META
        number = self.random.choice((1, "a")) if self.random.random() < 0.95 else self.value()
        content = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        headers = {"MCP_Protocol_Version": "2026-07-28", "Mcp_Method": method, "Mcp_Name": name}
        return headers, self.json(content)

    def message(self):
        """A message to the socket."""
        fields = {**self.fields(), "type": self.random.choice(KINDS)}
        for name in ("limit", "id"):
            if self.random.random() < 0.8:
                fields.pop(name, None)
        return self.json(fields)
