"""What Binance's sockets send, and the fast way through it."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.errors import MalformedResponse, RequestRejected
from chandlery.core.interval import Interval
from chandlery.exchanges.binance import BinanceSpot

VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-9, 2**53), st.text(max_size=3), st.sampled_from(["1.5", "nan", "inf", "1m"])
)
RIGHT = dict.fromkeys("ohlcvqVQ", "1.5") | {"t": 60_000, "i": "1m", "n": 2, "x": False}


@given(
    st.sampled_from([{}, {"error": {"code": 1, "msg": "no"}}, {"error": None}, {"error": 1}, {"s": 1}, {"k": None}]),
    st.dictionaries(st.sampled_from([*RIGHT, "zzz"]), VALUES, max_size=2),
    st.sampled_from(["AAAUSDT", "BBBUSDT", "CCCUSDT"]),
    st.sampled_from([None, b"", b"}", b"\xff", b"[]"]),
    st.booleans(),
)
def test_the_shortcut_of_klines(top, fields, symbol, garbage, takes):
    """A message whose only candle has a sink goes there, as ``live_rows`` reads it; any other goes on as it is."""
    told, left = [], []

    def sink(candle):
        told.append(candle)
        return takes

    adapter = BinanceSpot()
    take = adapter.live_shortcut(
        {"AAAUSDT": (Interval.MINUTE_1, sink), "BBBUSDT": (Interval.HOUR_1, sink)}, left.append
    )
    message = garbage or json.dumps({"e": "kline", "s": symbol, "k": RIGHT | fields, **top}).encode()
    take(message)
    try:
        rows = adapter.live_rows(message)
    except (MalformedResponse, RequestRejected):
        rows = []
    wanted = [
        row.candle
        for row in rows
        if (row.symbol, row.interval) in {("AAAUSDT", Interval.MINUTE_1), ("BBBUSDT", Interval.HOUR_1)}
    ]

    assert repr(wanted) == repr(told)
    assert ([] if wanted and takes else [message]) == left
