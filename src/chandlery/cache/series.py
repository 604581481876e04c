"""Map series to cache folders and files."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase
from typing import Any
from urllib.parse import unquote

from msgspec import Struct

from chandlery.core.errors import InvalidSymbol
from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType, require_symbol
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.query import CandleQuery, ChartType, DataProvider
from chandlery.core.time import DAY, Micros, date_text

_LONGEST_NAME = 240
"""Limit in bytes; file systems allow 255, and suffixes need some."""
SUFFIX = ".arrow"
_ORIGIN_MARK = "@"
_DAY_FILE = re.compile(r"\d{4}-\d\d-\d\d\.arrow", re.ASCII)
_SLUGS = {interval.slug: interval for interval in Interval}
_RESERVED = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{port}{number}" for port in ("COM", "LPT") for number in "0123456789¹²³"
}
_THOUSANDS = re.compile("k[A-Z0-9]+")
_UNSAFE = set('/\\<>:"|?*')


class SeriesKey(Struct, frozen=True):
    """One series of the cache. ``symbol`` is in the exchange's own spelling."""

    provider: DataProvider
    market_type: MarketType
    chart_type: ChartType
    symbol: str
    interval: Interval
    origin: str | None = None
    """The origin of the data if not the exchange's own; such series have a folder of their own."""

    @classmethod
    def of(cls, query: CandleQuery, origin: str | None = None) -> SeriesKey:
        """Return the series of a query."""
        return cls(query.provider, query.market_type, query.chart_type, query.symbol, query.filed_interval, origin)

    @classmethod
    def of_folder(cls, folder: str) -> SeriesKey | None:
        """Return the series of a relative folder; ``None`` if it has an unknown name."""
        try:
            origin, series = split_origin(folder)
            provider, market, chart_type, symbol, slug = series.split("/")
            return cls(
                _named(DataProvider, provider),
                MarketType[market],
                _named(ChartType, chart_type),
                _symbol_of(symbol),
                _SLUGS[slug],
                origin,
            )
        except (ValueError, KeyError, InvalidSymbol):
            return None

    @property
    def folder(self) -> Path:
        """
        The folder, relative to the cache.

        Raises:
            InvalidSymbol: The symbol cannot be a folder's name on every system.
        """
        return _folder(self)

    def file_span(self, moment: Micros) -> Span:
        """
        Return the span of the file that contains ``moment``.

        It is one UTC day; for candles longer than a day, one candle.
        """
        unit = self.interval if self.interval.longest > DAY else Interval.DAY_1
        start = unit.floor(moment)
        return Span(start, unit.step(start))

    @staticmethod
    def file_name(span: Span) -> str:
        """Return the name of the file of a span."""
        return date_text(span.start) + SUFFIX


def _named(kind: Iterable[Any], name: str) -> Any:
    return {member.name: member for member in kind}[name]


def day_of_name(name: str) -> Micros | None:
    """Return the day of a file name; ``None`` if it is not a cache file."""
    if not _DAY_FILE.fullmatch(name):
        return None
    try:
        return to_micros(datetime.fromisoformat(f"{name[:10]}T00:00:00+00:00"))
    except ValueError:
        return None


@lru_cache(maxsize=1024)
def _folder(key: SeriesKey) -> Path:
    """Build and check the folder; cached, since it is costly and needed for each file."""
    above = [] if key.origin is None else [_origin_folder(key.origin)]
    parts = (key.provider.name, key.market_type.name, key.chart_type.name, _named_folder(key.symbol), key.interval.slug)
    return Path(*above, *parts)


def _origin_folder(origin: str) -> str:
    """Return the folder of all series of an origin; its first character occurs in no provider's name."""
    return _ORIGIN_MARK + safe_name(origin.replace("%", "%25").replace(":", "%3A"))


def split_origin(folder: str) -> tuple[str | None, str]:
    """Split a relative folder into the origin, ``None`` for the exchange itself, and the series."""
    if not folder.startswith(_ORIGIN_MARK):
        return None, folder
    origin, _, series = folder.removeprefix(_ORIGIN_MARK).partition("/")
    return origin.replace("%3A", ":").replace("%25", "%"), series


def _named_folder(symbol: str) -> str:
    """
    Return the folder of a symbol: the symbol itself if that is unambiguous on every disk, else escaped as in URLs.

    A slash is part of some exchanges' symbols and of no folder's name. Letters beyond ASCII are escaped, since disks
    differ in how they compose and fold them. In mixed-case symbols the small letters are escaped, since some
    disks ignore case. Two forms are not escaped: small letters alone (HTX) and ``k`` before capitals (Hyperliquid's thousands).
    """
    letters = require_symbol(symbol)
    mixed = any(each in ascii_uppercase for each in letters) and not _THOUSANDS.fullmatch(letters)
    escaped = f"%/{ascii_lowercase if mixed else ''}"
    return safe_name("".join(_escape(each) if each in escaped or each > "~" else each for each in letters))


def _escape(letter: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letter.encode())


def _symbol_of(folder: str) -> str:
    symbol = unquote(folder, errors="strict")
    if _named_folder(symbol) != folder:
        raise InvalidSymbol(f"{folder!r} is not the name of the folder of {symbol!r}")
    return symbol


def safe_name(text: str) -> str:
    """
    Return ``text`` if it is a safe name of a folder on every system.

    Raises:
        InvalidSymbol: It is not; the message has the reason.
    """
    reason = None
    if not text or text.startswith("."):
        reason = "it is empty or begins with a dot"
    elif not text.isprintable() or any(letter.isspace() for letter in text):
        reason = "it has spaces or unprintable characters"
    elif _UNSAFE & set(text):
        reason = f"it has one of {' '.join(sorted(_UNSAFE))}"
    elif text.endswith("."):
        reason = "it ends with a dot"
    elif text.split(".", maxsplit=1)[0].upper() in _RESERVED:
        reason = "the name is reserved on Windows"
    elif len(text.encode()) > _LONGEST_NAME:
        reason = f"it is longer than {_LONGEST_NAME} bytes"
    elif not unicodedata.is_normalized("NFC", text):
        reason = "its letters are not in Unicode's composed form"
    if reason:
        raise InvalidSymbol(f"{text[:_LONGEST_NAME]!r} is not a symbol that can be cached: {reason}")
    return text
