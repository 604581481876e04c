"""What every wire is given and keeps."""

from __future__ import annotations

from chandlery.core.interval import Interval
from chandlery.sim.wire import Session, Want


def test_a_session_keeps_its_subscriptions():
    """By key, each once, as many as a connection may have."""
    session = Session("/ws", {"token": "x"})
    one, two = Want("a", "BTCUSDT", "BTC-USDT", Interval.MINUTE_1), Want("b", "BTCUSDT", "BTC-USDT")
    assert session.join(one)
    assert session.join(two)
    session.leave("a")
    session.leave("never there")

    assert {"b": two} == session.wants
    assert ("/ws", {"token": "x"}) == (session.path, session.query)


def test_a_full_session_takes_no_more():
    """What the exchange answers then is its own."""
    session = Session("", {})
    session.most = 2

    assert [True, True, False] == [session.join(Want(str(n), "X", "X")) for n in range(3)]
    assert ["0", "1"] == list(session.wants)
