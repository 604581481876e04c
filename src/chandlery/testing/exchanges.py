"""Tests that an exchange adapter inherits, in this package or in another; they need pytest and hypothesis."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, ClassVar

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.adapter.standing import DECLARATIONS, NOTHING, Standing
from chandlery.core.book import BookUpdate
from chandlery.core.errors import ChandleryError, InvalidSymbol, UnsupportedRequest
from chandlery.core.gaps import Span
from chandlery.core.http import Response
from chandlery.core.instrument import Instrument
from chandlery.core.interval import Interval
from chandlery.testing.books import BookTests
from chandlery.testing.candles import CandleTests
from chandlery.testing.contradictions import ContradictionTests
from chandlery.testing.live import LiveTests


def _rest_candles(adapter: ExchangeAdapter, body: bytes, held: dict[str, Any]) -> Any:
    columns = adapter.candles(body, Interval(held.get("interval", "1m")))
    names = ("open_time", "open", "high", "low", "close", "volume")
    return [list(row) for row in zip(*(getattr(columns, name) for name in names), strict=True)]


def _rest_error(adapter: ExchangeAdapter, body: bytes, held: dict[str, Any]) -> Any:
    assert held["status"] < 500, "a response with status 5xx is always retried"
    assert held["status"] != 429, "a response with status 429 is always retried"
    return _name_of(adapter.error(Response(held["status"], {}, body)))


def _live_candle(adapter: ExchangeAdapter, body: bytes, _held: dict[str, Any]) -> Any:
    rows = adapter.live_rows(adapter.decode(body))
    names = ("open_time", "open", "high", "low", "close", "volume", "closed")
    return [[row.symbol, row.interval.value, *(getattr(row.candle, name) for name in names)] for row in rows]


def _live_error(adapter: ExchangeAdapter, body: bytes, _held: dict[str, Any]) -> Any:
    try:
        adapter.live_rows(adapter.decode(body))
    except ChandleryError as error:
        return _name_of(error)
    return None


def _book(adapter: ExchangeAdapter, body: bytes, held: dict[str, Any]) -> Any:
    return [_levels(adapter.book_snapshot(held["symbol"], body))]


def _live_book(adapter: ExchangeAdapter, body: bytes, _held: dict[str, Any]) -> Any:
    return [_levels(each) for each in adapter.book_updates(adapter.decode(body))]


def _instruments(adapter: ExchangeAdapter, body: bytes, _held: dict[str, Any]) -> Any:
    return [[each.symbol, str(each.instrument), each.status.value] for each in adapter.instruments(body)[0]]


def _funding(adapter: ExchangeAdapter, body: bytes, _held: dict[str, Any]) -> Any:
    rates = adapter.funding_rows(body)
    return [list(row) for row in zip(rates.open_time, rates.funding_rate, strict=True)]


def _levels(update: BookUpdate) -> dict[str, Any]:
    sides = {"bids": [*map(list, update.bids)], "asks": [*map(list, update.asks)]}
    return {"symbol": update.symbol, **sides, "is_snapshot": update.is_snapshot, "at": update.at}


def _name_of(error: ChandleryError | None) -> str | None:
    return None if error is None else type(error).__name__


_READERS = {
    "rest_candles": _rest_candles,
    "rest_error": _rest_error,
    "live_candle": _live_candle,
    "live_ack": _live_candle,
    "live_error": _live_error,
    "book": _book,
    "live_book": _live_book,
    "instruments": _instruments,
    "funding": _funding,
}

_OF_CCXT = "ccxt"
"""Kind of the files with ccxt's names and requests, which other tests compare with."""


def read_payload(adapter: ExchangeAdapter, kind: str, held: dict[str, Any]) -> Any:
    """
    Read the payload of a file with an adapter, in the shape of its ``expect``.

    ``rest_candles``: rows of open time in microseconds, open, high, low, close, volume, oldest first. ``live_candle`` and
    ``live_ack``: rows of symbol, interval, the same six, and whether the candle is closed. ``rest_error`` and
    ``live_error``: the name of the error class, or ``null``. ``book`` and ``live_book``: objects with ``symbol``, ``bids``,
    ``asks``, ``is_snapshot`` and ``at``, one for each update. ``instruments``: rows of symbol, instrument and status.
    ``funding``: rows of moment in microseconds and rate.
    """
    payload = held["payload"]
    text = payload if isinstance(payload, str) else json.dumps(payload)
    return _READERS[kind](adapter, bytes.fromhex(text) if held.get("binary") else text.encode(), held)


