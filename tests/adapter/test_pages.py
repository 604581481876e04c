"""How a span is cut into requests."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chandlery.adapter.pages import numbered_page, rest_chunks
from chandlery.core.errors import MalformedResponse
from chandlery.core.gaps import Span, subtract
from chandlery.core.interval import Interval
from chandlery.core.time import DAY
from fixtures.support import micros

JAN = micros(2024, 1, 1)
moments = st.integers(JAN, micros(2024, 6, 20))
intervals = st.sampled_from(Interval)


@given(data=st.data(), interval=intervals, chunk=st.integers(1, 1500), longest=st.sampled_from([None, 200 * DAY]))
@example(data=None, interval=Interval.DAY_1, chunk=1000, longest=200 * DAY).via("the inverse market's longest span")
def test_chunks_touch_and_keep_to_the_limits_of_a_request(data, interval, chunk, longest):
    """No chunk holds more candles than a page, nor lasts longer than a request may."""
    if data is None:
        span = Span(JAN - 1000 * DAY, JAN)
    else:
        first = data.draw(moments)
        span = Span(first, first + data.draw(st.integers(1, 3000)) * min(interval.longest, 7 * DAY))

    chunks = list(rest_chunks(span, interval, chunk=chunk, longest=longest))

    assert [] == subtract(span, chunks)
    assert span.start == chunks[0].start
    assert span.end == chunks[-1].end
    assert all(a.end == b.start for a, b in pairwise(chunks))
    assert all(interval.count(each.start, each.end) <= chunk for each in chunks)
    assert longest is None or all(each.end - each.start <= max(longest, interval.longest) for each in chunks)


@given(times=st.lists(moments, max_size=5), number=st.integers(1, 4), count=st.integers(0, 4))
def test_a_numbered_page_is_turned_round(times, number, count):
    """It comes with the latest first and leaves with the oldest first; in no order it is an error."""
    times.sort(reverse=True)
    rates = [(at, float(at)) for at in times]

    page = numbered_page(rates, number, count)

    assert (times[::-1], [float(at) for at in times[::-1]], number >= count) == page
    if len(set(times)) > 1:
        with pytest.raises(MalformedResponse, match=f"page {number} of funding rates"):
            numbered_page(rates[::-1], number, count)
