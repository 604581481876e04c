"""Metadata of an answer: number of rows, sources and gaps."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from chandlery.core.gaps import Gap
from chandlery.service.collection.broadcaster import gap_content
from chandlery.service.historical.interfaces import Piece, Source, merge

_MOST_TOLD = 200
"""Maximum number of sources and gaps that are listed."""


class AnswerReport:
    """Totals over the pieces of an answer."""

    def __init__(self) -> None:
        self.rows = 0
        self.sources: list[Source] = []
        self.gaps: list[Gap] = []

    def add(self, piece: Piece) -> None:
        """
        Add a piece; its first source and gap extend the last ones if they are of the same kind.

        A piece has already merged its own neighbours, so that the event loop does not compare thousands of gaps again.
        """
        self.rows += piece.table.num_rows
        gaps = piece.gaps
        if self.gaps and gaps:
            last, first = self.gaps[-1], gaps[0]
            if (last.end, last.kind, last.evidence) == (first.start, first.kind, first.evidence):
                self.gaps[-1] = structs.replace(last, end=first.end)
                gaps = gaps[1:]
        self.gaps += gaps
        merge(self.sources, piece.sources[:1])
        self.sources += piece.sources[1:]

    def plain(self) -> dict[str, Any]:
        """Return the report as JSON values; if there are too many gaps or sources, with the number omitted."""
        content: dict[str, Any] = {
            "rows": self.rows,
            "sources": [each.plain() for each in self.sources[:_MOST_TOLD]],
            "gaps": [gap_content(each) for each in self.gaps[:_MOST_TOLD]],
        }
        omitted = {
            "omitted_sources": len(self.sources) - _MOST_TOLD,
            "omitted_gaps": len(self.gaps) - _MOST_TOLD,
        }
        return content | {name: count for name, count in omitted.items() if count > 0}
