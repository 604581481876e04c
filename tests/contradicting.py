"""Draws of a contradiction and a request, and what a correct client answers to them."""

from __future__ import annotations

import atexit
import contextlib
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import strategies as st

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import ChandleryError
from chandlery.core.gaps import GapKind, Span, merge, subtract
from chandlery.core.interval import Interval
from chandlery.core.provenance import Provenance
from chandlery.core.query import ChartType
from chandlery.core.time import DAY, HOUR, MINUTE, Micros, to_datetime
from chandlery.history.manager import DataSourceManager
from chandlery.net.limiter import RateLimiter
from chandlery.sim import SimServer, running
from chandlery.testing import no_waiting
from facing import MARKET, Facing, signed_in
from support import micros

NOW = micros(2025, 3, 20, 12, 0, 30)
CLAIMS = {GapKind.HALT, GapKind.NO_TRADES, GapKind.NOT_LISTED}
"""Kinds of gap which say that there never was a candle."""
LONG = [Interval.DAY_3, Interval.WEEK_1, Interval.DAY_1, Interval.HOUR_12, Interval.HOUR_4, Interval.HOUR_1]
SPOKEN = [Interval.MINUTE_1, Interval.MINUTE_1, Interval.MINUTE_5, Interval.MINUTE_15, Interval.HOUR_1, Interval.DAY_1]
ODD = "币安人生"
"""The base of a symbol in another script."""
AWAY = [0, 0, 0, 2 * HOUR, 3 * DAY, 40 * DAY]
"""How long before now a request ends."""


@dataclass(frozen=True)
class Contradiction:
    """
    One way to differ, and the values that it takes.

    ``may_raise``: an error of ours is a right answer, since nothing can be read. ``lasts``: it does not end, since the
    exchange does not change what it has said. ``funding``: it concerns funding rates.
    """

    values: st.SearchStrategy[dict[str, Any]]
    may_raise: bool = False
    lasts: bool = False
    funding: bool = False
    intervals: list[Interval] = field(default_factory=lambda: SPOKEN)


