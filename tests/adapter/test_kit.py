"""What adapters declare: spellings of intervals, commands, clocks."""

from __future__ import annotations

import pytest

from chandlery.adapter.kit import clock_reader, command, header_time, intervals_of
from chandlery.core.errors import MalformedResponse, UnknownInterval
from chandlery.core.http import Response
from chandlery.core.interval import Interval
from chandlery.core.time import Unit
from fixtures.support import micros


def test_intervals_are_spelled_in_order():
    """As the exchange spells them, or as they are called here."""
    assert {Interval.MINUTE_1: "60", Interval.HOUR_1: "1h", Interval.MONTH_1: "1M"} == intervals_of("1m=60 1h 1M")
    assert [Interval.HOUR_1, Interval.MINUTE_1] == list(intervals_of("1h 1m"))
    with pytest.raises(UnknownInterval, match="2m"):
        intervals_of("2m=120")


def test_commands_are_json():
    """In the order of their keys."""
    assert '{"op":"join","names":["a"]}' == command({"op": "join", "names": ["a"]})


@pytest.mark.parametrize(
    ("path", "unit", "body"),
    [
        ((), Unit.MILLIS, b"1700000000000"),
        (("time",), Unit.SECONDS, b'{"time":"1700000000"}'),
        (("a", "b"), Unit.MICROS, b'{"a":{"b":1700000000000000}}'),
    ],
)
def test_clocks_are_read(path, unit, body):
    """Below any keys, in any unit, as number or text."""
    assert 1_700_000_000_000_000 == clock_reader(path, unit)(body)
    for wrong in (b"null", b"{}", b'{"time":-1}', b'{"a":{"b":1e300}}'):
        with pytest.raises(MalformedResponse, match="a server time"):
            clock_reader(path, unit)(wrong)


def test_a_header_has_the_time():
    """To the second; without one there is no time."""
    assert micros(2025, 3, 12, 10, 20, 30) == header_time(Response(200, {"date": "Wed, 12 Mar 2025 10:20:30 GMT"}, b""))
    for headers in ({}, {"date": "tomorrow"}):
        with pytest.raises(MalformedResponse, match="Date header"):
            header_time(Response(200, headers, b""))
