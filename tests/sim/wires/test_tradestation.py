"""What the offline TradeStation answers, by its documentation."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE, SECOND, iso
from chandlery.sim.market import SyntheticMarket
from chandlery.sim.view import MarketView
from chandlery.sim.wire import Session, SimRequest
from chandlery.sim.wires.tradestation import TradeStationWire
from fixtures.support import SPOT, micros

NOW = micros(2025, 3, 12, 10, 20, 30)
VIEW = MarketView(SyntheticMarket(symbols={SPOT: ("BTCUSD", "MSFT", "ETHUSDT")}), SPOT, lambda: NOW)
STREAM = "/v3/marketdata/stream/barcharts/"
GOOD = {"grant_type": "refresh_token", "client_id": "key", "client_secret": "secret", "refresh_token": "long"}


class Client:
    """Someone who asks, at the second ``at``, with the token that was handed out last."""

    def __init__(self, **options: Any) -> None:
        self.at = 0.0
        self.wire = TradeStationWire(VIEW, ticks=lambda: self.at, **options)
        self.token = ""

    def sign_in(self, **changes: str) -> tuple[int, dict[str, Any]]:
        """Status and content of the answer to a refresh token."""
        form = urlencode(GOOD | changes).encode()
        reply = self.wire.answer(SimRequest("POST", "/oauth/token", {}, {}, form))
        content = json.loads(reply.body)
        self.token = content.get("access_token", self.token)
        return reply.status, content

    def ask(self, path: str, **query: object) -> tuple[int, dict[str, Any]]:
        """Status and content of an answer."""
        texts = {key: str(value) for key, value in query.items()}
        headers = {"authorization": f"Bearer {self.token}"}
        reply = self.wire.answer(SimRequest("GET", path, texts, headers, b""))
        return reply.status, json.loads(reply.body or b"{}")

    def ends(self, **query: object) -> list[int]:
        """The ends of a chart's bars, in minutes after the running minute began."""
        _, content = self.ask("/v3/marketdata/barcharts/BTCUSD", **query)
        began = Interval.MINUTE_1.floor(NOW)
        assert [each["TimeStamp"] for each in content["Bars"]] == [
            iso(each["Epoch"] * 1000) for each in content["Bars"]
        ]
        return [(each["Epoch"] * 1000 - began) // MINUTE for each in content["Bars"]]


@pytest.fixture
def client():
    made = Client()
    made.sign_in()
    return made


def test_bars_are_named_by_their_ends(client):
    """The running one ends in the future; one is sent where nothing is said, and a day by default."""
    minutes = {"interval": 1, "unit": "Minute"}

    assert [1] == client.ends(**minutes)
    assert [-1, 0, 1] == client.ends(barsback=3, **minutes)
    assert 1 == len(client.ends())
    _, content = client.ask("/v3/marketdata/barcharts/BTCUSD", barsback=2)
    assert ["Closed", "Open"] == [each["BarStatus"] for each in content["Bars"]]
    assert "2025-03-13T00:00:00Z" == content["Bars"][-1]["TimeStamp"]
    assert [False, True] == [each["IsEndOfHistory"] for each in content["Bars"]]


def test_bounds_are_those_of_ends(client):
    """The first date is exclusive, the last one inclusive; to the running bar now is as good as its end."""
    began = Interval.MINUTE_1.floor(NOW)
    minutes = {"interval": 1, "unit": "minute"}

    assert [-3, -2] == client.ends(
        firstdate=iso(began - 4 * MINUTE), lastdate=iso(began - 2 * MINUTE + SECOND), **minutes
    )
    assert [-1, 0, 1] == client.ends(firstdate=iso(began - 2 * MINUTE + SECOND), **minutes)
    assert [-1, 0] == client.ends(firstdate=iso(began - 2 * MINUTE), lastdate=iso(began + SECOND), **minutes)
    assert [] == client.ends(firstdate=iso(NOW + 9 * MINUTE), lastdate=iso(NOW), **minutes)


@pytest.mark.parametrize(
    ("status", "query"),
    [
        (400, {"unit": "Hour"}),
        (400, {"unit": "Daily", "interval": 2}),
        (400, {"unit": "Minute", "interval": 7}),
        (400, {"barsback": 2, "firstdate": "2025-01-01"}),
        (400, {"firstdate": "yesterday"}),
        (400, {"barsback": "x"}),
        (400, {"unit": "Minute", "barsback": 57_602}),
        (400, {"unit": "Minute", "firstdate": "2024-01-01"}),
        (200, {"unit": "Daily", "barsback": 57_602}),
        (200, {"unit": "Monthly", "firstdate": "2024-01-01"}),
    ],
)
def test_refused_charts(client, status, query):
    """In its own form, with the reason."""
    said, content = client.ask("/v3/marketdata/barcharts/BTCUSD", **query)

    assert status == said
    assert status == 200 or {"Error", "Message"} == content.keys()


def test_unknown_symbols_and_paths(client):
    """Both are not found; nothing is said of the pairs that are none in dollars."""
    assert 404 == client.ask("/v3/marketdata/barcharts/NOSUCH")[0]
    assert 404 == client.ask(f"{STREAM}NOSUCH")[0]
    assert 404 == client.ask("/v3/marketdata/quotes/MSFT")[0]
    assert (200, {"SymbolNames": ["BTCUSD"]}) == client.ask("/v3/marketdata/symbollists/cryptopairs/symbolnames")


def test_tokens_let_in_for_twenty_minutes(client):
    """Without one, with another, or later: 401."""
    assert 200 == client.ask("/v3/marketdata/barcharts/BTCUSD")[0]
    client.at = 1199.0
    assert 200 == client.ask("/v3/marketdata/barcharts/BTCUSD")[0]
    client.at = 1200.0
    assert 401 == client.ask("/v3/marketdata/barcharts/BTCUSD")[0]
    assert (200, 1200) == (client.sign_in()[0], client.sign_in()[1]["expires_in"])
    assert 200 == client.ask(f"{STREAM}BTCUSD")[0]
    client.wire.forget_tokens()
    assert (401, "Unauthorized") == (client.ask(f"{STREAM}BTCUSD")[0], client.ask(f"{STREAM}BTCUSD")[1]["Error"])


@pytest.mark.parametrize(
    ("status", "changes"),
    [(403, {"refresh_token": "revoked"}), (401, {"client_id": "revoked"}), (403, {"grant_type": "password"})],
)
def test_who_is_not_let_in(client, status, changes):
    """Refusals of the sign-in are those of OAuth."""
    said, content = client.sign_in(**changes)

    assert status == said
    assert "error_description" in content


def test_the_quota():
    """So many requests in five minutes."""
    client = Client(weight_limit=2)
    client.sign_in()
    path = "/v3/marketdata/barcharts/BTCUSD"

    assert [200, 200, 429] == [client.ask(path)[0] for _ in range(3)]
    client.at = 300.0
    assert 200 == client.ask(path)[0]


def test_a_stream_begins_and_ends(client):
    """With its request, and when that is closed; heartbeats say the time."""
    target = f"{STREAM}MSFT?interval=5&unit=Minute&barsback=1"
    session = Session(STREAM, {})
    request = SimRequest("GET", f"{STREAM}MSFT", {"interval": "5", "unit": "Minute", "barsback": "1"}, {}, b"")

    assert target == client.wire.stream_of(request)
    assert client.wire.stream_of(SimRequest("GET", "/v3/marketdata/barcharts/MSFT", {}, {}, b"")) is None
    assert () == client.wire.obey(session, target)
    assert [("MSFT", Interval.MINUTE_5)] == [(want.native, want.interval) for want in session.wants.values()]
    assert [{"Heartbeat": 1, "Timestamp": "2025-03-12T10:20:30Z"}] == client.wire.heartbeat(session)
    assert ["NotFound"] == [each["Error"] for each in client.wire.obey(session, f"{STREAM}NOSUCH?interval=1")]
    client.wire.obey(session, f"close {target}")
    assert not session.wants
