"""Reading JSON with types: what is asked for, or our error."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import defstruct

from chandlery.adapter.payload import LATEST, Finite, Millis, batches, reader
from chandlery.core.errors import MalformedResponse


def test_a_value_below_nested_keys():
    """Whatever stands beside it is passed over; number strings are numbers."""
    read = reader(list[float], "result", "list", what="numbers")

    assert [1.5, 2.0] == read(b'{"code": 0, "result": {"x": [], "list": ["1.5", 2]}}')


@pytest.mark.parametrize("body", [b"", b"[]", b'{"result": 1}', b'{"result": {"list": ["x"]}}', b"\xff", b'{"result"'])
def test_anything_else_is_our_error(body):
    """It says what was expected and how the body begins."""
    with pytest.raises(MalformedResponse, match=r"not numbers: .*it begins"):
        reader(list[float], "result", "list", what="numbers")(body)


@given(st.floats() | st.integers() | st.text(max_size=5) | st.sampled_from(["NaN", "inf", "-Infinity", "1e999"]))
def test_finite_numbers_are_finite(value):
    """Neither infinity nor NaN comes through, however it is written."""
    try:
        number = reader(Finite, what="a number")(json.dumps(value).encode())
    except MalformedResponse:
        return

    assert abs(number) <= 1e300


def test_moments_end_where_frames_end():
    """A moment that no frame can hold is refused."""
    read = reader(Millis, what="a moment")

    assert LATEST // 1000 == read(str(LATEST // 1000).encode())
    for body in (str(LATEST // 1000 + 1).encode(), b"-1"):
        with pytest.raises(MalformedResponse):
            read(body)


@given(st.lists(st.integers(), max_size=50), st.integers(1, 20))
def test_batches_hold_everything_in_order(items, size):
    """None is longer than allowed, and together they are the items."""
    parts = batches(items, size)

    assert items == [each for part in parts for each in part]
    assert all(0 < len(part) <= size for part in parts)


def test_rows_may_grow_and_lack_what_is_not_read():
    """Places beyond those of a tuple are passed over, and those that are ``Any`` at its end may be missing."""
    read = reader(dict[str, list[tuple[float, float, Any]]], "held", what="levels")

    assert {"bids": [(1.0, 2.0, 3), (1.0, 2.0, None)]} == read(b'{"held": {"bids": [["1", 2, 3, "new"], [1, 2]]}}')
    with pytest.raises(MalformedResponse, match="not levels: Expected `array` of length 3"):
        read(b'{"held": {"bids": [[1]]}}')


def test_of_a_union_the_kind_that_a_message_is_decides():
    """The rows of one kind are not cut to those of another."""
    pair = defstruct("Pair", [("row", tuple[int, int])], tag_field="kind", tag="pair")
    three = defstruct("Three", [("row", tuple[int, int, int])], tag_field="kind", tag="three")
    read = reader(pair | three, what="a message")

    assert (1, 2) == read(b'{"kind": "pair", "row": [1, 2, 3, 4]}').row
    assert (1, 2, 3) == read(b'{"kind": "three", "row": [1, 2, 3, 4]}').row
