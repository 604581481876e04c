"""Tests that sources of past data inherit, in this package or in another; they need pytest and pytest-asyncio."""

from __future__ import annotations

import asyncio
import inspect
from abc import ABC, abstractmethod
from typing import ClassVar

import pandas as pd
import pytest

from chandlery.core.gaps import Span, merge
from chandlery.core.time import to_datetime
from chandlery.history.interfaces import DataClientInterface, FetchResult
from chandlery.tables.frame import open_times, schema_of


@pytest.mark.asyncio
class DataClientTests(ABC):
    """
    Tests of a ``DataClientInterface``; override the fixture ``client`` and set ``span``.

    ::

        class TestAcmeCandles(DataClientTests):
            span = Span(to_micros(datetime(2024, 5, 1, tzinfo=UTC)), to_micros(datetime(2024, 5, 2, tzinfo=UTC)))

            @pytest.fixture
            def client(self):
                return AcmeCandles(symbol="GOLD", interval=Interval.HOUR_1)
    """

    span: ClassVar[Span]
    """A time in the past with rows, at most ``page_size`` of them."""

    @pytest.fixture
    @abstractmethod
    def client(self) -> DataClientInterface:
        """Return the client of a series."""

    async def test_it_is_a_client(self, client: DataClientInterface) -> None:
        """It is complete, and its source has a name."""
        assert isinstance(client, DataClientInterface)
        assert not inspect.isabstract(type(client))
        assert client.source
        assert client.page_size is None or client.page_size > 0
        assert client.chart_type.dtypes

    async def test_rows_have_the_columns_of_their_kind(self, client: DataClientInterface) -> None:
        """Rows of the span come once, oldest first, in the schema of the chart type."""
        result = await client.fetch_span(self.span)
        assert result.table is not None
        opens = open_times(result.table).tolist()

        assert result.table.schema.equals(schema_of(client.chart_type))
        assert opens
        assert opens == sorted(set(opens))
        assert all(self.span.holds(opened) for opened in opens)

    async def test_frames_have_the_columns_of_their_kind(self, client: DataClientInterface) -> None:
        """The frame of ``fetch`` has a UTC index, and the dtypes of the chart type."""
        if type(client).fetch_span is not DataClientInterface.fetch_span:
            pytest.skip("its fetch_span does not call fetch")
        frame = await asyncio.to_thread(client.fetch, to_datetime(self.span.start), to_datetime(self.span.end))

        assert isinstance(frame.index, pd.DatetimeIndex)
        assert str(frame.index.tz) == "UTC"
        assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == dict(client.chart_type.dtypes)
        assert len(frame) == _count(await client.fetch_span(self.span))

    async def test_all_of_the_span_is_answered(self, client: DataClientInterface) -> None:
        """Its sources cover it, and a gap has no row."""
        result = await client.fetch_span(self.span)
        assert result.table is not None
        covered = merge(each.span for each in result.spans)

        assert any(each.start <= self.span.start and self.span.end <= each.end for each in covered)
        for gap in result.gaps:
            assert not any(gap.span.holds(opened) for opened in open_times(result.table).tolist())

    async def test_spans_are_half_open(self, client: DataClientInterface) -> None:
        """Two adjacent spans are the whole."""
        whole = await client.fetch_span(self.span)
        assert whole.table is not None
        opens = open_times(whole.table).tolist()
        middle = opens[len(opens) // 2]
        parts = [Span(self.span.start, middle), Span(middle, self.span.end)]
        found = [await client.fetch_span(part) for part in parts if part]

        assert [opened for each in found for opened in _opens(each)] == opens
        assert _opens(found[-1])[0] == middle

    async def test_closing(self, client: DataClientInterface) -> None:
        """It can be closed twice."""
        await client.close()
        await client.close()


def _opens(result: FetchResult) -> list[int]:
    return [] if result.table is None else open_times(result.table).tolist()


def _count(result: FetchResult) -> int:
    return len(_opens(result))
