"""Ledger of changes to cached data: one JSON line for each restatement."""

from __future__ import annotations

import os
from pathlib import Path

from chandlery.cache import files

LEDGER = "restatements.jsonl"


def append(root: Path, line: bytes) -> None:
    """Append a line atomically; if a killed process left an incomplete line, that is terminated first."""
    with files.locked(root):
        descriptor = os.open(root / LEDGER, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            size = os.fstat(descriptor).st_size
            begun = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            os.write(descriptor, (b"\n" if begun else b"") + line + b"\n")
        finally:
            os.close(descriptor)


def lines(root: Path) -> list[bytes]:
    """Return the lines, oldest first; empty if nothing was ever restated."""
    try:
        return (root / LEDGER).read_bytes().splitlines()
    except FileNotFoundError:
        return []
