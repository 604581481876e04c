"""Pages of a range."""

from __future__ import annotations

from chandlery.connector import DataSourceConnectorImpl
from chandlery.core.gaps import Gap, GapKind, Span
from chandlery.core.series_id import SeriesId
from chandlery.core.time import MINUTE, iso
from chandlery.service.historical.interfaces import Source
from chandlery.service.historical.pages import moment_of_cursor
from chandlery.service.mcp.ranges import Asked, Page, told

ASKED = Asked(
    DataSourceConnectorImpl().resolve(SeriesId.parse("binance", "BTC-USDT:USDT", "candles:1m")), Span(0, 10 * MINUTE)
)


def page():
    """Ten minutes from two sources, the fifth of which is missing."""
    times = [minute * MINUTE for minute in range(10) if minute != 5]
    rows = [(iso(time), 1.0, 1.0, 1.0, 1.0, 1.0) for time in times]
    sources = [Source("vision", 0, 4 * MINUTE, 4), Source("rest", 4 * MINUTE, 10 * MINUTE, 5)]
    return Page(0, 10 * MINUTE, rows, times, sources, [Gap(5 * MINUTE, 6 * MINUTE, GapKind.HALT, "none")])


def test_the_first_part_of_a_page_tells_only_of_itself():
    """Its sources are cut, its gaps are its own, and the cursor leads to the row after it."""
    part = page().first(5)

    assert (5, [4, 1], []) == (len(part.rows), [each.rows for each in part.sources], part.gaps[1:])
    assert 6 * MINUTE == moment_of_cursor(part.next(ASKED), ASKED.span)
    assert [] == page().first(3).gaps
    assert [Source("vision", 0, 3 * MINUTE, 3)] == page().first(3).sources
    assert page().first(9).next(ASKED) is None


def test_the_address_of_a_range():
    """Each part can be read from it again."""
    assert "chandlery://candles/binance/BTC%2FUSDT:USDT/1m/1970-01-01T00:00:00Z/1970-01-01T00:10:00Z" == ASKED.uri
    assert 10 == ASKED.count


def test_what_is_too_much_to_name_is_counted():
    """Of sources and of gaps."""
    known = told([Source("rest", 0, 1, 1)] * 12, [Gap(0, 1, GapKind.HALT, "x" * 1000)] * 11)

    assert (10, 2, 10, 1) == (
        len(known["sources"]),
        known["omitted_sources"],
        len(known["gaps"]),
        known["omitted_gaps"],
    )
    assert all(len(gap.evidence) <= 200 for gap in known["gaps"])
