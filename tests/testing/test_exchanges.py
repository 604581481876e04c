"""The published tests of exchanges, inherited by all of ours, and what each demands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.testing.books import BookTests
from chandlery.testing.candles import CandleTests
from chandlery.testing.contradictions import CONTRADICTIONS
from chandlery.testing.exchanges import ExchangeTests, read_payload
from chandlery.testing.live import LIVE, LiveTests
from fixtures.numbered_exchange import NumberedSpot, NumberedWire

SYNTHETIC = Path(__file__).parent.parent / "exchanges" / "synthetic"


class TestEveryExchange(ExchangeTests):
    """Each adapter of the registry, with the payloads written from its documentation."""

    @pytest.fixture(autouse=True, params=ExchangeRegistry.names())
    def _one(self, request):
        self.exchange = request.param
        self.payloads = SYNTHETIC / request.param

    def contradictions(self):
        """Two of each exchange, so that all are tested; each exchange has twenty draws of all in the long run."""
        return self._two_of(CONTRADICTIONS)

    def live_contradictions(self):
        """Likewise."""
        return self._two_of(LIVE)

    def _two_of(self, names):
        first = 2 * ExchangeRegistry.names().index(self.exchange)
        return [[*names][(first + each) % len(names)] for each in range(2)]


class TestNumberedChannels(CandleTests, BookTests, LiveTests):
    """An exchange whose messages name their stream by a number alone."""

    exchange = "numbered_spot"
    wire = NumberedWire

    def live_contradictions(self):
        """Connections that are replaced, and subscriptions that are refused."""
        return ["connection closed", "symbol refused in a batch"]

    @pytest.fixture(autouse=True)
    def _registered(self):
        ExchangeRegistry.register(self.exchange)(NumberedSpot)
        yield
        del ExchangeRegistry._adapters[self.exchange]


class Kraken(ExchangeTests):
    """One of them."""

    exchange = "kraken_spot"


@pytest.mark.parametrize("name", ["rest_candles", "rest_error", "live_candle"])
def test_a_payload_that_lacks_is_named(tmp_path, name):
    """And the folder in which it lacks."""
    for path in (SYNTHETIC / "kraken_spot").glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    tests = Kraken()
    tests.payloads = tmp_path
    tests.test_payloads_are_read_as_documented()
    (tmp_path / f"{name}.json").unlink()

    with pytest.raises(AssertionError, match=f"missing in .*: {name}"):
        tests.test_payloads_are_read_as_documented()


def test_a_payload_that_is_read_otherwise_is_named(tmp_path):
    """Every file is read by the kind with which its name begins; a misspelled kind is an error, not passed over."""
    for path in (SYNTHETIC / "kraken_spot").glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    tests = Kraken()
    tests.payloads = tmp_path
    (tmp_path / "live_bok.json").write_text("{}")
    with pytest.raises(AssertionError, match=r"live_bok\.json: .*, live_book, "):
        tests.test_payloads_are_read_as_documented()
    (tmp_path / "live_bok.json").unlink()
    wrong = json.loads((tmp_path / "rest_error.json").read_text()) | {"expect": "RateLimited"}
    (tmp_path / "rest_error-busy.json").write_text(json.dumps(wrong))

    with pytest.raises(AssertionError, match=r"rest_error-busy\.json"):
        tests.test_payloads_are_read_as_documented()


def test_what_is_expected_has_the_documented_shape():
    """Of candles, errors, books and instruments."""
    kraken = ExchangeRegistry.create("kraken_spot")
    book = {"error": [], "result": {"XXBTZUSD": {"bids": [["1", "2", 3]], "asks": [["4", "5", 6]]}}}
    refused = {"method": "subscribe", "success": False, "error": "Currency pair not supported A/B"}
    pairs = {"result": {"XXBTZUSD": {"wsname": "XBT/USD", "status": "cancel_only"}}}

    assert [
        {"symbol": "BTC/USD", "bids": [[1.0, 2.0]], "asks": [[4.0, 5.0]], "is_snapshot": True, "at": None}
    ] == read_payload(kraken, "book", {"payload": book, "symbol": "BTC/USD"})
    assert "InvalidSymbol" == read_payload(kraken, "live_error", {"payload": refused})
    assert read_payload(kraken, "live_error", {"payload": {"channel": "heartbeat"}}) is None
    assert [["BTC/USD", "BTC/USD", "halted"]] == read_payload(kraken, "instruments", {"payload": pairs})
    assert [] == read_payload(kraken, "live_book", {"payload": '{"channel":"heartbeat"}'})
