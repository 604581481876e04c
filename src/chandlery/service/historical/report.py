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
        """Count a piece in; neighbours of the same source become one, and adjacent gaps that one reason explains."""
        self.rows += piece.table.num_rows
        for gap in piece.gaps:
            last = self.gaps[-1] if self.gaps else None
            if last is not None and (last.end, last.kind, last.evidence) == (gap.start, gap.kind, gap.evidence):
                self.gaps[-1] = structs.replace(last, end=gap.end)
            else:
                self.gaps.append(gap)
        merge(self.sources, piece.sources)

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
