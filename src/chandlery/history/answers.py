"""Collect the answers to the requests of one page; pure, and run in threads because a page may have many rows."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from chandlery.adapter.layout import CandleColumns
from chandlery.adapter.paging import Paging
from chandlery.core.errors import ChandleryError
from chandlery.core.gaps import Span, merge
from chandlery.core.interval import Grid, Interval
from chandlery.core.provenance import Event
from chandlery.core.time import Micros
from chandlery.history.checks import Columns, check, places, require_grid
from chandlery.history.columns import arrays, closed, merged, within

_FEW = 2_000


class Answers(Struct):
    """The closed candles of ``span``, which opens on ``grid``, from all added answers."""

    where: str
    interval: Interval
    grid: Grid
    span: Span
    now: Micros
    paging: Paging
    columns: Columns | None = None
    """The credible candles so far; ``None`` before the first answer."""
    events: dict[Event, None] = {}
    doubtful: list[Span] = []
    """Spans whose rows in an answer were not credible; another answer may have better ones."""
    failure: ChandleryError | None = None
    """The error that ended the requests."""

    def is_quick(self, rows: CandleColumns, asked: Span) -> bool:
        """Return whether an answer is processed faster than it is handed to a thread: it has few rows, and no hole."""
        count = len(rows.open_time)
        return count <= _FEW and count == self.grid.count(asked.start, asked.end)

    def add(self, rows: CandleColumns, asked: Span) -> NDArray[np.int64]:
        """
        Add the answer to a request for ``asked``. Return the open times of all its rows.

        Raises:
            GridDiffers: Its rows open on another grid.
        """
        columns = arrays(rows)
        times = columns["open_time"]
        require_grid(times, self.interval, self.grid)
        checked = check(closed(within(columns, self.span), self.grid, self.now), self.grid, self.span, self.where)
        around = times[(times < self.span.start) | (times >= self.span.end)]
        opens = np.concatenate((around, checked.columns["open_time"]))
        found = places(opens, self.grid)
        if not (found[1:] > found[:-1]).all():  # mostly they are sorted, and sorting costs as much as all else here
            found = np.unique(found)
        self.paging.add(asked, found.tolist())
        known = self.columns is not None and len(self.columns["open_time"])
        self.columns = merged(self.columns, checked.columns) if self.columns and known else checked.columns
        self.events |= dict.fromkeys(checked.events)
        if checked.doubtful:
            self.doubtful = merge([*self.doubtful, *checked.doubtful])
        return times
