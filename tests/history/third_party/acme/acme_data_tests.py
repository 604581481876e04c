"""The tests of Acme's data: those that every source of past data inherits."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from acme_data import AcmeCandles, AcmeOpenInterest

from chandlery import Interval, Span
from chandlery.core.moment import to_micros
from chandlery.testing import DataClientTests


class AcmeTests(DataClientTests):
    """A day of hours."""

    span = Span(to_micros(datetime(2024, 5, 1, tzinfo=UTC)), to_micros(datetime(2024, 5, 2, tzinfo=UTC)))


class TestAcmeCandles(AcmeTests):
    """Candles."""

    @pytest.fixture
    def client(self):
        return AcmeCandles(symbol="GOLD", interval=Interval.HOUR_1)


class TestAcmeOpenInterest(AcmeTests):
    """A kind of data of its own."""

    @pytest.fixture
    def client(self):
        return AcmeOpenInterest(symbol="GOLD", interval=Interval.HOUR_1)
