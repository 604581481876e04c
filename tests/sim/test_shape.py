"""Rows with more or fewer places."""

import pytest
from msgspec import Raw

from chandlery.exchanges.mexc.protobuf import push_class
from chandlery.sim.shape import reshaped

ROW = {"t": 1, "o": "1", "h": "1", "l": "1", "c": "1"}


@pytest.mark.parametrize(
    ("plain", "wide", "narrow"),
    [
        ([[1, "2", "3"]], [[1, "2", "3", "0"]], [[1, "2"]]),
        ({"code": "0", "data": [[1, 2]]}, {"code": "0", "data": [[1, 2, "0"]]}, {"code": "0", "data": [[1]]}),
        ([ROW], [ROW | {"extra0": "0"}], [{key: ROW[key] for key in "tohl"}]),
        ({"e": "k", "k": ROW}, {"e": "k", "k": ROW | {"extra0": "0"}}, {"e": "k", "k": {key: ROW[key] for key in "tohl"}}),
        ({"arg": {"channel": "x"}}, {"arg": {"channel": "x"}}, {"arg": {"channel": "x"}}),
        ({"candles": [1, 2, 3, 4, 5, 6]}, {"candles": [1, 2, 3, 4, 5, 6, "0"]}, {"candles": [1, 2, 3, 4, 5]}),
        ([{"m": "bar", "data": ROW}], [{"m": "bar", "data": ROW | {"extra0": "0"}, "extra0": "0"}], [{"m": "bar", "data": {key: ROW[key] for key in "tohl"}}]),
        ({key: [1, 2] for key in "tohlc"}, {key: [1, 2] for key in "tohlc"} | {"extra0": [0, 0]}, {key: [1, 2] for key in "tohl"}),
        ({"bids": [[Raw(b"1.50"), Raw(b"2")]]}, {"bids": [[Raw(b"1.50"), Raw(b"2"), "0"]]}, {"bids": [[Raw(b"1.50")]]}),
        ({"data": []}, {"data": []}, {"data": []}),
    ],
)  # fmt: skip
def test_rows_gain_and_lose_places(plain, wide, narrow):
    """Rows alone: an envelope stays as it is."""
    assert (plain, wide) == (reshaped(plain, 0, 0), reshaped(plain, 1, 0))
    assert narrow == (reshaped(plain, 0, 1) if "extra0" not in plain else plain)


def test_protobuf_gains_fields():
    """A parser that knows nothing of them reads the same message."""
    message = push_class()(channel="c", symbol="s")

    widened = push_class().FromString(reshaped(message.SerializeToString(), 2, 0))

    assert ("c", "s") == (widened.channel, widened.symbol)
