from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from chandlery.cache.merge import disjoint, fresh, joined, overlay, parts, settled
from chandlery.core.gaps import Gap, GapKind, Span, clipped
from chandlery.core.provenance import SourceSpan
from chandlery.core.query import ChartType
from chandlery.tables.frame import open_times, table_of
from chandlery.tables.part import Part

MOMENTS = st.integers(0, 30)
SPANS = st.lists(
    st.tuples(MOMENTS, st.integers(1, 8), st.sampled_from("ab")).map(lambda s: SourceSpan(s[0], s[0] + s[1], s[2], 1)),
    max_size=4,
)

SPANS_OF_GAPS = st.tuples(MOMENTS, st.integers(1, 8)).map(lambda pair: Span(pair[0], pair[0] + pair[1]))


def _content(spans, moments, value, gaps=()):
    moments = sorted({at for at in moments if any(span.span.holds(at) for span in spans)})
    columns = {
        "open_time": moments,
        "contracts": ["a"] * len(moments),
        "funding_interval": ["8h"] * len(moments),
        "funding_rate": [value] * len(moments),
    }
    return Part(table_of(ChartType.FUNDING_RATE, columns), tuple(disjoint(spans, [])), tuple(gaps))


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


@given(SPANS, st.sets(MOMENTS), st.lists(MOMENTS, unique=True, min_size=2), st.lists(SPANS_OF_GAPS, max_size=5))
def test_parts_are_what_lies_in_each_span(spans, moments, bounds, holes):
    """Rows, origins and gaps, also of what begins in one of them and ends in another."""
    whole = _content(spans, moments, 1.0, [Gap(hole.start, hole.end, GapKind.HALT) for hole in holes])
    wanted = [Span(*pair) for pair in itertools.pairwise(sorted(bounds))]
    found = list(parts(whole, wanted))
    assert len(found) == len(wanted)
    for piece, span in zip(found, wanted, strict=True):
        assert _as_dict(piece) == {at: value for at, value in _as_dict(whole).items() if span.holds(at)}
        assert _sources(piece.spans) == {at: name for at, name in _sources(whole.spans).items() if span.holds(at)}
        assert sorted(gap.span for gap in piece.gaps) == sorted(part for hole in holes if (part := hole.clip(span)))


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


@given(SPANS, st.sets(MOMENTS))
def test_a_settled_day_names_each_source_once(spans, moments):
    """Where all of it is known, the parts of a source are one, of the latest fetch; else each part keeps its own."""
    day = Span(0, 10)
    fetched = [structs.replace(each, fetched_at=index) for index, each in enumerate(spans)]
    content = next(parts(_content(fetched, moments, 1.0), [day]))
    found = settled(content, day)
    if {*range(10)} != {*_sources(content.spans)}:
        assert found == content
        return
    assert _sources(found.spans) == _sources(content.spans)
    assert not any(a.end == b.start and a.source == b.source for a, b in itertools.pairwise(found.spans))
    for each in found.spans:
        assert each.fetched_at == max(part.fetched_at for part in content.spans if each.span.holds(part.start))


def test_a_day_of_two_archive_files_names_both():
    """Files and their checksums are no neighbours of one source."""
    spans = [SourceSpan(0, 5, "vision", 1, "a.zip", "00"), SourceSpan(5, 10, "vision", 1, "b.zip", "11")]
    content = _content(spans, [], 1.0)
    assert settled(content, Span(0, 10)) == content


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
