"""Frames as a server sends them over a WebSocket (RFC 6455, 5.2): not masked, so that one is good for all clients."""

from __future__ import annotations

import struct

_TEXT, _BINARY = 0x81, 0x82
"""The first byte of a whole message."""


def text_frame(content: bytes) -> bytes:
    """A message of UTF-8 text."""
    return _head(_TEXT, len(content)) + content


def binary_frame(content: bytes) -> bytes:
    """A message of bytes."""
    return _head(_BINARY, len(content)) + content


def _head(first: int, size: int) -> bytes:
    if size < 126:
        return bytes((first, size))
    if size < 1 << 16:
        return struct.pack("!BBH", first, 126, size)
    return struct.pack("!BBQ", first, 127, size)
