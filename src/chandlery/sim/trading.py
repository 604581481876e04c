"""Terms on which an exchange trades: grids, symbols, their lives, how often funding is due."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.time import HOUR, Micros
from chandlery.sim.grids import GRIDS, Grid

FUNDING_EVERY: Micros = 8 * HOUR
ALWAYS = Span(0, 2**62)


class Trading(Struct, frozen=True):
    """The terms of one exchange; ``symbols`` are traded besides those of the market."""

    grids: Mapping[Interval, Grid] = field(default_factory=lambda: GRIDS)
    symbols: tuple[str, ...] = ()
    lives: Mapping[str, tuple[Span, ...]] = {}
    """When each symbol trades, oldest first; one that is not named always does."""
    funding: tuple[tuple[Micros, Micros], ...] = ()
    """From when on funding is due how often; before the first every eight hours."""

    def pauses(self, symbol: str) -> list[Span]:
        """When a symbol does not trade."""
        lives = self.lives.get(symbol)
        if lives is None:
            return []
        starts = [*(life.start for life in lives), ALWAYS.end]
        ends = [ALWAYS.start, *(life.end for life in lives)]
        return [Span(end, start) for end, start in zip(ends, starts, strict=True) if end < start]

    def trades(self, symbol: str, moment: Micros) -> bool:
        """True where the symbol trades at ``moment``."""
        return self.life(symbol, moment) is not None

    def life(self, symbol: str, moment: Micros) -> Span | None:
        """The life of the symbol at ``moment``; ``None`` where it does not trade."""
        return next((life for life in self.lives.get(symbol, (ALWAYS,)) if life.holds(moment)), None)

    def periods(self, span: Span) -> list[tuple[Span, Micros]]:
        """Parts of ``span``, oldest first, and how often funding is due in each."""
        changes = [(ALWAYS.start, FUNDING_EVERY), *self.funding]
        ends = [*(since for since, _ in changes[1:]), ALWAYS.end]
        parts = [(Span(since, end).clip(span), every) for (since, every), end in zip(changes, ends, strict=True)]
        return [(part, every) for part, every in parts if part]
