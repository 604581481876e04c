"""One live series: what is taken into it, and what it lacks."""

from __future__ import annotations

from bisect import insort
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from math import inf

from msgspec import structs

from chandlery.core.candle import CandleData
from chandlery.core.gaps import Span
from chandlery.core.interval import Grid
from chandlery.core.time import DAY, Clock, Micros
from chandlery.feed.events import Restated
from chandlery.feed.provisional import Provisional


class Verdict(Enum):
    """What became of a candle."""

    TAKEN = "taken"
    REPEATED = "repeated"
    """The same as what is there."""
    OUTDATED = "outdated"
    """Older than what is there, or than the oldest that is kept."""
    CONTRADICTED = "contradicted"
    """Both are closed for good and they differ in a price or the volume: the first one stays until it is read again."""
    CORRECTED = "corrected"
    """It took the place of a closed one that only a clock, or the next candle, had closed."""
    NOT_FINITE = "not_finite"
    """A price or a volume is no number, is infinite, or the volume is negative."""
    IMPOSSIBLE = "impossible"
    """The high is not the highest price, or the low not the lowest."""
    OFF_GRID = "off_grid"
    """It opens where no candle of the interval does."""
    EARLY = "early"
    """It opens more than a day from now."""

    @property
    def is_reject(self) -> bool:
        """Whether something is wrong with the candle itself."""
        return self in _REJECTS


_REJECTS = frozenset(set(Verdict) - {Verdict.TAKEN, Verdict.CORRECTED, Verdict.REPEATED, Verdict.OUTDATED})
_TAKEN = Verdict.TAKEN
_LOWEST = -inf
_FEW_ABSENT = 64


def _never() -> Micros:
    """Later than any candle."""
    return 1 << 63


def _unheard(candle: CandleData) -> None:
    """Nothing."""


def _raised(error: Exception) -> None:
    raise error


def _ignored(verdict: Verdict, candle: CandleData) -> None:
    """Nothing."""


