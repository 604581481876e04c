"""Times and ranges from callers, in every form in which they are accepted."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from numbers import Integral
from typing import Any, Protocol, SupportsIndex, TypeAlias

from chandlery.core.errors import InvalidInput, InvalidRange
from chandlery.core.gaps import Span
from chandlery.core.time import DAY, HOUR, MINUTE, SECOND, Micros, Unit, iso, micros_of, to_datetime


class NumpyTime(Protocol):
    """A ``numpy.datetime64``; this package does not import numpy."""

    def astype(self, dtype: Any, /) -> Any:
        """Convert to another unit."""


TimeLike: TypeAlias = datetime | date | str | SupportsIndex | NumpyTime
"""
A time as a caller writes it. Without a time zone it is UTC, except a naive ``datetime``, which is refused.

- ``datetime``, ``date``, ``pandas.Timestamp``, ``numpy.datetime64``; finer parts than microseconds are rounded up;
- text: ``2024-01-01``, ``2024-01-01T12:00:00Z``, ``2024-01-01 12:00+01:00``;
- ``now``, or a time before now: ``30s``, ``15m``, ``12h``, ``7d``, ``2w``, ``6M`` (calendar months), ``1y``;
- an integer, or text of digits: milliseconds since 1970.
"""

TIME_HELP = "2024-01-01, 2024-01-01T12:00:00Z, milliseconds since 1970, now, or a time before now: 12h, 7d, 6M, 1y"

_EARLIEST, _LATEST = (micros_of(datetime(year, 1, 1, tzinfo=UTC)) for year in (1, 9999))
"""Candles of any length that open between these end before the last possible datetime."""
_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.,]\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII | re.IGNORECASE)
_DIGITS = re.compile(r"\d{1,19}", re.ASCII)
_AGO = re.compile(r"(\d{1,9})([smhdwMy])", re.ASCII)
_LENGTHS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_MONTHS = {"M": 1, "y": 12}
_UNITS = {"s": Unit.SECONDS, "ms": Unit.MILLIS, "us": Unit.MICROS}
_FIRST_MILLIS = 10**11
"""March 1973, before which no exchange has data; smaller integers are seconds, or a date such as 20240101."""
_LAST_MILLIS = 10**15
"""Larger integers are microseconds or nanoseconds."""


def to_micros(moment: TimeLike, *, name: str = "the time", now: Micros | None = None, unit: str = "ms") -> Micros:
    """
    Convert a time to microseconds.

    ``now`` is what relative times refer to; without it they are refused. ``unit`` is that of integers: ``s``, ``ms`` or
    ``us``. Times before the year 1 in UTC, or after the beginning of 9999, are clamped to these.

    Raises:
        InvalidRange: For a naive datetime, whose time zone is unknown, for ``pandas.NaT`` and ``numpy.NaT``, and for
            whatever is not a time.
        InvalidInput: For an unknown ``unit``.
    """
    return min(max(_micros(moment, name, now, unit), _EARLIEST), _LATEST)


def range_of(
    start: TimeLike,
    end: TimeLike | None,
    now: Micros,
    *,
    unit: str = "ms",
    names: tuple[str, str] = ("start_time", "end_time"),
) -> Span:
    """
    Return the span between two times; it ends ``now`` if ``end`` is ``None``. ``names`` are those of errors.

    Raises:
        InvalidRange: It ends before it starts, or starts before 1970.
    """
    first = to_micros(start, name=names[0], now=now, unit=unit)
    last = now if end is None else to_micros(end, name=names[1], now=now, unit=unit)
    if first >= last:
        ends = f"the range ends {'now, ' if end is None else ''}at {iso(last)}, not after its start at {iso(first)}"
        raise InvalidRange(f"{ends}; give {f'an earlier {names[0]}' if end is None else f'a later {names[1]}'}")
    if first < 0:
        raise InvalidRange(f"the range starts at {iso(first)}, before 1970; give a later {names[0]}")
    return Span(first, last)


def require_begun(span: Span, now: Micros, *, name: str = "start_time") -> None:
    """
    Check that a range does not start in the future, with an hour's tolerance for clock differences.

    Raises:
        InvalidRange: It does.
    """
    if span.start > now + HOUR:
        raise InvalidRange(
            f"the range starts at {iso(span.start)}, in the future: it is {iso(now)}; give an earlier {name}"
        )


def _micros(moment: TimeLike, name: str, now: Micros | None, unit: str) -> Micros:
    if isinstance(moment, str):
        return _of_text(moment.strip(), name, now, unit)
    if isinstance(moment, datetime):
        return _of_datetime(moment, name)
    if isinstance(moment, date):
        return micros_of(datetime(moment.year, moment.month, moment.day, tzinfo=UTC))
    if type(moment).__name__ == "datetime64":
        return _of_numpy(moment, name)
    if isinstance(moment, Integral) and type(moment).__name__ not in {"bool", "timedelta64"}:
        return _of_number(int(moment), name, unit)
    raise InvalidRange(f"{name} is a {type(moment).__name__}, {moment!r:.80}; write {TIME_HELP}")


def _of_datetime(moment: datetime, name: str) -> Micros:
    if moment != moment:  # noqa: PLR0124  # only NaT is not itself
        raise InvalidRange(f"{name} is {moment}, which is not a time; write {TIME_HELP}")
    nanosecond: int | None = getattr(moment, "nanosecond", None)
    if moment.utcoffset() is None:
        if nanosecond is None:
            raise InvalidRange(
                f"{name} {moment} has no time zone; add one, e.g. {moment.isoformat(sep=' ')}+00:00 or .replace(tzinfo=timezone.utc)"
            )
        moment = moment.replace(tzinfo=UTC)  # a pandas.Timestamp, which is naive unless a zone is given
    return micros_of(moment) + bool(nanosecond)


def _of_numpy(moment: Any, name: str) -> Micros:
    if moment != moment:  # noqa: PLR0124  # only NaT is not itself
        raise InvalidRange(f"{name} is {moment}, which is not a time; write {TIME_HELP}")
    whole = moment.astype("datetime64[us]")
    return int(whole.astype("int64")) + bool(whole < moment)


def _of_number(number: int, name: str, unit: str) -> Micros:
    if unit not in _UNITS:
        raise InvalidInput(f"unit is {unit!r}; use one of {', '.join(_UNITS)}")
    if unit == "ms" and not (number == 0 or _FIRST_MILLIS <= number < _LAST_MILLIS):
        raise InvalidRange(
            f"{name} {number} is not in milliseconds since 1970; multiply seconds by 1000, divide microseconds by 1000,"
            f" write a date as 2024-01-01"
        )
    return _UNITS[unit].micros(number)


def _of_text(text: str, name: str, now: Micros | None, unit: str) -> Micros:
    if _DIGITS.fullmatch(text):
        return _of_number(int(text), name, unit)
    ago = _AGO.fullmatch(text)
    try:
        if now is not None and (text.lower() == "now" or ago):
            return now if ago is None else _before(now, int(ago[1]), ago[2])
        # The pattern refuses unusual forms that Python parses, such as week numbers.
        if not _ISO.fullmatch(text):
            raise ValueError(text)  # noqa: TRY301  # the same error as for what only looks like a time
        at = datetime.fromisoformat(text.upper())
        finer = re.search(r"[.,]\d{6}(\d+)", text)
        return micros_of(at if at.tzinfo else at.replace(tzinfo=UTC)) + bool(finer and finer[1].strip("0"))
    except (ValueError, OverflowError):
        raise InvalidRange(f"{name} {text!r:.80} is not a time; write {TIME_HELP}") from None


def _before(now: Micros, count: int, unit: str) -> Micros:
    """Return the time that is ``count`` units before ``now``; months and years are of the calendar."""
    if unit in _LENGTHS:
        return now - count * _LENGTHS[unit]
    at = to_datetime(now)
    index = at.year * 12 + at.month - 1 - count * _MONTHS[unit]
    first = at.replace(year=index // 12, month=index % 12 + 1, day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    return micros_of(first + timedelta(days=min(at.day, (following - first).days) - 1))
