"""An order book is that of now as long as something proves it."""

from __future__ import annotations

import asyncio
from math import inf

import pytest

from chandlery.clients.streaming import BookAges, RealtimeStream
from chandlery.core.time import SECOND
from chandlery.service.collection.book_proof import NO_BOOK, PROVED_WITHIN_S, UNHEARD_S, proved_book

NOW = 1_796_038_000 * SECOND
BOOK = {"bids": [(1.0, 1.0)], "asks": [(2.0, 1.0)], "received_at": 5}


def found(ages, *, book=BOOK, holds=True, last_message_s=None):
    """The time at which the proved book was received, before now in seconds; or why there is none."""

    async def ask():
        stream = RealtimeStream(
            "x", asyncio.Event().wait(), book=(lambda _: book) if holds else None, ages=lambda: ages
        )
        try:
            last = None if last_message_s is None else NOW - round(last_message_s * SECOND)
            return proved_book(stream, BOOK, last, NOW)
        finally:
            await stream.end()

    proved, lack = asyncio.run(ask())
    assert (proved is None) == bool(lack)
    return lack if proved is None else (NOW // 1000 - proved["received_at"]) / 1000


@pytest.mark.parametrize(
    ("ages", "expected"),
    [
        (BookAges(0.25, 0.25), 0.25),
        (BookAges(PROVED_WITHIN_S, PROVED_WITHIN_S), PROVED_WITHIN_S),
        (BookAges(40.0, 3.0), 40.0),
        (BookAges(40.0, 12.0), "no update of the order book for more than 10 s"),
        (BookAges(inf, inf), "no update of the order book since the clock was set back"),
        (BookAges(inf, 3.0), "no update of the order book since the clock was set back"),
        (BookAges(UNHEARD_S), UNHEARD_S),
        (BookAges(UNHEARD_S + 1), "no update of the order book for more than 60 s"),
        (None, NO_BOOK),
    ],
)
def test_an_update_or_a_heartbeat_proves_a_book(ages, expected):
    """Within ten seconds; where no heartbeats are noticed, an update within a minute. It was received with its last message."""
    assert expected == found(ages)


def test_a_stream_that_holds_no_book_is_judged_by_what_came():
    """The last that came is a minute old at most; after the clock was set back it may be of any age."""
    assert 30.0 == found(None, holds=False, last_message_s=30)
    assert NO_BOOK == found(None, holds=False)
    assert "no update of the order book for more than 60 s" == found(None, holds=False, last_message_s=70)
    assert "no update of the order book since the clock was set back" == found(None, holds=False, last_message_s=-5)


def test_no_stream_and_no_valid_book():
    """Neither is a book."""
    assert (None, NO_BOOK) == proved_book(None, BOOK, NOW, NOW)
    assert NO_BOOK == found(BookAges(0.1, 0.1), book=None)
