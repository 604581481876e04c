"""What is said of an answer."""

from __future__ import annotations

import pyarrow as pa

from chandlery.core.gaps import Gap, GapKind
from chandlery.service.historical.interfaces import Piece, Source
from chandlery.service.historical.report import AnswerReport

TABLE = pa.table({"a": [1, 2, 3]})


def test_pieces_add_up():
    """Rows, and sources of which neighbours are one."""
    report = AnswerReport()
    report.add(Piece(TABLE, [Source("rest", 0, 10, 3)]))
    report.add(Piece(TABLE, [Source("rest", 10, 20, 3)], [Gap(20, 30, GapKind.HALT)]))
    report.add(Piece(TABLE, [Source("database", 30, 40, 3)]))

    assert 9 == report.rows
    assert [Source("rest", 0, 20, 6), Source("database", 30, 40, 3)] == report.sources
    plain = report.plain()
    assert (9, 2, 1) == (plain["rows"], len(plain["sources"]), len(plain["gaps"]))
    assert "omitted_gaps" not in plain


def test_too_many_to_tell():
    """How many are left out is said."""
    report = AnswerReport()
    report.add(Piece(TABLE, [], [Gap(at, at + 1, GapKind.HALT) for at in range(0, 1000, 2)]))

    assert (200, 300) == (len(report.plain()["gaps"]), report.plain()["omitted_gaps"])
