"""Which series a cache file belongs to, where its folder is, and how it is cut into files."""

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
"""In bytes; file systems allow 255, and suffixes need some."""
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
    """Whose data they are, where not the exchange's own: these have a folder of their own."""

    @classmethod
    def of(cls, query: CandleQuery, origin: str | None = None) -> SeriesKey:
        """The series that a query asks for."""
        return cls(query.provider, query.market_type, query.chart_type, query.symbol, query.filed_interval, origin)

    @classmethod
    def of_folder(cls, folder: str) -> SeriesKey | None:
        """The series of a relative folder; ``None`` where a name in it is not known here."""
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
        Its folder, relative to the cache.

        Raises:
            InvalidSymbol: For a symbol that cannot be a folder's name everywhere.
        """
        return _folder(self)

    def file_span(self, moment: Micros) -> Span:
        """
        The rows of which moments are in the same file as those of ``moment``.

        That is one UTC day; where candles are longer than a day, one candle.
        """
        unit = self.interval if self.interval.longest > DAY else Interval.DAY_1
        start = unit.floor(moment)
        return Span(start, unit.step(start))

    @staticmethod
    def file_name(span: Span) -> str:
        """The name of the file of that span."""
        return date_text(span.start) + SUFFIX


def _named(kind: Iterable[Any], name: str) -> Any:
    return {member.name: member for member in kind}[name]


def day_of_name(name: str) -> Micros | None:
    """The day of the file of that name; ``None`` where it is not a cache file."""
    if not _DAY_FILE.fullmatch(name):
        return None
    try:
        return to_micros(datetime.fromisoformat(f"{name[:10]}T00:00:00+00:00"))
    except ValueError:
        return None


@lru_cache(maxsize=1024)
def _folder(key: SeriesKey) -> Path:
    """Asked for at each file, and costly to make and to check."""
    above = [] if key.origin is None else [origin_folder(key.origin)]
    parts = (key.provider.name, key.market_type.name, key.chart_type.name, _named_folder(key.symbol), key.interval.slug)
    return Path(*above, *parts)


def origin_folder(origin: str) -> str:
    """The folder of all series of an origin; no provider's name begins like it."""
    return _ORIGIN_MARK + safe_name(origin.replace("%", "%25").replace(":", "%3A"))


def split_origin(folder: str) -> tuple[str | None, str]:
    """The origin of a relative folder, ``None`` for the exchange itself, and the series in it."""
    if not folder.startswith(_ORIGIN_MARK):
        return None, folder
    origin, _, series = folder.removeprefix(_ORIGIN_MARK).partition("/")
    return origin.replace("%3A", ":").replace("%25", "%"), series


def _named_folder(symbol: str) -> str:
    """
    The folder of a symbol: the symbol itself where that is a name of its own on every disk, else escaped as in URLs.

    A slash is part of some exchanges' symbols and of no folder's name. Letters beyond ASCII are escaped, since disks
    differ in how they compose and fold them, and in a symbol of capitals and small letters the small ones, since some
    disks ignore case. Two forms stay as they are: small letters alone (HTX) and ``k`` before capitals (Hyperliquid's thousands).
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
        raise InvalidSymbol(f"{folder!r} is not how the folder of {symbol!r} is called")
    return symbol


def safe_name(text: str) -> str:
    """
    ``text`` itself, where it is a harmless name of one folder on every system.

    Raises:
        InvalidSymbol: Where it is not; the message says why.
    """
    reason = None
    if not text or text.startswith("."):
        reason = "it is empty or begins with a dot"
    elif not text.isprintable() or any(letter.isspace() for letter in text):
        reason = "it has spaces or characters that do not print"
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
