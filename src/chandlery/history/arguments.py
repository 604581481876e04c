"""Checks of arguments that managers share."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final, TypeAlias, TypeVar

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import InvalidInput, UnknownName
from chandlery.core.gaps import Span
from chandlery.core.instrument import require_symbol
from chandlery.core.interval import Interval
from chandlery.core.query import ChartType
from chandlery.core.time import DAY

Symbols: TypeAlias = Iterable[str] | Mapping[str, str]
"""Several symbols, or symbols by the labels that their rows get."""


class _LeftOut(str):
    __slots__ = ()


LEFT_OUT: Final = _LeftOut("1s")
"""Default of ``interval``: that of the documented interface, as an object of its own."""

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())

_Member = TypeVar("_Member", bound=Enum)


def require_one_of(name: str, value: object, known: tuple[str | bool, ...]) -> None:
    """Check that an argument is one of the known values."""
    if value not in known:
        raise InvalidInput(f"{name} is {value!r}; use one of {', '.join(map(str, known))}")


def member(kind: type[_Member], given: _Member | str, name: str) -> _Member:
    """Return a member of an enumeration, given as such or by its value."""
    try:
        return kind(given)
    except ValueError:
        raise InvalidInput(f"{name} is {given!r}; use one of {', '.join(each.value for each in kind)}") from None


def require_exchanges(**by_exchange: Mapping[str, object] | None) -> None:
    """Check that the keys of arguments are ids of exchanges."""
    for name, values in by_exchange.items():
        unknown = set(values or ()) - set(ExchangeRegistry.names())
        if unknown:
            known = ", ".join(ExchangeRegistry.names())
            raise UnknownName(
                f"{name} names {', '.join(sorted(unknown))}, which is not an exchange; use one of {known}"
            )


def length_of(interval: Interval | str, span: Span, chart_type: ChartType | str) -> Interval:
    """
    Return the interval; log a warning if it was left out although the span has more than a day of candles.

    Raises:
        UnknownInterval: It is not an interval.
    """
    length = interval if isinstance(interval, Interval) else Interval(interval)
    if interval is LEFT_OUT and span.end - span.start > DAY and ChartType(chart_type).interval is None:
        rows = length.count(span.start, span.end)
        _log.warning("no interval is given: %s has %d candles of %s; pass e.g. interval='1m'", span, rows, length.value)
    return length


def labelled(symbols: Symbols) -> dict[str, str]:
    """
    Return several symbols by their labels, which are by default the symbols themselves.

    Raises:
        InvalidInput: There is none, one is given twice, or one is not a symbol.
    """
    named = list(symbols.items()) if isinstance(symbols, Mapping) else [(each, each) for each in symbols]
    if not named:
        raise InvalidInput("no symbols are given; name at least one, e.g. ['BTCUSDT', 'ETHUSDT']")
    for label, symbol in named:
        require_symbol(symbol)
        if not isinstance(label, str):
            raise InvalidInput(f"the label of {symbol} is {label!r}; use text")
    twice = [label for label, count in Counter(label for label, _ in named).items() if count > 1]
    if twice:
        raise InvalidInput(f"{', '.join(twice)} is given twice")
    return dict(named)
