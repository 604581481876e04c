"""MEXC's pushes, as readers generated from the published files read them."""

from __future__ import annotations

from chandlery.sim.wires.mexc import protobuf


def read(frame: bytes):
    """The message in a frame, by ccxt's classes, which do not know fields that were not published."""
    from ccxt.protobuf.mexc import PushDataV3ApiWrapper_pb2 as published

    message = published.PushDataV3ApiWrapper.FromString(frame)
    assert frame == message.SerializeToString()
    return message


def test_a_candle():
    """Each number in the field of its name."""
    values = ("1.5", "2", "3", "1", "10", "20.25")
    push = read(protobuf.kline("c", "BTCUSDT", 1_736_411_507_002, "Min1", (1_736_411_460, 1_736_411_520), values))
    kline = push.publicSpotKline

    assert ("c", "BTCUSDT", 1_736_411_507_002) == (push.channel, push.symbol, push.createTime)
    assert ("Min1", 1_736_411_460, 1_736_411_520) == (kline.interval, kline.windowStart, kline.windowEnd)
    assert values == (
        kline.openingPrice, kline.closingPrice, kline.highestPrice, kline.lowestPrice, kline.volume, kline.amount,
    )  # fmt: skip


def test_changes_of_a_book():
    """Both sides, the first and the last version."""
    push = read(protobuf.depths("c", "BTCUSDT", 300, "e", (7, 9), [("2", "0")], [("1", "5"), ("0.5", "1")]))
    changes = push.publicAggreDepths

    assert ("c", "BTCUSDT", 300) == (push.channel, push.symbol, push.sendTime)
    assert ("e", "7", "9") == (changes.eventType, changes.fromVersion, changes.toVersion)
    assert [("2", "0")] == [(each.price, each.quantity) for each in changes.asks]
    assert [("1", "5"), ("0.5", "1")] == [(each.price, each.quantity) for each in changes.bids]
