"""Market from recorded CSV files in the archive's format."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Self

import numpy as np
from msgspec import Struct

from chandlery.core.errors import InvalidInput
from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import Micros
from chandlery.sim import bars
from chandlery.sim.market import Columns
from chandlery.sim.noise import Integers
from chandlery.sim.trading import Trading
from chandlery.sim.venues import VENUES

_NAME = re.compile(r"(\w+)-(1s|\d+[mhdw]|1mo|1M)-(\d{4}-\d\d)(-\d\d)?\.csv", re.ASCII)
_INTERVALS = {each.slug: each for each in Interval} | {"1M": Interval.MONTH_1}
_MARKETS = {f"/{venue.archive_path}/": venue.market_type for venue in VENUES.values()}
_IN_MICROS = 10**15


class _Series(Struct, frozen=True):
    """Rows of one symbol and interval in the order of the files."""

    opens: Integers
    lines: Sequence[bytes]
    headers: Sequence[bytes | None]
    """Header line of the file of each row."""

    def places(self, span: Span) -> list[int]:
        return np.flatnonzero((self.opens >= span.start) & (self.opens < span.end)).tolist()


class RecordedMarket:
    """
    Market that serves the CSV files of a folder, byte for byte.

    The files are named ``SYMBOL-INTERVAL-YYYY-MM.csv`` or ``…-DD.csv``, in any folder below ``folder``. A file in
    ``spot/``, ``futures/um/`` or ``futures/cm/`` belongs to that market, any other to every market. ``folders`` gives a
    market a folder of its own. Where a month and one of its days exist, the month is used. The candle running at
    ``now`` is served in its final state, since its earlier states are unknown. There are no funding rates.

    Raises:
        InvalidInput: There is no such file, or one has other content.
    """

    def __init__(self, folder: Path | None = None, *, folders: Mapping[MarketType, Path] | None = None) -> None:
        folders_text = "\0".join(str(each and each.absolute()) for each in (folder, *(folders or {}).values()))
        self.origin = f"offline-recorded-{blake2b(folders_text.encode(), digest_size=4).hexdigest()}"
        """Distinct name for each folder, whose files may be replaced as an exchange replaces its own."""
        self._series: dict[tuple[MarketType, str, Interval], _Series] = {}
        for market_type in MarketType:
            root = (folders or {}).get(market_type, folder)
            if root is not None:
                self._series |= {
                    (market_type, symbol, interval): _read(files)
                    for (symbol, interval), files in _found(root, market_type).items()
                }
        if not self._series:
            raise InvalidInput(f"no file like BTCUSDT-1h-2024-11.csv in {folder or dict(folders or {})}")

    def candles(self, market_type: MarketType, symbol: str, interval: Interval, span: Span) -> Columns:
        """Return the candles that open in ``span``, as numbers; times in microseconds."""
        rows = [line.split(b",") for line in self.lines(market_type, symbol, interval, span)]
        columns: Columns = {}
        for place, name in enumerate(bars.COLUMNS):
            values = [row[place] for row in rows]
            whole = name in {"open_time", "close_time", "count"}
            columns[name] = np.array(list(map(int if whole else float, values)), dtype="int64" if whole else "float64")
            if name.endswith("_time"):
                columns[name] = _micros(columns[name])
        return columns

    def funding(self, market_type: MarketType, symbol: str, span: Span) -> Columns:
        """Return no rates: the files hold candles."""
        return {"open_time": np.empty(0, dtype=np.int64), "funding_rate": np.empty(0)}

    def lines(
        self, market_type: MarketType, symbol: str, interval: Interval, span: Span, *, now: Micros | None = None
    ) -> list[bytes]:
        """Return the unchanged lines of the files."""
        series = self._series.get((market_type, symbol, interval))
        if series is None:
            return []
        span = span if now is None else Span(span.start, min(span.end, now + 1))
        return [series.lines[place] for place in series.places(span)]

    def header(self, market_type: MarketType, symbol: str, interval: Interval, opened: Micros) -> bytes | None:
        """Return the header of the file with the first row at or after ``opened``."""
        series = self._series.get((market_type, symbol, interval))
        place = -1 if series is None else int(np.argmax(series.opens >= opened))
        return None if series is None or series.opens[place] < opened else series.headers[place]

    def has(self, market_type: MarketType, symbol: str, interval: Interval, span: Span) -> bool:
        """Return whether any row opens in ``span``."""
        series = self._series.get((market_type, symbol, interval))
        return series is not None and bool(series.places(span))

    def first(self, market_type: MarketType, symbol: str, interval: Interval) -> Micros | None:
        """Return the open time of the oldest row."""
        series = self._series.get((market_type, symbol, interval))
        return None if series is None else int(series.opens.min())

    def knows(self, market_type: MarketType, symbol: str) -> bool:
        """Return whether the symbol has a file."""
        return symbol in self.symbols(market_type)

    def on(self, terms: Trading) -> Self:
        """Return the same market, since its candles are recorded."""
        return self

    def symbols(self, market_type: MarketType) -> Sequence[str]:
        """Return the symbols that have files."""
        return sorted({symbol for market, symbol, _ in self._series if market is market_type})


def _found(root: Path, market_type: MarketType) -> dict[tuple[str, Interval], list[Path]]:
    """Return the files of a market by series, oldest first, without days of existing months."""
    named: dict[tuple[str, Interval], dict[str, Path]] = {}
    for path in sorted(root.rglob("*.csv")):
        name = _NAME.fullmatch(path.name)
        place = f"/{path.relative_to(root).as_posix()}"
        owner = next((market for part, market in _MARKETS.items() if part in place), market_type)
        if name and name[2] in _INTERVALS and owner is market_type:
            named.setdefault((name[1], _INTERVALS[name[2]]), {})[name[3] + (name[4] or "")] = path
    return {
        series: [path for date, path in sorted(files.items()) if len(date) == 7 or date[:7] not in files]
        for series, files in named.items()
    }


def _read(files: Iterable[Path]) -> _Series:
    opens: list[int] = []
    lines: list[bytes] = []
    headers: list[bytes | None] = []
    for path in files:
        for moment, line, header in _rows(path):
            opens.append(moment)
            lines.append(line)
            headers.append(header)
    return _Series(_micros(np.array(opens, dtype=np.int64)), lines, headers)


def _rows(path: Path) -> Iterator[tuple[int, bytes, bytes | None]]:
    header = None
    for number, line in enumerate(path.read_bytes().removesuffix(b"\n").split(b"\n")):
        first = line.partition(b",")[0]
        if first.isdigit():
            yield int(first), line, header
        elif number == 0:
            header = line
        else:
            raise InvalidInput(f"{path}, line {number + 1}, is not a candle: {line[:80]!r}")


def _micros(moments: Integers) -> Integers:
    """Convert times to microseconds. The archive changed from milliseconds in 2025; no time since 2001 fits both."""
    return np.where(moments < _IN_MICROS, moments * 1000, moments)