class DataProcessor:
    """
    The latest ``max_records`` candles of one series, each open once, in order.

    A candle is taken if it can be one. Of two with the same open, a closed one beats a running one
    and of two running ones the newer, which has traded more. A candle that is final stays as it is. One that only a
    clock, or the next candle, has closed is ``provisional``: a final one, or one that has traded more, takes its place.
    With ``next_closes`` a live candle is closed by the live one after it, for exchanges that do not say so. ``clock`` is the exchange's, by which a live candle can be far too
    early; nor may one be older than the oldest that is there. What is not taken ``on_refused`` is told; ``taken`` and ``counts``
    say what became of all that came.
    """

    def __init__(
        self,
        interval: Grid,
        max_records: int = 150,
        *,
        history: int | None = None,
        next_closes: bool = False,
        provisional: Provisional | None = None,
        clock: Clock = _never,
        on_refused: Callable[[Verdict, CandleData], object] = _ignored,
    ) -> None:
        self.interval = interval
        self.max_records = max_records
        self.history = max_records if history is None else min(history, max_records)
        """How many candles are requested where none is there."""
        self.next_closes = next_closes
        self.provisional = Provisional(interval) if provisional is None else provisional
        """The closed candles that are not final."""
        self.followed = 0
        """How many candles ``follow`` has taken."""
        self.counts: Counter[Verdict] = Counter()
        """How often each verdict but ``TAKEN`` was given."""
        self._clock = clock
        self._on_refused = on_refused
        self.on_followed: Callable[[CandleData], object] = _unheard
        """Is told of what ``follow`` takes; another may take its place at any time."""
        self.on_failed: Callable[[Exception], object] = _raised
        """Is told what that raises."""
        self._processed = 0
        self._held: dict[Micros, CandleData] = {}
        self._order: deque[Micros] = deque()
        self._absent: set[Micros] = set()
        self._most_absent = _FEW_ABSENT
        """At how many those are forgotten that lie before the oldest candle; at each candle would be too often."""
        self._latest: Micros = -1
        self._running: CandleData | None = None
        """The latest candle, where it runs and came live; ``_held`` may have an older state of it until ``_settle``."""
        self._heard: Micros = -1
        """The open of the latest candle that came live since the last interruption."""
        self._whole: Micros = 0
        """Up to here nothing is missing."""
        self._step, self._anchor = interval.micros, interval.anchor

    def __len__(self) -> int:
        return len(self._order)

    @property
    def taken(self) -> int:
        """How many candles were taken."""
        return self._processed + self.followed

    @property
    def candles(self) -> list[CandleData]:
        """Oldest first."""
        self._settle()
        return [self._held[opened] for opened in self._order]

    @property
    def first(self) -> Micros | None:
        """The open of the oldest candle."""
        return self._order[0] if self._order else None

    @property
    def last(self) -> Micros | None:
        """The open of the latest candle."""
        return self._order[-1] if self._order else None

    @property
    def heard(self) -> Micros:
        """The open of the latest candle that came live since the last interruption; -1 where none did."""
        return self._heard

    def held(self, opened: Micros) -> CandleData | None:
        """The candle that opens then; ``None`` where there is none."""
        self._settle()
        return self._held.get(opened)

    def process(
        self, candle: CandleData, *, fetched: bool = False, final: bool = False
    ) -> Sequence[CandleData | Restated]:
        """
        Take a candle; the candles that have changed by it, oldest first, and none where it was not taken.

        One that was ``fetched`` closes none before it, and is provisional where it is closed and not ``final``. A
        live one is closed by the exchange's word, and so is final.
        """
        final = candle.closed and (final or not fetched)
        verdict = self.verdict(candle, fetched=fetched, final=final)
        if verdict is _TAKEN:
            self._processed += 1
            if candle.closed and not final:
                self.provisional.put(candle)
            return self._added(candle, candle.open_time, fetched=fetched)
        if verdict is Verdict.CORRECTED:
            self._processed += 1
            return (self._corrected(candle, final=final),)
        if verdict is Verdict.REPEATED:
            if final:
                self.provisional.prove(candle.open_time)
            if not fetched and candle.open_time == self._latest:
                self._heard = self._latest
                if not self._held[self._latest].closed:
                    self._running = self._held[self._latest] = candle  # the same, heard of once more
        elif verdict is Verdict.CONTRADICTED:
            self.provisional.put(self._held[candle.open_time])
        self.counts[verdict] += 1
        self._on_refused(verdict, candle)
        return ()

    def follow(self, candle: CandleData) -> bool:
        """
        Take a live candle that is as nearly all are, and tell ``on_followed``: a running one, later than the one that is there.

        Whether it was; where not, nothing was done, and ``process`` is to look at it, which would have
        done the same. This is for speed only.
        """
        running = self._running
        if (
            running is None
            or candle.open_time != running.open_time
            or candle.closed
            or not running.volume < candle.volume < inf
        ):
            return False
        low, high = candle.low, candle.high
        if not (_LOWEST < low <= candle.open <= high < inf and low <= candle.close <= high):
            return False
        self._running = candle
        self.followed += 1
        try:
            self.on_followed(candle)
        except Exception as error:  # noqa: BLE001  # a user's function may raise anything
            self.on_failed(error)
        return True

    def interrupted(self) -> None:
        """Live candles may have been missed: the next one closes none before it."""
        self._settle()
        self._heard, self._running = -1, None

    def absent(self, opens: Iterable[Micros]) -> None:
        """Note that the exchange has no candles there, so that they are not missed any more."""
        self._absent.update(opens)

    def missing(self, until: Micros, *, since: Micros | None = None) -> list[Micros]:
        """
        The opens whose candles end by ``until`` and are not there, or not closed.

        They are searched from ``since``, or else the oldest candle, on, but not further back than ``max_records``.
        """
        if not self._order or (since is None and self._whole >= until):
            return []
        opened = max(self._order[0], self._whole) if since is None else since
        if until - opened > self.max_records * self.interval.longest:
            opened = max(opened, self.interval.step(self.interval.floor(until), -self.max_records))
        found = []
        while (end := self.interval.step(opened)) <= until:
            held = self._held.get(opened)
            if not held.closed if held is not None else opened not in self._absent:
                found.append(opened)
            elif not found:
                self._whole = end
            opened = end
        return found

    def resume(self, now: Micros, *, anew: bool = False) -> Span:
        """From the first candle that is not final, or not there, to the running one; ``anew`` all that are to be there."""
        running = self.interval.floor(now)
        end = self.interval.step(running)
        if anew or not self._order:
            return Span(self.interval.step(running, 1 - self.history), end)
        oldest = self.interval.step(running, 1 - self.max_records)
        missing = self.missing(running)
        return Span(max(missing[0] if missing else self._order[-1], oldest), end)

    def verdict(self, candle: CandleData, *, fetched: bool = False, final: bool = False) -> Verdict:
        """What would become of a candle."""
        wrong = _wrong(candle)
        if wrong is not None:
            return wrong
        self._settle()
        provisional = self.provisional.get(candle.open_time)
        if provisional is not None:
            if _core(provisional) == _core(candle):
                return Verdict.REPEATED
            return Verdict.CORRECTED if final or candle.volume > provisional.volume else Verdict.OUTDATED
        held = self._held.get(candle.open_time)
        if held is None:
            return self._verdict_of_new(candle.open_time, fetched=fetched)
        return _verdict_of_two(held, candle)

    def _verdict_of_new(self, opened: Micros, *, fetched: bool) -> Verdict:
        if (opened - self._anchor) % self._step if self._step else self.interval.floor(opened) != opened:
            return Verdict.OFF_GRID
        if not fetched and opened > self._clock() + DAY:
            return Verdict.EARLY
        too_many = not fetched or len(self._order) >= self.max_records
        return Verdict.OUTDATED if too_many and self._order and opened < self._order[0] else _TAKEN

    def _added(self, candle: CandleData, opened: Micros, *, fetched: bool) -> Sequence[CandleData]:
        changed = [candle]
        if opened > self._latest:
            before = self._held.get(self._latest)
            # One that was not heard live may have traded between the fetching and its end.
            heard = self._heard == self._latest
            if self.next_closes and not fetched and heard and before is not None and not before.closed:
                before = self._held[self._latest] = structs.replace(before, closed=True)
                self.provisional.put(before)
                changed = [before, candle]
            self._latest = opened
            self._order.append(opened)
        elif opened not in self._held:
            insort(self._order, opened)
            self._whole = min(self._whole, opened)
        self._held[opened] = candle
        if opened == self._latest:
            if not fetched:
                self._heard = opened
            self._running = None if fetched or candle.closed else candle
        self._absent.discard(opened)
        self._forget()
        return changed

    def _corrected(self, candle: CandleData, *, final: bool) -> Restated:
        """Put a candle in the place of a provisional one, which may not be among the latest any more."""
        opened = candle.open_time
        before = self.provisional.get(opened)
        assert before is not None  # noqa: S101  # so it was judged
        after = candle if candle.closed else structs.replace(candle, closed=True)
        if opened in self._held:
            self._held[opened] = after
        self.provisional.restated += 1
        if final:
            self.provisional.prove(opened)
        else:
            self.provisional.put(after)
        return Restated(before, after)

    def _settle(self) -> None:
        """Put the running candle where the others are."""
        if self._running is not None:
            self._held[self._latest] = self._running

    def _forget(self) -> None:
        while len(self._order) > self.max_records:
            del self._held[self._order.popleft()]
        if len(self._absent) > self._most_absent:
            self._absent = {each for each in self._absent if each > self._order[0]}
            self._most_absent = max(2 * len(self._absent), _FEW_ABSENT)


def _verdict_of_two(held: CandleData, candle: CandleData) -> Verdict:
    """What becomes of a candle where one that is not provisional is there already."""
    if held == candle:
        return Verdict.REPEATED
    if not held.closed:
        return _TAKEN if candle.closed or candle.volume >= held.volume else Verdict.OUTDATED
    if not candle.closed:
        return Verdict.OUTDATED
    return Verdict.REPEATED if _core(held) == _core(candle) else Verdict.CONTRADICTED


def _core(candle: CandleData) -> tuple[float, ...]:
    """What every exchange sends by REST and by socket; the other columns one of them may lack."""
    return candle.open, candle.high, candle.low, candle.close, candle.volume


def _wrong(candle: CandleData) -> Verdict | None:
    low, high = candle.low, candle.high
    if low <= candle.open <= high and low <= candle.close <= high and -inf < low and high < inf:
        return None if 0.0 <= candle.volume < inf else Verdict.NOT_FINITE
    numbers = (low, high, candle.open, candle.close)
    return Verdict.IMPOSSIBLE if all(-inf < number < inf for number in numbers) else Verdict.NOT_FINITE