def _of(name: str, *values: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.sampled_from(values).map(lambda value: {name: value})


CONTRADICTIONS: dict[str, Contradiction] = {
    "page shorter": Contradiction(_of("page_size", 7, 60, 100, 199)),
    "page empty once": Contradiction(_of("empty_once", 1, 2, 3)),
    "rows late": Contradiction(_of("late_s", 90, 600, 1500)),
    "anchor shifted": Contradiction(st.just({}), may_raise=True, lasts=True, intervals=LONG),
    "row wider": Contradiction(_of("extra_columns", 1, 3)),
    "row narrower": Contradiction(_of("fewer_columns", 1), may_raise=True),
    "closed flag late": Contradiction(_of("close_delay_s", 5, 90, 600)),
    "last update late": Contradiction(_of("late_update_ms", 100, 2_000, 45_000)),
    "memory shorter": Contradiction(_of("memory", 30, 100, 250)),
    "clock skewed": Contradiction(_of("clock_skew_s", -600, -45, 45, 600)),
    "names odd": Contradiction(st.just({})),
    "funding pages shorter": Contradiction(_of("funding_page_size", 5, 17, 40), funding=True),
    "funding interval changed": Contradiction(
        st.tuples(st.integers(1, 40), st.sampled_from([1, 4])).map(
            lambda drawn: {"funding_hours": ((to_datetime(NOW - drawn[0] * DAY), drawn[1]),)}
        ),
        funding=True,
        lasts=True,
    ),
}
"""Those that concern the past, by name."""

HELD = [
    "page shorter",
    "clock skewed",
    "funding pages shorter",
    "page empty once",
    "row wider",
    "row narrower",
    "closed flag late",
    "last update late",
    "names odd",
    "funding interval changed",
    "rows late",
    "memory shorter",
    "anchor shifted",
]
"""Those that concern the past."""

_NAMED_OTHERWISE = {"gate_inverse", "hyperliquid_spot", "hyperliquid_perpetual", "tradestation"}
"""Markets whose symbols cannot be in another script: they have one contract, indices, or ASCII alone."""

_NAMED_BY_SESSION = {"tradestation"}
"""Markets whose days and weeks are named by a moment within them, so that no row tells when they open."""

COUNTS: Counter[tuple[str, str]] = Counter()
"""How many draws of each contradiction ended how."""


@dataclass(frozen=True)
class Draw:
    """One request, what the cache holds before it, and how the exchange differs."""

    unlike: dict[str, Any]
    interval: Interval
    span: Span
    earlier: Span | None

    def __str__(self) -> str:
        """All of it, to repeat it."""
        return f"unlike={self.unlike} {self.interval.value} {self.span}, cached before: {self.earlier}"


def exchanges(name: str) -> list[str]:
    """The exchanges to which a contradiction applies."""
    kinds = {each: ExchangeRegistry.get(each) for each in ExchangeRegistry.names()}
    funding = CONTRADICTIONS[name].funding
    known = [each for each, kind in kinds.items() if not funding or kind.funding_page_size]
    without = {"names odd": _NAMED_OTHERWISE, "anchor shifted": _NAMED_BY_SESSION}.get(name, ())
    return [each for each in known if each not in without]


@st.composite
def draws(draw: st.DrawFn, name: str, adapter: ExchangeAdapter) -> Draw:
    """A contradiction with a request that it concerns."""
    contradiction = CONTRADICTIONS[name]
    unlike = draw(contradiction.values)
    if contradiction.funding:
        interval, length = Interval.HOUR_8, draw(st.integers(1, 60)) * DAY
    else:
        known = [each for each in contradiction.intervals if each in adapter.intervals]
        interval = draw(st.sampled_from(known))
        candles = draw(st.integers(1, min(3 * adapter.page_size, 1500)))
        length = min(candles * interval.longest, 1500 * DAY)
    if name == "names odd":
        unlike = {"symbols": (Facing(adapter.id, NOW).symbol.replace("BTC", ODD),)}
    if name == "anchor shifted":
        most = interval.longest // HOUR - 1
        hours = draw(st.sampled_from([each for each in (1, 8, 16, 24, 48) if each <= most] or [0]))
        unlike = {"anchor": {interval.value: hours * 3600 or 1800}}
    end = NOW - draw(st.sampled_from(AWAY)) - draw(st.sampled_from([0, 1, 7, 40])) * MINUTE
    oldest = None if contradiction.funding else adapter.oldest(interval, NOW)
    start = end - length if oldest is None else max(end - length, oldest + 20 * interval.longest)
    span = Span(start, max(end, start + 2 * interval.longest))
    cut = draw(st.none() | st.tuples(st.integers(0, 100), st.integers(1, 100)))
    earlier = None
    if cut is not None:
        begin = span.start + (span.end - span.start) * cut[0] // 100
        begin = min(begin, NOW - 2 * interval.longest)
        earlier = Span(begin, max(begin + interval.longest, begin + (span.end - begin) * cut[1] // 100))
    return Draw(unlike, interval, span, earlier)


_open = contextlib.ExitStack()
atexit.register(_open.close)


@cache
def offline(exchange: str) -> SimServer:
    """The offline exchange, whose clock stands still, for as long as the tests run."""
    return _open.enter_context(
        running(MARKET, exchanges=[exchange], clock=lambda: NOW, weight_limit=10**9, tick_s=None)
    )


def check(name: str, exchange: str, draw: Draw) -> None:
    """Ask while the exchange differs, and again when it does not; each answer is right, or says what it lacks."""
    contradiction, server = CONTRADICTIONS[name], offline(exchange)
    documented = {exchange: {"symbols": draw.unlike.get("symbols", ())}}
    with TemporaryDirectory() as folder, no_waiting():
        # A manager for each request: an exchange whose clock steps is not what is meant.
        if draw.earlier is not None and not contradiction.lasts:
            server.differ(documented)
            with _manager(exchange, server, folder) as manager:
                _Asked(exchange, server, manager, draw, funding=contradiction.funding).get(draw.earlier)
        server.differ({exchange: draw.unlike})
        with _manager(exchange, server, folder) as manager:
            asked = _Asked(exchange, server, manager, draw, funding=contradiction.funding)
            COUNTS[name, _outcome(asked, contradiction)] += 1
        if contradiction.lasts:
            return
        server.differ(documented)
        with _manager(exchange, server, folder) as manager:
            asked = _Asked(exchange, server, manager, draw, funding=contradiction.funding)
            assert asked.check(asked.get(draw.span)), f"{draw}: incomplete though nothing differs any more"


def _outcome(asked: _Asked, contradiction: Contradiction) -> str:
    """How the request ended while the exchange differs."""
    try:
        frame = asked.get(asked.draw.span)
    except ChandleryError as error:
        if not contradiction.may_raise:
            raise AssertionError(f"{asked.draw}: {type(error).__name__}: {error}") from error
        return "refused"
    return "complete" if asked.check(frame) else "reported"


def _manager(exchange: str, server: SimServer, folder: str) -> DataSourceManager:
    kind = ExchangeRegistry.get(exchange)
    return DataSourceManager(
        kind.market_type,
        kind.provider,
        cache_dir=Path(folder) / "cache",
        endpoints=server.endpoints,
        credentials=signed_in(exchange) or None,
        clock=lambda: NOW,
        limiter=RateLimiter(Path(folder)),
    )


class _Asked:
    """The requests of one draw, and the market that they are compared with."""

    def __init__(
        self, exchange: str, server: SimServer, manager: DataSourceManager, draw: Draw, *, funding: bool
    ) -> None:
        facing = Facing(exchange, NOW)
        self.view = server.view(exchange)
        self.adapter = facing.adapter
        self.symbol, self.native = facing.symbol, facing.native
        if draw.unlike.get("symbols"):
            (self.symbol,) = draw.unlike["symbols"]
            named = next(each for each in facing.adapter.example.replace(",", " ").split() if "/" in each)
            self.native = named.replace("BTC", ODD)
        self.draw = draw
        self.manager = manager
        self.funding = funding

    def get(self, span: Span) -> Any:
        """The answer of the library."""
        chart = ChartType.FUNDING_RATE if self.funding else ChartType.KLINES
        start, end = to_datetime(span.start), to_datetime(span.end)
        return self.manager.get_data(self.native, start, end, self.draw.interval, chart_type=chart, on_missing="report")

    def truth(self, span: Span) -> dict[Micros, tuple[float, ...]]:
        """The rows of the market that open in ``span``."""
        market, kind = self.view.market, self.view.market_type
        if self.funding:
            columns = market.funding(kind, self.symbol, span)
            unit = self.view.funding_unit
            opens = [unit.micros(unit.of(each)) for each in columns["open_time"].tolist()]
            return dict(zip(opens, zip(columns["funding_rate"].tolist(), strict=True), strict=True))
        columns = market.candles(kind, self.symbol, self.draw.interval, span)
        prices = zip(*(columns[each].tolist() for each in ("open", "high", "low", "close")), strict=True)
        return dict(zip(columns["open_time"].tolist(), prices, strict=True))

    def check(self, frame: Any) -> bool:
        """The answer has only rows of the market and accounts for all others; true where it lacks none."""
        draw, grid = self.draw, self.view.grids[self.draw.interval]
        exchange_now = self.view.clock()
        closed = exchange_now if self.funding else grid.floor(exchange_now)
        certain = min(closed, NOW if self.funding else grid.floor(NOW))
        truth = self.truth(Span(draw.span.start, min(draw.span.end, closed)))
        names = ["funding_rate"] if self.funding else ["open", "high", "low", "close"]
        opens = [each // 1000 for each in frame.index.asi8.tolist()]
        rows = dict(zip(opens, frame[names].itertuples(index=False, name=None), strict=True))
        # Nobody can know what becomes of a candle that the exchange still changes; it must not be stored, though.
        changing = exchange_now - round(self.view.unlike.late_update_ms * 1000)
        settled = {each for each in rows if grid.step(each) <= changing or each not in truth}
        wrong = [each for each, values in rows.items() if each in settled and truth.get(each) != tuple(values)]
        assert not wrong, (
            f"{draw}: {len(wrong)} rows are not the market's, e.g. {to_datetime(wrong[0])}: {rows[wrong[0]]}, {truth.get(wrong[0])}"
        )
        gaps = Provenance.carried_by(frame.attrs).gaps
        missing = [each for each in truth if each not in rows and each < certain]
        silent = [each for each in missing if not any(gap.span.holds(each) for gap in gaps)]
        assert not silent, (
            f"{draw}: {len(silent)} of {len(truth)} rows lack without a word, e.g. {to_datetime(silent[0])}"
        )
        claimed = [gap for gap in gaps if gap.kind in CLAIMS and any(gap.span.holds(each) for each in truth)]
        assert not claimed, f"{draw}: a false claim {claimed[0].kind.value} {claimed[0].span}: {claimed[0].evidence}"
        holds = [gap for gap in gaps if any(gap.span.holds(each) for each in rows)]
        assert not holds, f"{draw}: a row lies in the gap {holds[0]}"
        assert self.funding or not subtract(
            Span(grid.ceil(draw.span.start), min(grid.ceil(draw.span.end), certain)),
            merge([*(gap.span for gap in gaps), *(Span(each, grid.step(each)) for each in rows)]),
        ), f"{draw}: rows and gaps do not cover the range"
        return not missing
