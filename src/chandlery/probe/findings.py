"""Findings of a probe, and the recordings that prove them."""

from __future__ import annotations

import base64
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from chandlery.core.errors import InvalidInput

BUNDLE = "probe.json"
"""File name of a bundle in its folder."""


class Verdict(Enum):
    """Result of comparing a measurement with a declaration."""

    AGREES = "agrees"
    DIFFERS = "differs"
    UNKNOWN = "unknown"
    """It could not be measured."""


class Finding(Struct, frozen=True):
    """
    One declaration with its measurement.

    ``name`` is the corresponding contradiction of the offline exchange, e.g. ``page_size``.
    """

    name: str
    declared: str
    measured: str
    verdict: Verdict

    @classmethod
    def of(cls, name: str, declared: object, measured: object, *, agrees: bool | None) -> Finding:
        """Build a finding with its verdict; ``agrees`` is ``None`` if nothing could be measured."""
        verdict = Verdict.UNKNOWN if agrees is None else Verdict.AGREES if agrees else Verdict.DIFFERS
        return cls(name, str(declared), str(measured), verdict)


class Recording(Struct, frozen=True):
    """
    One raw response or frame, without headers and credentials.

    ``kind`` is the kind of request, ``about`` holds symbol and interval. ``body`` is text, or base64 if ``encoded``.
    ``expect`` holds the candles that another client parsed from it: open time, open, high, low, close, volume.
    """

    kind: str
    source: str
    status: int
    body: str
    encoded: bool = False
    about: dict[str, str] = field(default_factory=dict)
    expect: list[list[float]] | None = None

    @classmethod
    def of(cls, kind: str, source: str, status: int, body: bytes, **about: str) -> Recording:
        """Build a recording of raw bytes."""
        try:
            return cls(kind, source, status, body.decode(), about=about)
        except UnicodeDecodeError:
            return cls(kind, source, status, base64.b64encode(body).decode(), encoded=True, about=about)

    @property
    def content(self) -> bytes:
        """Raw bytes."""
        return base64.b64decode(self.body) if self.encoded else self.body.encode()


class Bundle(Struct, frozen=True):
    """All findings and recordings of one probe."""

    exchange: str
    at: str
    findings: list[Finding]
    recordings: list[Recording]

    def write(self, folder: Path) -> Path:
        """Write the bundle to a folder named after the exchange below ``folder``; return its path."""
        path = folder / self.exchange / BUNDLE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1))
        return path


def read_bundle(path: Path) -> Bundle:
    """
    Read a bundle from its file.

    Raises:
        InvalidInput: The file is not a bundle.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Bundle)
    except (OSError, msgspec.MsgspecError) as error:
        raise InvalidInput(f"{path} is not the bundle of a probe: {error}") from error


def rows_of(body: bytes) -> list[Any]:
    """Return the first list of lists or objects in a JSON body; empty if there is none."""
    try:
        return _rows(msgspec.json.decode(body))
    except msgspec.MsgspecError:
        return []


def _rows(content: Any) -> list[Any]:
    if isinstance(content, list) and content and isinstance(content[0], list | dict):
        return content
    inside = content.values() if isinstance(content, dict) else ()
    return next(filter(None, map(_rows, inside)), [])
