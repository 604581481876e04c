"""Frames of the socket."""

from __future__ import annotations

import pytest
from websockets.frames import Opcode
from websockets.protocol import CLIENT, OPEN, Protocol

from chandlery.service.frames import binary_frame, text_frame


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 1_000_000])
def test_another_implementation_reads_them(size):
    """Text and bytes of every length that is written differently."""
    client = Protocol(CLIENT, state=OPEN, max_size=None)
    client.receive_data(
        text_frame(b"a" * size) + b"".join(binary_frame([b"b" * (size // 3), memoryview(b"b" * (size - size // 3))]))
    )
    text, binary = client.events_received()

    assert (Opcode.TEXT, True, b"a" * size) == (text.opcode, text.fin, bytes(text.data))
    assert (Opcode.BINARY, True, b"b" * size) == (binary.opcode, binary.fin, bytes(binary.data))
