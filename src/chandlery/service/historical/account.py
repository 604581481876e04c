"""What is said of an answer: how many rows, from where, and what is missing."""

from __future__ import annotations

from typing import Any

from chandlery.core.gaps import Gap, joined_gaps
from chandlery.service.collection.hub import gap_content
from chandlery.service.historical.interfaces import Piece, Source, merge

_MOST_TOLD = 200
"""How many sources and gaps are named one by one."""


class Account:
    """The sum of the pieces of an answer."""

    def __init__(self) -> None:
        self.rows = 0
        self.sources: list[Source] = []
        self.gaps: list[Gap] = []

    def add(self, piece: Piece) -> None:
        """Count a piece in; neighbours of the same source become one, and adjacent gaps of one kind."""
        self.rows += piece.table.num_rows
        self.gaps[-1:] = joined_gaps([*self.gaps[-1:], *piece.gaps])
        merge(self.sources, piece.sources)

    def plain(self) -> dict[str, Any]:
        """As JSON values; where there are too many gaps or sources to name, how many are left out."""
        content: dict[str, Any] = {
            "rows": self.rows,
            "sources": [each.plain() for each in self.sources[:_MOST_TOLD]],
            "gaps": [gap_content(each) for each in self.gaps[:_MOST_TOLD]],
        }
        left_out = {
            "sources_left_out": len(self.sources) - _MOST_TOLD,
            "gaps_left_out": len(self.gaps) - _MOST_TOLD,
        }
        return content | {name: count for name, count in left_out.items() if count > 0}
