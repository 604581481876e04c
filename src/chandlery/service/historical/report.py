"""What is said of an answer: how many rows, from where, and what is missing."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from chandlery.core.gaps import Gap
from chandlery.service.collection.broadcaster import gap_content
from chandlery.service.historical.interfaces import Piece, Source, merge

_MOST_TOLD = 200
"""How many sources and gaps are named one by one."""


class AnswerReport:
    """The sum of the pieces of an answer."""

    def __init__(self) -> None:
        self.rows = 0
        self.sources: list[Source] = []
        self.gaps: list[Gap] = []

    def add(self, piece: Piece) -> None:
        """
        Count a piece in; its first source and gap continue the last ones where they are of the same kind.

        A piece joins its own neighbours, so that thousands of gaps are not compared again in the event loop.
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
        """As JSON values; where there are too many gaps or sources to name, how many are omitted."""
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
