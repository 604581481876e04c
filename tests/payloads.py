"""Payload files: ``{source, payload, expect}``, and what an adapter makes of each."""

from __future__ import annotations

import json
from typing import Any

from chandlery.core.interval import Interval
from chandlery.core.wire import Response

KINDS = ("rest_candles", "rest_error", "live_candle", "live_ack")


def read_by(adapter: Any, kind: str, held: dict[str, Any]) -> Any:
    """The candles of a payload, or the name of the error that it is."""
    payload = held["payload"]
    if held.get("binary"):
        body = bytes.fromhex(payload)
    else:
        body = payload.encode() if isinstance(payload, str) else json.dumps(payload).encode()
    return {"rest_candles": _rest, "rest_error": _error}.get(kind, _live)(adapter, body, held)


def _rest(adapter: Any, body: bytes, held: Any) -> Any:
    columns = adapter.candles(body, Interval(held.get("interval", "1m")))
    names = ("open_time", "open", "high", "low", "close", "volume")
    return [list(row) for row in zip(*(getattr(columns, name) for name in names), strict=True)]


def _error(adapter: Any, body: bytes, held: Any) -> Any:
    return type(adapter.error(Response(held["status"], {}, body))).__name__


def _live(adapter: Any, body: bytes, held: Any) -> Any:
    return [
        [row.symbol, row.interval.value, row.candle.open_time, row.candle.open,
         row.candle.high, row.candle.low, row.candle.close, row.candle.volume, row.candle.closed]
        for row in adapter.live_rows(adapter.decode(body))
    ]  # fmt: skip
