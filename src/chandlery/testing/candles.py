"""Tests of an adapter's candles, funding rates and lists against the wire of the offline exchange."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import strategies as st

from chandlery.adapter.live import CandleStream, Channel
from chandlery.core.errors import ChandleryError, InvalidSymbol, RequestRejected
from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, HOUR, SECOND, Micros
from chandlery.testing.offline import OfflineAdapter, same, values_of
from chandlery.testing.wire_tests import NOW, WireTests, damaged, damaged_message, drawn

_EARLIEST: Micros = 1_672_531_200_000_000
"""2023-01-01, before which no candles are requested."""
_EARLIEST_FUNDING: Micros = 1_717_200_000_000_000
"""2024-06-01, before which no funding rates are requested."""
_COLUMNS = ("open_time", "open", "high", "low", "close", "volume")


class CandleTests(WireTests):
    """Candles by REST and sockets, funding rates, the clock and the list of instruments are the market's."""

    def test_rest_pages_are_the_market(self) -> None:
        """For any interval and ``[start, end)``, every candle of the market comes once, and no other."""
        facing = self.facing()

        def check(data: st.DataObject) -> None:
            interval = data.draw(st.sampled_from(list(facing.adapter.intervals)))
            most = 2 * facing.adapter.page_size + 5 if interval.longest < DAY else 30
            count = data.draw(st.integers(0, most))
            oldest = facing.adapter.oldest(interval, NOW) or _EARLIEST
            end = data.draw(st.integers(oldest, NOW + interval.longest))
            start = max(
                interval.step(interval.floor(end), -count) + data.draw(st.integers(0, interval.longest)), oldest
            )
            span = Span(start, max(start, end))
            same(facing.pages(interval, span), facing.expected(interval, span))

        drawn(40, check)

    def test_everything_that_is_retained_is_served(self) -> None:
        """Candles are served from the oldest one that the adapter declares to the running one."""
        facing = self.facing()
        for interval in facing.adapter.intervals:
            oldest = facing.adapter.oldest(interval, NOW)
            if oldest is not None and interval.longest <= HOUR and interval.count(oldest, NOW) <= 10_000:
                span = Span(oldest, NOW)
                same(facing.pages(interval, span), facing.expected(interval, span))

    def test_live_candles_are_those_of_rest(self) -> None:
        """The running candle and each that has closed, on every stream, equal those of REST; only closed ones say so."""
        facing = self.facing()
        for stream in self.streams(facing):
            self._check_stream(facing, stream)

    def _check_stream(self, facing: OfflineAdapter, stream: CandleStream) -> None:
        adapter, now = facing.adapter, facing.now
        session = facing.open(Channel.CANDLES)
        answers = facing.tell(session, adapter.subscribe([stream]))
        assert not [row for message in answers for row in adapter.live_rows(message) if row.candle.closed]
        (want,) = session.wants.values()
        assert stream.interval is want.interval
        grid = adapter.grid(stream.interval)
        facing.now = grid.step(grid.floor(now)) + SECOND
        span = Span(grid.floor(now), facing.now + 1)
        market = facing.view.candles(facing.symbol, stream.interval, span, 10, newest=False)
        messages = facing.frames(facing.wire.candles(session, want, market), want.key)
        rows = [row for message in messages for row in adapter.live_rows(message)]
        by_rest = facing.pages(stream.interval, span)
        facing.now = now

        assert {(row.symbol, row.interval) for row in rows} == {(facing.native, stream.interval)}
        assert len({row.candle.open_time for row in rows}) == len(market)
        for opened, values in {row.candle.open_time: values_of(row.candle) for row in rows}.items():
            assert values[:5] == by_rest[opened][:5]
            assert None in {values[5], by_rest[opened][5]} or values[5] == by_rest[opened][5]
        assert {row.candle.open_time for row in rows if row.candle.closed} <= {
            each.open_time for each in market if each.closed
        }
        if adapter.live_closes:
            closed = {row.candle.open_time: row.candle.closed for row in rows}
            assert closed == {each.open_time: each.closed for each in market}

    def test_leaving_a_stream_ends_it(self) -> None:
        """The others continue."""
        facing = self.facing()
        wanted = self.streams(facing)[: 1 if facing.adapter.socket.one_interval else 2]
        session = facing.open(Channel.CANDLES)
        facing.tell(session, facing.adapter.subscribe(wanted))
        assert len(session.wants) == len(wanted)
        facing.tell(session, facing.adapter.subscribe(wanted[:1], leave=True))

        assert [want.interval for want in session.wants.values()] == [each.interval for each in wanted[1:]]

    def test_a_refused_subscription_is_an_error(self) -> None:
        """The exchange's refusal is an error; without one no candles are parsed."""
        facing = self.facing()
        interval = self.streams(facing)[0].interval
        session = facing.open(Channel.CANDLES)
        messages = facing.tell(session, facing.adapter.subscribe([CandleStream(self.unknown(facing), interval)]))
        with contextlib.suppress(RequestRejected, InvalidSymbol):
            assert not [row for message in messages for row in facing.adapter.live_rows(message)]

    def test_funding_rates_are_the_market(self) -> None:
        """Every rate in ``[start, end)`` comes once, page by page, in the order that the adapter declares."""
        facing = self.facing()
        if not facing.adapter.funding_page_size:
            pytest.skip("it has no funding rates")

        def check(data: st.DataObject) -> None:
            start = data.draw(st.integers(_EARLIEST_FUNDING // SECOND, NOW // SECOND)) * SECOND
            span = Span(start, min(start + data.draw(st.integers(1, 400 * DAY // SECOND)) * SECOND, NOW))
            rates = {at // 1000 * 1000: float(rate) for at, rate in facing.view.funding(facing.symbol, span)}
            assert self._funding(facing, span) == rates

        drawn(20, check)

    def _funding(self, facing: OfflineAdapter, span: Span) -> dict[Micros, float]:
        adapter, left, page = facing.adapter, span, 0
        found: dict[Micros, float] = {}
        while left:
            page += 1
            rows = adapter.funding_rows(facing.body(adapter.funding_request(facing.native, left, page)))
            assert list(rows.open_time) == sorted(rows.open_time)
            pairs = zip(rows.open_time, rows.funding_rate, strict=True)
            fresh = {at: rate for at, rate in pairs if left.holds(at)}
            found |= fresh
            if adapter.funding_by_page:
                if rows.last or rows.open_time[0] <= left.start:
                    break
                continue
            if len(fresh) < adapter.funding_page_size:
                break
            left = Span(left.start, min(fresh)) if adapter.funding_newest_first else Span(max(fresh) + 1, left.end)
        return found

    def test_the_clock(self) -> None:
        """It is exact to a second at least."""
        facing = self.facing()

        assert abs(facing.adapter.clock(facing.ask(facing.adapter.server_time_request())) - NOW) <= SECOND

    def test_instruments(self) -> None:
        """Each has a spelling that the adapter understands, is of its market, and states the size of a contract."""
        facing = self.facing()
        adapter, listings, cursor = facing.adapter, [], None
        while True:
            page, cursor = adapter.instruments(facing.body(adapter.instruments_request(cursor)))
            listings += page
            if cursor is None:
                break

        assert facing.native in {each.symbol for each in listings}
        for each in listings:
            assert adapter.symbol(each.symbol) == each.symbol
            assert adapter.symbol(str(each.instrument)) == each.symbol
            assert adapter.market_type is each.instrument.market
            assert (each.contract_size is None) == (adapter.market_type is MarketType.SPOT)

    def test_an_unknown_symbol_is_an_error(self) -> None:
        """The exchange's words for it become ``InvalidSymbol``, which names the exchange."""
        facing = self.facing()
        interval = next(iter(facing.adapter.intervals))
        span = Span(interval.step(interval.floor(NOW), -3), NOW)
        error = facing.adapter.error(facing.ask(facing.adapter.candles_request(self.unknown(facing), interval, span)))

        assert isinstance(error, InvalidSymbol)
        assert self.exchange in str(error)

    def test_damaged_candles_are_errors_or_numbers(self) -> None:
        """With one node of an answer replaced, there are columns of one length, or a ``ChandleryError``."""
        facing = self.facing()
        interval = next(iter(facing.adapter.intervals))
        span = Span(NOW - 4 * interval.longest, NOW)
        response = facing.ask(facing.adapter.candles_request(facing.native, interval, span))

        def check(data: st.DataObject) -> None:
            body = damaged(data, response.body)
            try:
                error = facing.adapter.error(type(response)(response.status, response.headers, body))
                columns = facing.adapter.candles(body, interval) if error is None else None
            except ChandleryError:
                return
            if columns is not None:
                assert len({len(getattr(columns, name)) for name in _COLUMNS}) == 1
                assert np.array(columns.open_time, np.int64).size == len(columns.open_time)

        drawn(60, check)

    def test_damaged_live_messages_are_errors_or_numbers(self) -> None:
        """With one node of a message replaced, there are candles of numbers, or a ``ChandleryError``."""
        facing = self.facing()
        stream = self.streams(facing)[0]
        session = facing.open(Channel.CANDLES)
        messages = facing.tell(session, facing.adapter.subscribe([stream]))
        (want,) = session.wants.values()
        span = Span(NOW - 2 * stream.interval.longest, NOW)
        market = facing.view.candles(facing.symbol, stream.interval, span, 2, newest=True)
        messages += facing.frames(facing.wire.candles(session, want, market), want.key)

        def check(data: st.DataObject) -> None:
            message = damaged_message(data, facing, data.draw(st.sampled_from(messages)))
            try:
                rows = facing.adapter.live_rows(message)
            except ChandleryError:
                return
            assert all(isinstance(row.candle.open, float) and isinstance(row.interval, Interval) for row in rows)

        drawn(60, check)
