"""One live series: accept candles and find the missing ones."""

from __future__ import annotations

from bisect import insort
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Literal

from msgspec import structs

from chandlery.core.candle import CandleData
from chandlery.core.errors import InvalidInput
from chandlery.core.gaps import Span, merge
from chandlery.core.interval import Grid
from chandlery.core.time import DAY, Clock, Micros
from chandlery.feed.events import Restated
from chandlery.feed.provisional import Provisional
from chandlery.feed.verdict import Verdict, are_right, fault_of, prices_of, verdict_of_two

_TAKEN = Verdict.TAKEN
_LOWEST = -inf
_FEW_ABSENT = 64


def _never() -> Micros:
    """Return a time later than any candle."""
    return 1 << 63


def _unheard(candle: CandleData) -> None:
    """Do nothing."""


def _raised(error: Exception) -> None:
    raise error


def _ignored(verdict: Verdict, candle: CandleData) -> None:
    """Do nothing."""


class DataProcessor:
    """
    The latest ``max_records`` candles of one series, in order, one per open time.

    Only valid candles are accepted. Of two with the same open time, a closed one beats a running one,
    and of two running ones the one with more volume wins. A final candle does not change. A candle that only a
    clock, or the next candle, has closed is ``provisional``: a final one, or one with more volume, replaces it.
    With ``next_closes`` a live candle is closed by the next live one, for exchanges that do not mark the close.
    ``clock`` is the exchange's: a live candle must not open more than a day later, nor before the oldest stored one.
    ``on_refused`` is called with each candle that is not accepted; ``taken`` and ``counts`` count the results.

    A subclass may replace ``process``, through which all candles then pass, or ``verdict``. ``CandlesFeed`` takes the
    class, or an instance of the feed's interval; the exchange then determines the arguments after ``history``.
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
        """Number of candles to request if none is stored."""
        self.next_closes = next_closes
        self.provisional = Provisional(interval) if provisional is None else provisional
        """Closed candles that are not final."""
        self.followed = 0
        """Number of candles accepted by ``follow``."""
        self.counts: Counter[Verdict] = Counter()
        """Number of candles by verdict, except ``TAKEN``."""
        self._clock = clock
        self._on_refused = on_refused
        self.on_followed: Callable[[CandleData], object] = _unheard
        """Called with each candle that ``follow`` accepts; may be replaced at any time."""
        self.on_failed: Callable[[Exception], object] = _raised
        """Called with what that raises."""
        self._attached = False
        self._processed = 0
        self._held: dict[Micros, CandleData] = {}
        self._order: deque[Micros] = deque()
        self._absent: set[Micros] = set()
        self._most_absent = _FEW_ABSENT
        """Number of absent opens at which those before the oldest candle are removed; doing so for each candle is too slow."""
        self._latest: Micros = -1
        self._running: CandleData | None = None
        """The latest candle if it is running and live; ``_held`` may have an older state of it until ``_settle``."""
        self._heard: Micros = -1
        """Open time of the latest live candle since the last interruption."""
        self._whole: Micros = 0
        """No candle is missing before this time."""
        self._step, self._anchor = interval.micros, interval.anchor

    def attach(
        self,
        interval: Grid,
        *,
        next_closes: bool,
        provisional: Provisional,
        clock: Clock,
        on_refused: Callable[[Verdict, CandleData], object],
    ) -> None:
        """
        Use it for the series of a feed, whose exchange determines these; called once, by the feed.

        Raises:
            InvalidInput: It belongs to a feed already, has candles, or has another interval.
        """
        if self._attached or self._order:
            raise InvalidInput("this processor belongs to a feed, or has candles; create one for each feed")
        if interval.micros != self.interval.micros:
            raise InvalidInput("the processor has another interval than the feed")
        self._attached = True
        self.interval = interval
        self.next_closes = next_closes
        self.provisional = provisional
        self._clock = clock
        self._on_refused = on_refused
        self._step, self._anchor = interval.micros, interval.anchor

    def has_shortcut(self, name: Literal["follow", "load"]) -> bool:
        """Return whether that method does what ``process`` does; not if a subclass replaces only ``process`` or ``verdict``."""
        kind = type(self)
        replaced = kind.process is not DataProcessor.process or kind.verdict is not DataProcessor.verdict
        return not replaced or getattr(kind, name) is not getattr(DataProcessor, name)

    def __len__(self) -> int:
        return len(self._order)

    @property
    def taken(self) -> int:
        """Number of accepted candles."""
        return self._processed + self.followed

    @property
    def candles(self) -> list[CandleData]:
        """All candles, oldest first."""
        self._settle()
        return [self._held[opened] for opened in self._order]

    @property
    def first(self) -> Micros | None:
        """Open time of the oldest candle."""
        return self._order[0] if self._order else None

    @property
    def last(self) -> Micros | None:
        """Open time of the latest candle."""
        return self._order[-1] if self._order else None

    @property
    def following(self) -> Micros | None:
        """Open time of the candle after the latest closed one; ``None`` if none is closed."""
        closed = (opened for opened in reversed(self._order) if self._held[opened].closed)
        latest = next(closed, None)
        return None if latest is None else self.interval.step(latest)

    @property
    def heard(self) -> Micros:
        """Open time of the latest live candle since the last interruption; -1 if there was none."""
        return self._heard

    def held(self, opened: Micros) -> CandleData | None:
        """Return the candle with this open time; ``None`` if there is none."""
        self._settle()
        return self._held.get(opened)

    def process(
        self, candle: CandleData, *, fetched: bool = False, final: bool = False
    ) -> Sequence[CandleData | Restated]:
        """
        Process a candle. Return the candles that changed, oldest first; empty if it was not accepted.

        A ``fetched`` candle does not close the one before it, and is provisional if it is closed and not ``final``. A
        live candle is closed by the exchange, and so is final.
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
                    self._running = self._held[self._latest] = candle  # equal, received again
        elif verdict is Verdict.CONTRADICTED:
            self.provisional.put(self._held[candle.open_time])
        self.counts[verdict] += 1
        self._on_refused(verdict, candle)
        return ()

    def load(self, candles: Sequence[CandleData], final: int) -> bool:
        """
        Process fetched closed candles at once, oldest first, of which the first ``final`` ones are final.

        Return whether it did. If not, nothing changed, and the caller must call ``process`` for each, which gives the same
        result for all candles. This is for new candles, as after an outage.
        """
        opens = [each.open_time for each in candles]
        room = self.max_records - len(self._order)
        if not opens or len(opens) > (room if opens[0] < self._latest else self.max_records):
            return False
        known = not self._held.keys().isdisjoint(opens) or not self.provisional.opens.isdisjoint(opens)
        if known or not are_right(candles) or not self._are_on_grid(opens):
            return False
        self._settle()
        self._processed += len(opens)
        for each in candles[final:]:
            self.provisional.put(each)
        self._held.update(zip(opens, candles, strict=True))
        if opens[0] < self._latest:
            self._whole = min(self._whole, opens[0])
            self._order = deque(sorted([*self._order, *opens]))
        else:
            self._order.extend(opens)
        if opens[-1] > self._latest:
            self._latest, self._running = opens[-1], None
        self._absent.difference_update(opens)
        self._forget()
        return True

    def _are_on_grid(self, opens: Iterable[Micros]) -> bool:
        if self._step:
            return all((opened - self._anchor) % self._step == 0 for opened in opens)
        return all(self.interval.floor(opened) == opened for opened in opens)

    def follow(self, candle: CandleData) -> bool:
        """
        Accept a live candle in the common case, a newer state of the running candle, and call ``on_followed``.

        Return whether it was accepted. If not, nothing changed, and the caller must call ``process``, which gives the same
        result for all candles. This is a fast path only.
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
        """Note that live candles may have been missed: the next one does not close the one before it."""
        self._settle()
        self._heard, self._running = -1, None

    def absent(self, opens: Iterable[Micros]) -> None:
        """Record that the exchange has no candles with these open times, so that they do not count as missing."""
        self._absent.update(opens)

    def absences(self, since: Micros) -> list[Span]:
        """Return the spans from ``since`` on of which the exchange has no candles."""
        return merge(Span(each, self.interval.step(each)) for each in self._absent if each >= since)

    def missing(self, until: Micros, *, since: Micros | None = None) -> list[Micros]:
        """
        Return the open times of candles that end by ``until`` and are missing or not closed.

        The search begins at ``since``, by default the oldest candle, but at most ``max_records`` back.
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
        """Return the span from the first missing or unclosed candle to the running one; with ``anew``, of ``history`` candles."""
        running = self.interval.floor(now)
        end = self.interval.step(running)
        if anew or not self._order:
            return Span(self.interval.step(running, 1 - self.history), end)
        oldest = self.interval.step(running, 1 - self.max_records)
        missing = self.missing(running)
        return Span(max(missing[0] if missing else self._order[-1], oldest), end)

    def verdict(self, candle: CandleData, *, fetched: bool = False, final: bool = False) -> Verdict:
        """Return the verdict on a candle without processing it."""
        wrong = fault_of(candle)
        if wrong is not None:
            return wrong
        self._settle()
        provisional = self.provisional.get(candle.open_time)
        if provisional is not None:
            if prices_of(provisional) == prices_of(candle):
                return Verdict.REPEATED
            return Verdict.CORRECTED if final or candle.volume > provisional.volume else Verdict.OUTDATED
        held = self._held.get(candle.open_time)
        if held is None:
            return self._verdict_of_new(candle.open_time, fetched=fetched)
        return verdict_of_two(held, candle)

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
            # If it was not received live, it may have traded between the fetch and its end.
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
        """Replace a provisional candle, which may no longer be among the latest."""
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
        """Store the running candle with the others."""
        if self._running is not None:
            self._held[self._latest] = self._running

    def _forget(self) -> None:
        while len(self._order) > self.max_records:
            del self._held[self._order.popleft()]
        if len(self._absent) > self._most_absent:
            self._absent = {each for each in self._absent if each > self._order[0]}
            self._most_absent = max(2 * len(self._absent), _FEW_ABSENT)
