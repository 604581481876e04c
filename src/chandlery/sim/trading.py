"""Trading terms of an exchange: grids, symbols, listing periods, funding intervals."""

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
    """Terms of one exchange; ``symbols`` are traded in addition to those of the market."""

    grids: Mapping[Interval, Grid] = field(default_factory=lambda: GRIDS)
    symbols: tuple[str, ...] = ()
    lives: Mapping[str, tuple[Span, ...]] = {}
    """Listing periods of each symbol, oldest first; a symbol without an entry is always listed."""
    funding: tuple[tuple[Micros, Micros], ...] = ()
    """Funding intervals, each with its start; before the first, eight hours."""

    def pauses(self, symbol: str) -> list[Span]:
        """Return the periods in which a symbol does not trade."""
        lives = self.lives.get(symbol)
        if lives is None:
            return []
        starts = [*(life.start for life in lives), ALWAYS.end]
        ends = [ALWAYS.start, *(life.end for life in lives)]
        return [Span(end, start) for end, start in zip(ends, starts, strict=True) if end < start]

    def trades(self, symbol: str, moment: Micros) -> bool:
        """Return true if the symbol trades at ``moment``."""
        return self.life(symbol, moment) is not None

    def life(self, symbol: str, moment: Micros) -> Span | None:
        """Return the listing period of the symbol at ``moment``; ``None`` if it does not trade."""
        return next((life for life in self.lives.get(symbol, (ALWAYS,)) if life.holds(moment)), None)

    def periods(self, span: Span) -> list[tuple[Span, Micros]]:
        """Return the parts of ``span``, oldest first, each with its funding interval."""
        changes = [(ALWAYS.start, FUNDING_EVERY), *self.funding]
        ends = [*(since for since, _ in changes[1:]), ALWAYS.end]
        parts = [(Span(since, end).clip(span), every) for (since, every), end in zip(changes, ends, strict=True)]
        return [(part, every) for part, every in parts if part]
