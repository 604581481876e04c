"""What the offline exchange answers, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct, field


class Reply(Struct, frozen=True):
    """One HTTP answer."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def json_reply(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """An answer in JSON; bytes are JSON already."""
    body = content if isinstance(content, bytes) else msgspec.json.encode(content)
    return Reply(status, body, {"Content-Type": "application/json;charset=UTF-8", **(headers or {})})


def error_reply(code: int, message: str, status: int = 400, headers: Mapping[str, str] | None = None) -> Reply:
    """A refusal in Binance's form."""
    return json_reply({"code": code, "msg": message}, status, headers)
