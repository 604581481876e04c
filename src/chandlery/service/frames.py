"""Server frames of a WebSocket (RFC 6455, 5.2), unmasked, so that one frame can be sent to all clients."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TypeAlias

_TEXT, _BINARY = 0x81, 0x82
"""First byte of an unfragmented message."""

Part: TypeAlias = bytes | memoryview
"""Bytes that can be sent without a copy."""


def text_frame(content: bytes) -> bytes:
    """Frame a UTF-8 text message."""
    return _head(_TEXT, len(content)) + content


def binary_frame(parts: Sequence[Part]) -> list[Part]:
    """Frame a binary message given as several buffers."""
    return [_head(_BINARY, sum(map(len, parts))), *parts]


def _head(first: int, size: int) -> bytes:
    if size < 126:
        return bytes((first, size))
    if size < 1 << 16:
        return struct.pack("!BBH", first, 126, size)
    return struct.pack("!BBQ", first, 127, size)
