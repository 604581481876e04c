"""HTTP responses of the offline exchange, as values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct, field


class Reply(Struct, frozen=True):
    """HTTP response."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def json_reply(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Build a JSON response; bytes are JSON already."""
    body = content if isinstance(content, bytes) else msgspec.json.encode(content)
    return Reply(status, body, {"Content-Type": "application/json;charset=UTF-8", **(headers or {})})


def error_reply(code: int, message: str, status: int = 400, headers: Mapping[str, str] | None = None) -> Reply:
    """Build a refusal in Binance's form."""
    return json_reply({"code": code, "msg": message}, status, headers)
