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
    """What a measurement says of a declaration."""

    AGREES = "agrees"
    DIFFERS = "differs"
    UNKNOWN = "unknown"
    """It could not be measured."""


class Finding(Struct, frozen=True):
    """
    One declaration, and what was measured of it.

    ``name`` is that of the contradiction of the offline exchange which it would be, e.g. ``page_size``.
    """

    name: str
    declared: str
    measured: str
    verdict: Verdict

    @classmethod
    def of(cls, name: str, declared: object, measured: object, *, agrees: bool | None) -> Finding:
        """The finding with its verdict; ``None`` where nothing could be measured."""
        verdict = Verdict.UNKNOWN if agrees is None else Verdict.AGREES if agrees else Verdict.DIFFERS
        return cls(name, str(declared), str(measured), verdict)


class Recording(Struct, frozen=True):
    """
    One answer or frame as it came: no header, no credential.

    ``kind`` is what it was asked for, ``about`` the symbol and the interval. ``body`` is text, or base64 where
    ``encoded``. ``expect`` are the candles that another client made of it: open time, open, high, low, close, volume.
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
        """The recording of raw bytes."""
        try:
            return cls(kind, source, status, body.decode(), about=about)
        except UnicodeDecodeError:
            return cls(kind, source, status, base64.b64encode(body).decode(), encoded=True, about=about)

    @property
    def content(self) -> bytes:
        """The bytes that came."""
        return base64.b64decode(self.body) if self.encoded else self.body.encode()


class Bundle(Struct, frozen=True):
    """Everything that one probe of an exchange found."""

    exchange: str
    at: str
    findings: list[Finding]
    recordings: list[Recording]

    def write(self, folder: Path) -> Path:
        """Write it to a folder of the exchange's name below ``folder``; its path."""
        path = folder / self.exchange / BUNDLE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1))
        return path


def read_bundle(path: Path) -> Bundle:
    """
    A bundle from its file.

    Raises:
        InvalidInput: It is none.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Bundle)
    except (OSError, msgspec.MsgspecError) as error:
        raise InvalidInput(f"{path} is not the bundle of a probe: {error}") from error


def rows_of(body: bytes) -> list[Any]:
    """The first list of lists or of objects in a body of JSON; none where there is no such list."""
    try:
        return _rows(msgspec.json.decode(body))
    except msgspec.MsgspecError:
        return []


def _rows(content: Any) -> list[Any]:
    if isinstance(content, list) and content and isinstance(content[0], list | dict):
        return content
    inside = content.values() if isinstance(content, dict) else ()
    return next(filter(None, map(_rows, inside)), [])
