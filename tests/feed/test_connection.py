"""What is known of the subscriptions of one connection."""

from __future__ import annotations

from collections import Counter

import pytest

from chandlery.core.errors import ExchangeUnavailable, RateLimited, RequestRejected
from chandlery.feed.connection import Pending, closing_error
from chandlery.net.ws import CloseReason


class Subscribed:
    """Subscriptions to symbols, and how often each was heard."""

    def __init__(self, *parts):
        self.heard = Counter()
        self.pending = Pending(self.heard.__getitem__, lambda item: item)
        for now, part in enumerate(parts):
            self.pending.sent(part.split(), float(now))


def test_what_is_heard_is_proved():
    """From then on it is not waited for; what was heard before it was sent says nothing."""
    made = Subscribed()
    made.heard["A"] = 5
    made.pending.sent(["A", "B"], 1.0)
    assert ["A", "B"] == made.pending.since()
    assert not made.pending.proved
    made.heard["A"] += 1
    assert ["B"] == made.pending.since()
    assert made.pending.proved


def test_an_acknowledgement_proves_what_it_names():
    """As a word, and nothing where it names none."""
    made = Subscribed("BTC-USDT ETH-USDT")
    made.pending.acknowledged(b'{"event":"subscribe","arg":{"instId":"BTC-USDT2"}}')
    made.pending.acknowledged(b'{"result":null,"id":1}')
    assert not made.pending.proved
    made.pending.acknowledged(b'{"event":"subscribe","arg":{"instId":"BTC-USDT"}}')
    assert ["ETH-USDT"] == made.pending.since()
    assert made.pending.proved


def test_what_shared_a_message():
    """The others of its part, as far as they are not proved."""
    made = Subscribed("A B C", "D E")
    made.heard["C"] += 1

    assert ["B"] == made.pending.mates(["A"])
    assert ["B", "D"] == made.pending.mates(["A", "E"])
    assert ["A"] == made.pending.named(b"topic A does not exist")
    made.pending.left(["A"])
    assert [] == made.pending.named(b"topic A does not exist")


def test_what_was_sent_lately():
    """Since a moment; what was sent again counts anew."""
    made = Subscribed("A", "B", "C")
    made.pending.sent(["A"], 7.0)

    assert ["A", "C"] == sorted(made.pending.since(2.0))


@pytest.mark.parametrize(
    ("over", "kind"),
    [
        (CloseReason("peer", 1006, "gone"), ExchangeUnavailable),
        (CloseReason("peer", 1008, "slow down", RateLimited("slow down")), RateLimited),
        (CloseReason("refused", 404, "no", RequestRejected("no")), RequestRejected),
        (CloseReason("cut", 1006, "no", RequestRejected("no")), ExchangeUnavailable),
    ],
)
def test_why_it_ended(over, kind):
    """What the exchange refused keeps its class; everything else may pass."""
    assert kind is type(closing_error(over))
