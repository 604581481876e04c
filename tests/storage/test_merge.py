from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.gaps import Gap, GapKind, Span
from chandlery.core.provenance import SourceSpan
from chandlery.core.query import ChartType
from chandlery.storage.frame import open_times, table_of
from chandlery.storage.merge import Content, clipped, disjoint, fresh, joined, overlay, part

MOMENTS = st.integers(0, 30)
SPANS = st.lists(
    st.tuples(MOMENTS, st.integers(1, 8), st.sampled_from("ab")).map(lambda s: SourceSpan(s[0], s[0] + s[1], s[2], 1)),
    max_size=4,
)


def _content(spans, moments, value, gaps=()):
    moments = sorted({at for at in moments if any(span.span.holds(at) for span in spans)})
    columns = {
        "open_time": moments,
        "contracts": ["a"] * len(moments),
        "funding_interval": ["8h"] * len(moments),
        "funding_rate": [value] * len(moments),
    }
    return Content(table_of(ChartType.FUNDING_RATE, columns), tuple(disjoint(spans, [])), tuple(gaps))


def _as_dict(content):
    return dict(zip(open_times(content.table).tolist(), content.table.column("funding_rate").to_pylist(), strict=True))


def _sources(spans):
    return {at: span.source for span in spans for at in range(span.start, span.end)}


@given(SPANS, st.sets(MOMENTS), SPANS, st.sets(MOMENTS))
def test_the_new_counts_where_both_cover_a_moment(old_spans, old_moments, new_spans, new_moments):
    """Elsewhere the old stays: rows and origins, moment by moment."""
    old, new = _content(old_spans, old_moments, 1.0), _content(new_spans, new_moments, 2.0)
    both = overlay(old, new)
    taken = _sources(new.spans)
    assert _as_dict(both) == {at: value for at, value in _as_dict(old).items() if at not in taken} | _as_dict(new)
    assert _sources(both.spans) == _sources(old.spans) | taken
    assert open_times(both.table).tolist() == sorted(_as_dict(both))


@given(SPANS, st.sets(MOMENTS), MOMENTS, MOMENTS)
def test_a_part_is_what_lies_in_the_span(spans, moments, start, end):
    """Its rows and its origins."""
    whole = _content(spans, moments, 1.0)
    piece = part(whole, Span(start, end))
    assert _as_dict(piece) == {at: value for at, value in _as_dict(whole).items() if start <= at < end}
    assert _sources(piece.spans) == {at: name for at, name in _sources(whole.spans).items() if start <= at < end}


@given(SPANS, st.lists(st.tuples(MOMENTS, MOMENTS).map(lambda pair: Span(*pair)), max_size=3))
def test_disjoint_spans_cover_each_moment_once(spans, never):
    """The later one in order counts, and what must never be covered is not."""
    found = disjoint(spans, never)
    assert found == sorted(found)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))
    expected = _sources(spans)
    assert _sources(found) == {at: name for at, name in expected.items() if not any(span.holds(at) for span in never)}


@given(SPANS)
def test_neighbours_of_one_origin_become_one(spans):
    """Nothing else changes."""
    found = joined(disjoint(spans, []))
    assert _sources(found) == _sources(disjoint(spans, []))
    assert not any(a.end == b.start and a.source == b.source for a, b in itertools.pairwise(found))


def test_new_knowledge_takes_the_place_of_old_gaps():
    """A gap that was repaired is gone; what of it lies elsewhere stays."""
    old = _content([SourceSpan(0, 10, "a", 1)], [], 1.0, [Gap(2, 8, GapKind.HALT)])
    new = _content([SourceSpan(4, 6, "b", 2)], [4], 2.0, [Gap(5, 6, GapKind.NO_TRADES)])
    assert overlay(old, new).gaps == (
        Gap(2, 4, GapKind.HALT),
        Gap(5, 6, GapKind.NO_TRADES),
        Gap(6, 8, GapKind.HALT),
    )


def test_gaps_are_clipped_and_joined_like_spans():
    """A hole over midnight is one hole, although two files tell of it."""
    gaps = [Gap(0, 5, GapKind.HALT), Gap(5, 9, GapKind.HALT), Gap(9, 10, GapKind.HALT, "other")]
    assert joined(gaps) == [Gap(0, 9, GapKind.HALT), Gap(9, 10, GapKind.HALT, "other")]
    assert clipped(gaps, Span(3, 7)) == [Gap(3, 5, GapKind.HALT), Gap(5, 7, GapKind.HALT)]


def test_what_came_from_the_cache_loses_that_mark():
    """It says how a span came this time, and is not part of what is kept."""
    assert fresh([SourceSpan(0, 1, "a", 1, cached=True)]) == [SourceSpan(0, 1, "a", 1)]