class ExchangeTests(CandleTests, BookTests, ContradictionTests, LiveTests):
    """
    Tests that every exchange adapter passes.

    Inherit it in a test module, and name the ``exchange`` and the folder of its ``payloads``::

        class TestAcmeSpot(ExchangeTests):
            exchange = "acme_spot"
            payloads = Path(__file__).parent / "payloads"
            wire = AcmeWire

    With a ``wire`` the adapter is proved against the offline exchange; without one those tests are skipped.
    """

    payloads: ClassVar[Path]
    """The folder of the payloads that were written from the exchange's documentation."""

    @property
    def adapter(self) -> ExchangeAdapter:
        """The adapter, with its own addresses."""
        return ExchangeRegistry.create(self.exchange)

    def test_payloads_are_read_as_documented(self) -> None:
        """Payloads of all required kinds exist, and each is parsed as expected."""
        adapter = self.adapter
        files = {path.stem: path for path in sorted(self.payloads.glob("*.json"))}
        kinds = {name.partition("-")[0] for name in files}
        wanted = {"rest_candles", "rest_error"} | ({"live_candle"} if adapter.live_intervals else set())

        assert not wanted - kinds, f"missing in {self.payloads}: {', '.join(sorted(wanted - kinds))}"
        for name, path in files.items():
            kind = name.partition("-")[0]
            if kind == _OF_CCXT:
                continue
            assert kind in _READERS, f"{path.name}: the name begins with one of {', '.join(_READERS)}"
            held = json.loads(path.read_text())
            assert held["source"].startswith("https://"), path.name
            assert held["expect"] == read_payload(adapter, kind, held), path.name

    def test_declarations_are_whole(self) -> None:
        """Page size, limits, row, addresses; no two intervals are spelled alike."""
        adapter = self.adapter

        assert self.exchange == adapter.id
        assert adapter.page_size > 0
        assert all(limit.weight > 0 and limit.seconds > 0 for limit in adapter.limits)
        assert adapter.volume_unit in {"base", "quote", "contracts"}
        assert set(adapter.rest_row.places()) >= {"open_time", "open", "high", "low", "close", "volume"}
        assert adapter.rest_url.startswith("https://")
        assert len(set(adapter.intervals.values())) == len(adapter.intervals)

    def test_rules_of_the_socket_can_be_obeyed(self) -> None:
        """Limits are positive, and a connection that must be pinged is pinged before it counts as dead."""
        rules = self.adapter.socket

        assert rules.streams >= 1
        assert rules.per_message >= 1
        assert rules.idle_s > (rules.ping_every_s or 0)
        assert rules.lifetime_s is None or rules.lifetime_s > rules.idle_s
        for limit in (rules.messages, rules.connects):
            assert limit is None or (limit.weight > 0 and limit.seconds > 0)

    def test_standings_are_shown(self) -> None:
        """Each declaration has one; a documented one has a link, a recorded or contradicted one its evidence."""
        standing = self.adapter.standing

        assert set(DECLARATIONS) == set(standing)
        assert standing != NOTHING, (
            "state the evidence for each declaration in standing; see chandlery.adapter.standing"
        )
        for name, seen in standing.items():
            if seen.standing is Standing.DOCUMENTED:
                assert "https://" in seen.note, name
            elif seen.standing is Standing.CONTRADICTED:
                assert re.search(r"\d", seen.note), name
            elif seen.standing is Standing.RECORDED:
                assert seen.note, name

    def test_every_interval_is_spelled_or_refused(self) -> None:
        """Requests for missing features are refused before they are sent, with the features that exist."""
        adapter = self.adapter
        for interval in Interval:
            if interval in adapter.intervals:
                assert adapter.interval_name(interval)
                continue
            try:
                adapter.candles_request("BTCUSDT", interval, Span(0, interval.longest))
            except UnsupportedRequest as refused:
                assert f"{self.exchange} has no {interval.value} candles; it has" in str(refused)
            else:
                raise AssertionError(f"{interval.value} is not declared and not refused")

    def test_examples_are_symbols(self) -> None:
        """Spellings of ``example`` are parsed, and so are the resulting symbols; other text raises a short error."""
        adapter = self.adapter
        symbols = [adapter.symbol(each.strip()) for each in re.split(r",| or ", adapter.example)]

        assert symbols == [adapter.symbol(each) for each in symbols]
        for text in ("no symbol at all", "", "BTC/../USDT", "A" * 10_000):
            try:
                adapter.symbol(text)
            except InvalidSymbol as refused:
                assert len(str(refused)) < 400  # some lines
            else:
                raise AssertionError(f"{text[:20]!r} is not a symbol")

    def test_symbols_of_other_markets_are_refused(self) -> None:
        """A perpetual is not a symbol of spot or of the other perpetuals."""
        adapter = self.adapter
        for text in ("BTC/USDT:USDT", "BTC/USD:BTC"):
            if Instrument.parse(text).market is adapter.market_type:
                continue
            try:
                adapter.symbol(text)
            except InvalidSymbol:
                continue
            raise AssertionError(f"{text} is not a symbol of {self.exchange}")
