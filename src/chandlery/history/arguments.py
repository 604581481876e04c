"""Checks of arguments that managers share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import TypeAlias, TypeVar

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import InvalidInput, UnknownName
from chandlery.core.instrument import require_symbol

Symbols: TypeAlias = Iterable[str] | Mapping[str, str]
"""Several symbols, or symbols by the labels that their rows get."""

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
