"""The one candle parser puts each value where its layout says, and takes nothing that is not a candle."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.adapter.layout import LATEST, CandleColumns, CandleLayout
from chandlery.core.candle import CandleData
from chandlery.core.errors import MalformedResponse
from chandlery.core.time import Unit

FULL = CandleLayout(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
BARE = CandleLayout(1, 2, 3, 4, 0, 5, unit=Unit.SECONDS)
PRICES = st.floats(0, 1e12)


@st.composite
def rows(draw):
    """Rows of twelve: times in ms, prices as number strings or numbers, a count, and whether it is closed, as text or not."""
    price = PRICES.map(draw(st.sampled_from([str, float])))
    time, word = st.integers(0, 2**42), st.booleans().map(draw(st.sampled_from([lambda said: str(said).lower(), bool])))
    return draw(
        st.lists(
            st.tuples(time, price, price, price, price, price, time, price, st.integers(0, 10**9), price, price, word)
        )
    )


@given(rows())
def test_each_value_comes_out_in_its_column(many):
    """Numbers and number strings give the same floats; times come out in microseconds."""
    columns = FULL.columns_of_json(json.dumps(many).encode())

    for name in CandleColumns.__struct_fields__:
        place = FULL.places()[name]
        if name == "closed":
            assert [row[place] in {True, "true"} for row in many] == list(columns.closed)
            continue
        kind, scale = (
            (int, 1000) if name in {"open_time", "close_time"} else (int, 1) if name == "count" else (float, 1)
        )
        assert [kind(row[place]) * scale for row in many] == list(getattr(columns, name))


@given(rows())
def test_rows_and_single_candles_agree(many):
    """By column and one by one the parser reads the same."""
    columns = FULL.columns_of_json(json.dumps(many).encode())
    typed = [
        (
            *row[:1],
            *map(float, row[1:6]),
            row[6],
            float(row[7]),
            row[8],
            *map(float, row[9:11]),
            row[11] in {True, "true"},
        )
        for row in many
    ]
    candles = [FULL.candle(row) for row in typed]

    assert list(columns.open_time) == [candle.open_time for candle in candles]
    assert list(columns.close) == [candle.close for candle in candles]
    assert list(columns.taker_buy_quote_volume or ()) == [candle.taker_buy_quote_volume for candle in candles]
    assert list(columns.closed) == [candle.closed for candle in candles]


def test_what_a_row_does_not_have_is_none():
    """Neither a column of zeros nor a zero."""
    columns = BARE.columns_of_json(b'[["2.5", 60, "1", "3", "0.5", 9]]')

    assert ([60_000_000], [1.0], [2.5], [9.0]) == tuple(
        map(list, (columns.open_time, columns.open, columns.close, columns.volume))
    )
    assert (None, None, None) == (columns.close_time, columns.count, columns.quote_asset_volume)
    assert CandleData(60_000_000, 1.0, 3.0, 0.5, 2.5, 9.0, closed=False) == BARE.candle((2.5, 60, 1.0, 3.0, 0.5, 9.0))


def test_no_rows_are_no_candles():
    """An empty answer is an answer: every column that the layout has is empty."""
    columns = FULL.columns_of_json(b"[]")

    assert {0} == {len(getattr(columns, name)) for name in FULL.places()}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{}",
        b"[1]",
        b"[[]]",
        b"[[1,2]]",
        b"\xff",
        b'{"code": -1}',
        b'[["x", 60, 1, 1, 1, 1]]',
        b"[[1, 60, 1, 1, 1, null]]",
    ],
)
def test_what_is_no_array_of_such_rows_is_malformed(body):
    """The error shows how the body begins."""
    with pytest.raises(MalformedResponse, match="it begins"):
        BARE.columns_of_json(body)


@pytest.mark.parametrize(("layout", "moment"), [(BARE, LATEST // 1_000_000 + 1), (BARE, -1), (BARE, 10**40)])
def test_a_moment_that_no_frame_can_hold_is_malformed(layout, moment):
    """Before 1970 and after 2262 there are no candles, so a number of that size is damage."""
    with pytest.raises(MalformedResponse):
        layout.columns_of_json(json.dumps([[1, moment, 1, 1, 1, 1]]).encode())


def test_a_count_that_no_frame_can_hold_is_malformed():
    """Counts are 64-bit integers in frames."""
    row = [0, 1, 1, 1, 1, 1, 0, 1, 2**63, 1, 1, None]

    with pytest.raises(MalformedResponse):
        FULL.columns_of_json(json.dumps([row]).encode())


def test_a_longer_row_is_read_and_a_shorter_one_as_far_as_it_goes():
    """What is no price and no volume may be missing; a column that one row lacks is none."""
    row = [0, "1", "2", "0.5", "1.5", "9", 60, "20", 7, "4", "8", "0"]
    whole = FULL.columns_of_json(json.dumps([row]).encode())

    assert whole == FULL.columns_of_json(json.dumps([[*row, "0", {"new": 1}]]).encode())
    short = FULL.columns_of_json(json.dumps([row, row[:7]]).encode())
    assert ([60_000] * 2, None, None) == (short.close_time, short.quote_asset_volume, short.count)
    assert ((False,), None) == (whole.closed, short.closed)
    assert None is FULL.candle_of_json(json.dumps(row[:6]).encode()).quote_asset_volume
    with pytest.raises(MalformedResponse):
        FULL.columns_of_json(json.dumps([row[:5]]).encode())


def test_a_key_that_is_missing_or_null_is_absent():
    """Of objects the same."""
    layout = CandleLayout("t", "o", "h", "l", "c", "v", quote_asset_volume="q", closed="x")
    row = {"t": 0, "o": 1, "h": 2, "l": 1, "c": 2, "v": 3}

    assert None is layout.columns_of_json(json.dumps([row]).encode()).quote_asset_volume
    assert CandleData(0, 1, 2, 1, 2, 3, closed=False) == layout.candle_of_json(
        json.dumps({**row, "q": None, "x": None, "new": []}).encode()
    )
