"""Frames as a server sends them over a WebSocket (RFC 6455, 5.2): not masked, so that one is good for all clients."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TypeAlias

_TEXT, _BINARY = 0x81, 0x82
"""The first byte of a whole message."""

Part: TypeAlias = bytes | memoryview
"""A stretch of bytes, which need not be copied to be sent."""


def text_frame(content: bytes) -> bytes:
    """A message of UTF-8 text."""
    return _head(_TEXT, len(content)) + content


def binary_frame(parts: Sequence[Part]) -> list[Part]:
    """A message of bytes that lie apart."""
    return [_head(_BINARY, sum(map(len, parts))), *parts]


def _head(first: int, size: int) -> bytes:
    if size < 126:
        return bytes((first, size))
    if size < 1 << 16:
        return struct.pack("!BBH", first, 126, size)
    return struct.pack("!BBQ", first, 127, size)
