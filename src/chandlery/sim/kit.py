"""What repeats in wires: pairs in one word, whole numbers in queries, refusals, and the way from a path to its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

QUOTES = ("USDT", "USDC", "USD", "EUR", "BTC", "ETH", "CRO")
"""The currencies that symbols of the offline market are quoted in, the longer before those that they end in."""


def pair_of(symbol: str, quotes: Sequence[str] = QUOTES) -> tuple[str, str]:
    """Split a market's symbol, e.g. ``BTCUSDT``, into base and quote."""
    quote = next((each for each in quotes if symbol.endswith(each) and symbol != each), symbol[-3:])
    return symbol.removesuffix(quote), quote


class Refused(Exception):  # it is no error of the program, but an answer
    """A request is refused; the arguments are what the exchange says."""


def whole(query: Mapping[str, str], name: str, refusal: Refused) -> int | None:
    """
    Read a parameter that is a whole number; ``None`` where it was not sent.

    Raises:
        Refused: It is something else: ``refusal``.
    """
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise refusal
    return int(text)
