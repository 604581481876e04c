"""Pages of an answer."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.errors import InvalidInput
from chandlery.core.gaps import Gap, GapKind, Span
from chandlery.core.query import ChartType
from chandlery.core.series_id import SeriesId
from chandlery.core.time import DAY, iso
from chandlery.service.historical.interfaces import Piece, Source
from chandlery.service.historical.pages import (
    cache_headers,
    candle_page,
    cursor_of,
    is_immutable,
    moment_of_cursor,
    tag_of,
)
from chandlery.tables.frame import schema_of
from fixtures.candle_tables import candles

SERIES = SeriesId.parse("binance", "BTC/USDT", "candles:1m")
MINUTE = 60_000_000


@given(st.integers(0, 2**53))
def test_cursors_name_a_moment(moment):
    """And none of another range, nor anything else, is taken for one."""
    span = Span(moment, moment + 1)
    assert moment == moment_of_cursor(cursor_of(moment), span)
    with pytest.raises(InvalidInput, match="does not belong to this range"):
        moment_of_cursor(cursor_of(moment + 1), span)


@given(st.text(max_size=30))
def test_noise_is_no_cursor(text):
    """With an error of ours."""
    with pytest.raises(InvalidInput):
        moment_of_cursor(text, Span(2**60, 2**60 + 1))


async def stream(sizes):
    """Pieces of so many minutes each."""
    at = 0
    for size in sizes:
        yield Piece(candles(size, at * MINUTE), [Source("rest", at * MINUTE, (at + size) * MINUTE, size)])
        at += size


@given(st.lists(st.integers(1, 7), max_size=6), st.integers(1, 10))
async def test_pages_are_the_whole(sizes, limit):
    """Whatever the pieces and the limit are, page after page gives every row once."""
    span, at, opens, pages = Span(0, 100 * MINUTE), 0, [], 0
    while True:
        rest = [piece async for piece in stream(sizes)]
        left = _from(rest, at // MINUTE)
        content, whole = await candle_page(left, schema_of(ChartType.KLINES), SERIES, span, at, limit)
        page = json.loads(content)
        assert whole
        assert len(page["rows"]) == sum(source["rows"] for source in page["sources"])
        assert all(page["start"] <= source["start"] < source["end"] <= page["end"] for source in page["sources"])
        opens += [row[0] // 60_000 for row in page["rows"]]
        pages += 1
        assert len(page["rows"]) <= limit
        if page["next"] is None:
            break
        at = moment_of_cursor(page["next"], span)

    assert [*range(sum(sizes))] == opens
    assert pages == max(-(-sum(sizes) // limit), 1)


async def _from(pieces, first):
    """The rows from a minute on."""
    at = 0
    for piece in pieces:
        skip = max(first - at, 0)
        at += piece.table.num_rows
        if skip < piece.table.num_rows:
            yield Piece(piece.table.slice(skip), piece.sources)


async def test_a_page_without_rows_ends_after_a_while():
    """As far before a listing, where each stretch takes its time; the next page goes on where it ended."""
    moments = iter(range(1_000))

    async def pieces(at):
        for start in range(at, 10 * MINUTE, MINUTE):
            yield Piece(candles(0, 0), [], [Gap(start, start + MINUTE, GapKind.NOT_LISTED, "not yet")])

    at, ends, span = 0, [], Span(0, 10 * MINUTE)
    while at is not None:
        content, whole = await candle_page(
            pieces(at), schema_of(ChartType.KLINES), SERIES, span, at, 1_000, ticks=lambda: next(moments)
        )
        page = json.loads(content)
        assert (whole, [], 1) == (True, page["rows"], len(page["gaps"]))
        assert (page["start"], page["end"]) == (page["gaps"][0]["start"], page["gaps"][0]["end"])
        ends.append(page["end"])
        at = None if page["next"] is None else moment_of_cursor(page["next"], span)
    assert [iso(minute * MINUTE) for minute in (3, 6, 9, 10)] == ends


async def test_a_page_tells_its_own_gaps_and_how_many_it_does_not_name():
    """Those that begin after it are of a later page."""
    holes = [Gap(number * MINUTE, (number + 1) * MINUTE, GapKind.NO_TRADES, f"none {number}") for number in range(250)]
    late = Gap(300 * MINUTE + 1, 301 * MINUTE, GapKind.FETCH_FAILED, "cut off")

    async def pieces():
        yield Piece(candles(301, 0), [Source("rest", 0, 301 * MINUTE, 301)], [*holes, late])

    schema = schema_of(ChartType.KLINES)
    content, whole = await candle_page(pieces(), schema, SERIES, Span(0, 301 * MINUTE), 0, 300)
    page = json.loads(content)
    assert (200, 50, True, 300) == (len(page["gaps"]), page["omitted_gaps"], whole, len(page["rows"]))
    content, whole = await candle_page(pieces(), schema, SERIES, Span(0, 301 * MINUTE), 0, 301)
    assert (51, False) == (json.loads(content)["omitted_gaps"], whole)


def test_what_is_old_may_be_kept():
    """For good, by the caller alone; what is new must be asked for again."""
    assert is_immutable(Span(0, DAY), 4 * DAY)
    assert not is_immutable(Span(0, DAY), 2 * DAY)
    assert "immutable" in cache_headers(tag_of(b"x"), immutable=True)["Cache-Control"]
    assert "no-cache" in cache_headers(tag_of(b"x"), immutable=False)["Cache-Control"]
    assert tag_of(b"x") == tag_of(b"x") != tag_of(b"y")
