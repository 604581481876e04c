"""Candles that the exchange does not have, although it has later ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from chandlery.adapter.base import ExchangeAdapter
from chandlery.core.gaps import Gap, Span
from chandlery.core.holes import Life, explain
from chandlery.core.interval import Grid
from chandlery.core.time import MINUTE, Micros

PATIENCE: Micros = 10 * MINUTE
"""Time after its end for which REST may lack a candle: some exchanges lag by minutes, and some markets have no trades."""
_ASK_TWICE = 2


class Absences:
    """
    Decides which missing candles of a series the exchange does not have.

    If it omits a candle twice, long enough after its close, it counts as absent.
    """

    def __init__(self, adapter: ExchangeAdapter, grid: Grid) -> None:
        self._adapter = adapter
        self._grid = grid
        self._asked: dict[Micros, int] = {}

    def found(self, missing: Iterable[Micros], came: Sequence[Micros], now: Micros) -> list[Micros]:
        """Return those of ``missing`` that are absent, after a request at ``now`` whose answer has the candles ``came``."""
        adapter, asked, gone = self._adapter, {}, []
        for opened in missing:
            asked[opened] = self._asked.get(opened, 0) + 1
            passed_over = bool(came) and came[-1] > opened
            age = now - self._grid.step(opened)
            late = age >= (adapter.settle if passed_over else PATIENCE)
            if asked[opened] >= _ASK_TWICE and (late or (passed_over and not adapter.sends_empty_candles)):
                gone.append(opened)
                del asked[opened]
        self._asked = asked
        return gone

    def explain(self, hole: Span, now: Micros, *, doubt: str = "") -> list[Gap]:
        """Return the reasons of a hole before a later candle, in order; ``doubt`` is why its absence is not proved."""
        adapter = self._adapter
        return explain(
            hole,
            self._grid,
            Life(),
            proof=None if doubt else "requested twice, the exchange sent no candle",
            doubt=doubt,
            sends_empty=adapter.sends_empty_candles,
            followed=True,
            now=now,
            settle=adapter.settle,
        )
