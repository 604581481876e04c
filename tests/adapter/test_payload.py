"""Reading JSON with types: what is asked for, or our error."""

from __future__ import annotations

import json
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct, defstruct

from chandlery.adapter.payload import LATEST, Finite, Millis, Whole, batches, reader
from chandlery.core.errors import MalformedResponse


class Tree(Struct):
    """Holds itself."""

    size: Whole
    children: list[Tree] = []


def test_a_value_below_nested_keys():
    """Whatever stands beside it is passed over; number strings are numbers."""
    read = reader(list[Finite], "result", "list", what="numbers")

    assert [1.5, 2.0] == read(b'{"code": 0, "result": {"x": [], "list": ["1.5", 2]}}')


@pytest.mark.parametrize("body", [b"", b"[]", b'{"result": 1}', b'{"result": {"list": ["x"]}}', b"\xff", b'{"result"'])
def test_anything_else_is_our_error(body):
    """It says what was expected and how the body begins."""
    with pytest.raises(MalformedResponse, match=r"not numbers: .*it begins"):
        reader(list[Finite], "result", "list", what="numbers")(body)


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


@given(st.integers(-(2**70), 2**70) | st.sampled_from([2**63, 2**63 - 1, -(2**63), -(2**63) - 1, 10**20]))
def test_whole_numbers_fit_into_the_database(value):
    """Into 64 bits, as numbers and as texts."""
    read = reader(Whole, what="a number")
    for body in (str(value), f'"{value}"'):
        if -(2**63) <= value < 2**63:
            assert value == read(body.encode())
        else:
            with pytest.raises(MalformedResponse):
                read(body.encode())


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        (int, "it"),
        (list[float | None], r"it\[\]"),
        (dict[str, tuple[Finite, int]], r"it\[\]\[1\]"),
        (dict[Annotated[int, Meta(ge=0)], str], "a key of it"),
        (defstruct("Event", [("time", Millis), ("trades", list[Annotated[float, Meta(le=5)]])]), r"Event.trades\[\]"),
    ],
)
def test_numbers_of_any_size_are_refused_where_a_reader_is_made(kind, place):
    """Below a path too; bounded ones, texts and what is not read pass, also of a struct that holds itself."""
    for path in ((), ("result",)):
        with pytest.raises(TypeError, match=rf"{place}.* must be bounded"):
            reader(kind, *path, what="a message")


def test_what_is_bounded_may_hold_itself():
    """As a tree."""
    read = reader(Tree, "tree", what="a tree")
    assert 2 == read(b'{"tree": {"size": 1, "children": [{"size": "2"}]}}').children[0].size


@pytest.mark.parametrize("text", ['"\\ud800"', '"a\\udfffb"', '"\\ud83dx"'])
def test_texts_that_are_no_unicode_are_refused(text):
    """The database could not store them."""
    with pytest.raises(MalformedResponse):
        reader(str, what="a text")(text.encode())


@given(st.lists(st.integers(), max_size=50), st.integers(1, 20))
def test_batches_hold_everything_in_order(items, size):
    """None is longer than allowed, and together they are the items."""
    parts = batches(items, size)

    assert items == [each for part in parts for each in part]
    assert all(0 < len(part) <= size for part in parts)


def test_rows_may_grow_and_lack_what_is_not_read():
    """Places beyond those of a tuple are passed over, and those that are ``Any`` at its end may be missing."""
    read = reader(dict[str, list[tuple[Finite, Finite, Any]]], "held", what="levels")

    assert {"bids": [(1.0, 2.0, 3), (1.0, 2.0, None)]} == read(b'{"held": {"bids": [["1", 2, 3, "new"], [1, 2]]}}')
    with pytest.raises(MalformedResponse, match="not levels: Expected `array` of length 3"):
        read(b'{"held": {"bids": [[1]]}}')


def test_of_a_union_the_kind_that_a_message_is_decides():
    """The rows of one kind are not cut to those of another."""
    pair = defstruct("Pair", [("row", tuple[Whole, Whole])], tag_field="kind", tag="pair")
    three = defstruct("Three", [("row", tuple[Whole, Whole, Whole])], tag_field="kind", tag="three")
    read = reader(pair | three, what="a message")

    assert (1, 2) == read(b'{"kind": "pair", "row": [1, 2, 3, 4]}').row
    assert (1, 2, 3) == read(b'{"kind": "three", "row": [1, 2, 3, 4]}').row
