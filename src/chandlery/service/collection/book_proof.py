"""Check that a stream's order book is current."""

from __future__ import annotations

from math import inf

from chandlery.clients.rows import Row
from chandlery.clients.streaming import BookAges, RealtimeStream
from chandlery.core.time import SECOND, Micros, Unit

PROVED_WITHIN_S = 10.0
"""Maximum age in seconds of the last update or heartbeat for an order book to count as current."""
UNHEARD_S = 60.0
"""Maximum age in seconds of the last update where heartbeats are not reported, as with ccxt and third parties."""
NO_BOOK = "there was no valid order book"


def proved_book(
    stream: RealtimeStream | None, latest: Row | None, last_message: Micros | None, now: Micros
) -> tuple[Row | None, str]:
    """
    Return the current order book, with ``received_at`` by the same clock as ``now``; else ``None`` and the reason.

    For streams without a book of their own, ``latest`` is the last book received, at ``last_message``.
    """
    if stream is None or not stream.running:
        return None, NO_BOOK
    ages = stream.ages if stream.holds_book else None
    if ages is None and last_message is not None:
        age = now - last_message
        ages = BookAges(age / SECOND if age >= 0 else inf)
    if ages is None:
        return None, NO_BOOK
    silent_s, bound_s = (ages.message_s, UNHEARD_S) if ages.proof_s is None else (ages.proof_s, PROVED_WITHIN_S)
    if ages.message_s == inf:
        return None, "no update of the order book since the clock was set back"
    if silent_s > bound_s:
        return None, f"no update of the order book for more than {bound_s:.0f} s"
    book = stream.book() if stream.holds_book else latest
    if book is None:
        return None, NO_BOOK
    return book | {"received_at": Unit.MILLIS.of(now - round(ages.message_s * SECOND))}, ""
