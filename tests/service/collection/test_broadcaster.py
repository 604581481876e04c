"""Where what comes live is handed on."""

from __future__ import annotations

import json

import pytest

from chandlery.core.gaps import Gap, GapKind
from chandlery.core.series_id import SeriesId
from chandlery.service.collection.broadcaster import Broadcaster, Update, gap_content

BOOK = SeriesId.of_book("binance", "BTC/USDT")
CANDLES = SeriesId.parse("binance", "BTC/USDT", "candles:1m")


class Reader:
    """Remembers what it took."""

    def __init__(self):
        self.taken = []

    def take(self, update):
        """Remember it."""
        self.taken.append(update)


def test_only_who_subscribed_is_told():
    """Each update once, in order, of that series alone, until unsubscribed."""
    broadcaster, one, other = Broadcaster(), Reader(), Reader()
    broadcaster.subscribe(BOOK, one)
    broadcaster.subscribe(BOOK, one)
    broadcaster.subscribe(CANDLES, other)
    first, second = Update(BOOK, "book", {"a": 1}), Update(BOOK, "book", {"a": 2})
    broadcaster.publish(first)
    assert 2 == broadcaster.count()
    broadcaster.unsubscribe(BOOK, one)
    broadcaster.unsubscribe(BOOK, one)
    broadcaster.publish(second)

    assert ([first], []) == (one.taken, other.taken)
    assert second is broadcaster.latest(BOOK)
    assert (0, 1, 2) == (broadcaster.count(BOOK), broadcaster.count(), broadcaster.published)


def test_a_subscriber_that_fails_keeps_nothing_from_the_others(caplog):
    """Its error is counted and logged; the others are told, and it is told of the next update again."""
    broadcaster, reader = Broadcaster(), Reader()

    class Failing(Reader):
        def take(self, update):
            super().take(update)
            raise KeyError("outbox")

    failing = Failing()
    broadcaster.subscribe(BOOK, failing)
    broadcaster.subscribe(BOOK, reader)
    for _ in range(2):
        broadcaster.publish(Update(BOOK, "book", {}))

    assert (2, 2, 2) == (len(failing.taken), len(reader.taken), broadcaster.failures)
    assert 1 == caplog.text.count("a subscriber failed")


def test_who_unsubscribes_while_being_told_disturbs_nobody():
    """The others are told all the same."""
    broadcaster, reader = Broadcaster(), Reader()

    class Leaving(Reader):
        def take(self, update):
            broadcaster.unsubscribe(BOOK, self)

    broadcaster.subscribe(BOOK, Leaving())
    broadcaster.subscribe(BOOK, reader)
    broadcaster.publish(Update(BOOK, "book", {}))

    assert 1 == len(reader.taken)


def test_a_gap_is_not_the_latest():
    """What is asked for as the latest is data."""
    broadcaster = Broadcaster()
    broadcaster.publish(Update(BOOK, "book", {"a": 1}))
    broadcaster.publish(Update(BOOK, "gap", {}))
    assert {"a": 1} == broadcaster.latest(BOOK).content
    broadcaster.forget(BOOK)
    assert None is broadcaster.latest(BOOK)


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        (Update(BOOK, "book", {"a": 1}), {"type": "realtime_data", "channel": "book", "data": {"a": 1}}),
        (
            Update(CANDLES, "gap", gap_content(Gap(0, 60_000_000, GapKind.HALT, "x"))),
            {
                "type": "gap",
                "channel": "candles",
                "interval": "1m",
                "data": {
                    "start": "1970-01-01T00:00:00Z",
                    "end": "1970-01-01T00:01:00Z",
                    "kind": "halt",
                    "evidence": "x",
                },
            },
        ),
    ],
)
def test_messages_say_of_which_series_they_are(update, expected):
    """Encoded once, also as a frame."""
    assert expected | {"exchange": "binance", "symbol": "BTC/USDT"} == json.loads(update.message)
    assert update.message is update.message
    assert update.frame.endswith(update.message)


def test_what_conflates():
    """Books and running candles; never closed ones or gaps."""
    assert [True, True, False, False] == [
        Update(BOOK, kind, {}).conflates for kind in ("book", "running", "closed", "gap")
    ]
