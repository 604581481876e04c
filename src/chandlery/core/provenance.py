"""Sources, gaps and anomalies of a result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from html import escape
from typing import Any, Self

import msgspec
from msgspec import Struct

from chandlery.core.gaps import Gap, SpanInfo
from chandlery.core.time import Micros, iso


class SourceSpan(SpanInfo, frozen=True):
    """
    One part of a series that has one source.

    ``source`` is ``"rest"``, ``"vision"`` or a third party's own name; ``file`` and ``sha256``
    identify the archive file. ``fetched_at`` is when it was fetched from the exchange, even if it was now read from
    the cache (``cached``); for a cached day that was assembled from several answers, the time of the last one.
    ``origin`` is the server that answered in place of the exchange, e.g. ``offline-7``;
    ``None`` for the exchange itself.
    """

    source: str
    fetched_at: Micros
    file: str | None = None
    sha256: str | None = None
    origin: str | None = None
    cached: bool = False

    def __lt__(self, other: SourceSpan) -> bool:
        """Order by place, then by source and age; spans of different origins are comparable too."""
        mine = (self.start, self.end, self.source, self.fetched_at)
        return mine < (other.start, other.end, other.source, other.fetched_at)


class EventKind(Enum):
    """The kind of an anomaly that was found while data were fetched."""

    BAD_CHECKSUM = "bad_checksum"
    BAD_ARCHIVE = "bad_archive"
    MISSING_ARCHIVE_FILE = "missing_archive_file"
    MISSING_ROWS = "missing_rows"
    DOUBLED_ROWS = "doubled_rows"
    CONFLICTING_ROWS = "conflicting_rows"
    UNORDERED_ROWS = "unordered_rows"
    OFF_GRID = "off_grid"
    ENDS_IN_FUTURE = "ends_in_future"
    """The range ends in the future: the answer ends with the last closed candle."""
    SHORT_PAGE = "short_page"
    """Answers hold fewer rows than the exchange is documented to send."""
    INVALID_ROWS = "invalid_rows"
    UNLIKELY_ROWS = "unlikely_rows"
    """Rows returned unchanged although they look wrong: a price not above 0, or more bought by takers than traded."""
    DAMAGED_CACHE_FILE = "damaged_cache_file"
    CACHE_NOT_WRITTEN = "cache_not_written"
    UNKNOWN_ORIGIN = "unknown_origin"
    RESAMPLED = "resampled"
    """The exchange has no candles of the interval; these are made of shorter ones."""


class Event(Struct, frozen=True, order=True):
    """An anomaly: its place and how it was handled."""

    start: Micros
    end: Micros
    kind: EventKind
    detail: str = ""


class _Content(Struct, frozen=True):
    spans: tuple[SourceSpan, ...] = ()
    gaps: tuple[Gap, ...] = ()
    events: tuple[Event, ...] = ()
    open_candle: Micros | None = None
    volume_unit: str | None = None
    turnover_unit: str | None = None


class Provenance(dict[str, Any]):
    """
    The sources of a result: ``spans``, ``gaps``, ``events``, all oldest first.

    It is a dict of plain JSON values, since what a data frame carries in ``attrs`` must survive
    being copied, compared and written to a file. The properties return typed values.
    ``open_candle`` is the open time of the running candle if it was requested.
    ``volume_unit`` is what ``volume`` counts, ``turnover_unit`` what ``quote_asset_volume`` counts.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """
        Return itself: it is immutable by convention, and pandas copies ``attrs`` at every operation on a frame.

        A change to it would show in every frame derived from the same one.
        """
        return self

    def __repr__(self) -> str:
        """Show the range, the sources, and the numbers of gaps and events."""
        content = self._content
        spans = content.spans
        of = (
            f"{iso(spans[0].start)} to {iso(spans[-1].end)} from {', '.join(_sources(spans))}" if spans else "no source"
        )
        return f"<Provenance {of}; {len(content.gaps)} gaps, {len(content.events)} events>"

    def _repr_html_(self) -> str:
        """Show the sources, gaps and events as a table in a notebook."""
        content = self._content
        rows = [("source", each.start, each.end, each.source, each.origin or "") for each in content.spans]
        rows += [("gap", each.start, each.end, each.kind.value, each.evidence) for each in content.gaps]
        rows += [("event", each.start, each.end, each.kind.value, each.detail) for each in content.events]
        body = "".join(
            f"<tr><td>{what}</td><td>{iso(start)}</td><td>{iso(end)}</td><td>{escape(kind)}</td><td>{escape(detail)}</td></tr>"
            for what, start, end, kind, detail in rows
        )
        return f"<table><tr><th></th><th>start</th><th>end</th><th>kind</th><th>detail</th></tr>{body}</table>"

    @classmethod
    def of(
        cls,
        spans: Iterable[SourceSpan] = (),
        gaps: Iterable[Gap] = (),
        events: Iterable[Event] = (),
        open_candle: Micros | None = None,
        volume_unit: str | None = None,
        turnover_unit: str | None = None,
    ) -> Self:
        """Make one from typed values, in any order."""
        ordered = tuple(sorted(spans)), tuple(sorted(gaps)), tuple(events)
        return cls(msgspec.to_builtins(_Content(*ordered, open_candle, volume_unit, turnover_unit)))

    @classmethod
    def from_json(cls, text: bytes | str) -> Self:
        """Parse the output of ``to_json``."""
        return cls(msgspec.to_builtins(msgspec.json.decode(text, type=_Content)))

    @classmethod
    def carried_by(cls, attrs: Mapping[Any, Any]) -> Self:
        """Read it from the ``attrs`` of a data frame, even after a round trip through a file."""
        return cls(attrs["chandlery"])

    def to_json(self) -> bytes:
        """Encode as JSON, e.g. for the metadata of an Arrow schema."""
        return msgspec.json.encode(self._content)

    @property
    def _content(self) -> _Content:
        return msgspec.convert(dict(self), _Content)

    @property
    def spans(self) -> tuple[SourceSpan, ...]:
        """The sources."""
        return self._content.spans

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The gaps."""
        return self._content.gaps

    @property
    def events(self) -> tuple[Event, ...]:
        """The anomalies."""
        return self._content.events

    @property
    def open_candle(self) -> Micros | None:
        """The open time of the running candle, if the result holds it."""
        return self._content.open_candle

    @property
    def volume_unit(self) -> str | None:
        """The unit of ``volume``: ``base``, ``quote`` or ``contracts``; ``None`` if it is unknown, or not of candles."""
        return self._content.volume_unit

    @property
    def turnover_unit(self) -> str | None:
        """The unit of ``quote_asset_volume``: ``quote``, or ``base`` in inverse markets; ``None`` if it is not sent or unknown."""
        return self._content.turnover_unit


def _sources(spans: Iterable[SourceSpan]) -> Iterable[str]:
    return dict.fromkeys(f"{each.source} (cached)" if each.cached else each.source for each in spans)
