"""The symbol that a text with a typing mistake means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from chandlery.core.instrument import capitals

_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_SHORTEST, _LONGEST = 3, 30


def squeezed(text: str) -> str:
    """Return the letters and digits of a text, in capitals."""
    return "".join(each for each in capitals(text) if each.isalnum())


def may_be_meant(text: object) -> bool:
    """Return whether it is a text with as many letters and digits as symbols have, so that the nearest is worth a search."""
    return isinstance(text, str) and _SHORTEST <= len(squeezed(text)) <= _LONGEST


def nearest(text: str, known: Mapping[str, str]) -> str | None:
    """
    Return the value of the key that differs from ``squeezed(text)`` by one mistake at most; ``None`` if there is none.

    Keys are squeezed. A mistake is two adjacent characters exchanged, one replaced, one too many, or one left out; the
    first of these kinds that fits decides. The time does not depend on the number of keys.
    """
    if not may_be_meant(text):
        return None
    return next((known[each] for each in _mistakes(squeezed(text)) if each in known), None)


def _mistakes(text: str) -> Iterator[str]:
    yield text
    cuts = [(text[:at], text[at:]) for at in range(len(text) + 1)]
    yield from (head + tail[1] + tail[0] + tail[2:] for head, tail in cuts if len(tail) > 1)
    yield from (head + other + tail[1:] for head, tail in cuts if tail for other in _CHARACTERS)
    yield from (head + tail[1:] for head, tail in cuts if tail and len(text) > 1)
    yield from (head + other + tail for head, tail in cuts for other in _CHARACTERS)
