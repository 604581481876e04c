"""Base of the tests that need a wire of the offline exchange, and damaged messages."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chandlery.adapter.live import CandleStream
from chandlery.core.time import Micros
from chandlery.sim.market import Market
from chandlery.sim.wire import Wire
from chandlery.sim.wires import wires
from chandlery.testing.offline import MARKET, OfflineAdapter

NOW: Micros = 1_741_774_830_500_000
"""2025-03-12 10:20:30.5, the time at the offline exchange."""


class WireTests:
    """Tests of an adapter against the wire of the offline exchange; without a wire they are skipped."""

    exchange: ClassVar[str]
    wire: ClassVar[type[Wire] | None] = None
    """The wire of the exchange, if it is not one of chandlery's own."""
    market: ClassVar[Market] = MARKET
    """The market that the offline exchange trades; it lists the first of the adapter's examples."""

    def facing(self) -> OfflineAdapter:
        """Return the adapter, and the wire that it faces."""
        kind = self.wire or wires().get(self.exchange)
        if kind is None:
            pytest.skip("the offline exchange has no wire of it")
        return OfflineAdapter(self.exchange, NOW, self.market, wire=kind)

    def streams(self, facing: OfflineAdapter) -> list[CandleStream]:
        """Return every stream of candles of the symbol; skip the test if there is none."""
        found = [CandleStream(facing.native, interval) for interval in facing.adapter.live_intervals]
        if not found:
            pytest.skip("it has no live candles")
        return found

    def unknown(self, facing: OfflineAdapter) -> str:
        """Return a symbol in the exchange's spelling that it does not trade."""
        base = facing.adapter.instrument(facing.native)
        for each in ("BTC", "XBT", "btc") if base is None else (base.base, "BTC", "XBT", "btc"):
            if each in facing.native:
                return facing.native.replace(each, "nosuchcoin" if each.islower() else "NOSUCHCOIN")
        return f"NOSUCHCOIN{facing.native}"


def drawn(count: int, check: Callable[[st.DataObject], None]) -> None:
    """Run a check with ``count`` draws; hypothesis reports the smallest one that fails."""

    # How long an example takes on a busy machine is no fault.
    @settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(data=st.data())
    def run(data: st.DataObject) -> None:
        check(data)

    run()


_LETTERS = '0123456789.+-eEInfatNxyz_/: \0\x7f\n"\\é币\U0001f600'
"""Letters of texts: few, since hypothesis takes seconds to prepare all of Unicode."""

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(_LETTERS, max_size=8)
    | st.just("NaN"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(_LETTERS, max_size=3), inner, max_size=3),
    max_leaves=5,
)
"""Values of JSON, and a few that only Python writes."""


def _nodes(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of every node of a JSON value."""
    found = [path]
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        found += _nodes(child, (*path, key))
    return found


def _replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    """Return the value with one node replaced."""
    if not path:
        return by
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _replaced(copy[path[0]], path[1:], by)
    return copy


def damaged(data: st.DataObject, body: bytes) -> bytes:
    """Return a body with one node replaced or, if it is not JSON, with a few bytes changed."""
    try:
        value = json.loads(body)
    except ValueError:
        raw = bytearray(body)
        for at in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=4)):
            raw[at] = data.draw(st.integers(0, 255))
        return bytes(raw)
    return json.dumps(_replaced(value, data.draw(st.sampled_from(_nodes(value))), data.draw(JSON))).encode()


def damaged_message(data: st.DataObject, facing: OfflineAdapter, message: bytes) -> bytes:
    """Return a message of a socket that is damaged, but for the line before it that names its stream."""
    if not (facing.adapter.streams_lines or facing.adapter.socket.channels):
        return damaged(data, message)
    named, end, line = message.rpartition(b"\n")
    return named + end + damaged(data, line)
