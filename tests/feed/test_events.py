"""What a feed says between its data."""

from typing import get_args

import pytest

from chandlery.core.candle import CandleData
from chandlery.feed import events
from chandlery.feed.events import CandleUpdate, Connected, Event, Reconnecting


def test_every_kind_is_an_event():
    """Who matches on the union has them all."""
    kinds = {each for each in vars(events).values() if isinstance(each, type) and each.__module__ == events.__name__}

    assert kinds == set(get_args(Event))
    assert kinds | {CandleData} == set(get_args(CandleUpdate))


def test_events_are_values():
    """Equal where they say the same, and unchangeable."""
    assert Connected(1) == Connected(1) != Connected(2)
    with pytest.raises(AttributeError):
        Reconnecting("cut").reason = "other"
