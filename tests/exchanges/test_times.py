"""When a message of candles was sent, by the exchange's own time."""

from __future__ import annotations

import pytest

from chandlery.adapter.live import Channel
from chandlery.core.gaps import Span
from fixtures.offline_adapter import OfflineAdapter, offline, streams
from fixtures.support import micros

NOW = micros(2025, 3, 12, 10, 20, 30) + 500_000


@pytest.mark.parametrize("exchange", offline())
def test_live_candles_have_the_time_of_their_message(exchange):
    """To the millisecond, whatever the exchange calls it and in which unit; ``None`` where there is none."""
    facing = OfflineAdapter(exchange, NOW)
    for stream in streams(facing):
        session = facing.open(Channel.CANDLES)
        facing.tell(session, facing.adapter.subscribe([stream]))
        (want,) = session.wants.values()
        span = Span(facing.adapter.grid(stream.interval).floor(NOW), NOW)
        running = facing.view.candles(facing.symbol, stream.interval, span, 10, newest=False)
        frames = facing.frames(facing.wire.candles(session, want, running), want.key)
        times = {row.candle.at for message in frames for row in facing.adapter.live_rows(message)}

        assert {NOW if facing.wire.dates_candles else None} == times
