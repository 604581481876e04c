"""Archive of files: names, publication times and content."""

from __future__ import annotations

import io
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Self
from xml.sax.saxutils import escape

from msgspec import Struct

from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.time import DAY, Clock, Micros, add_months, date_text, month_of
from chandlery.sim.faults import FaultKind, Faults
from chandlery.sim.market import Market
from chandlery.sim.reply import Reply
from chandlery.sim.venues import VENUES, Venue

_FILE = re.compile(
    r"(data/(?P<market>spot|futures/um|futures/cm)/(?P<period>daily|monthly)/klines/"
    r"(?P<symbol>\w+)/(?P<interval>\w+)/(?P=symbol)-(?P=interval)-(?P<month>\d{4}-\d\d)(?P<day>-\d\d)?\.zip)(?P<checksum>\.CHECKSUM)?",
    re.ASCII,
)
_KEYS_PER_PAGE = 1000
_CACHED_BYTES = 256 * 2**20
_DAILY_DELAY: Micros = DAY
_INTERVALS = {each.slug: each for each in Interval}
_PATHS = {venue.archive_path: venue for venue in VENUES.values()}


class ArchiveFile(Struct, frozen=True):
    """Zip file with the candles of ``symbol`` and ``interval`` that open in ``span``, a day or a month."""

    venue: Venue
    symbol: str
    interval: Interval
    span: Span
    monthly: bool

    @classmethod
    def at(cls, path: str) -> tuple[Self, bool] | None:
        """Return the file of a path, and whether its checksum is requested; ``None`` for an invalid path."""
        found = _FILE.fullmatch(path)
        if not found or found["interval"] not in _INTERVALS:
            return None
        monthly, interval = found["period"] == "monthly", _INTERVALS[found["interval"]]
        if monthly == bool(found["day"]) or not (monthly or interval.longest <= DAY):
            return None
        try:
            start = to_micros(datetime.fromisoformat(found["month"] + (found["day"] or "-01") + "T00:00:00Z"))
        except ValueError:
            return None
        venue = _PATHS[found["market"]]
        file = cls.starting(venue, found["symbol"], interval, start, monthly=monthly)
        return (file, bool(found["checksum"])) if venue.interval(interval.value) else None

    @classmethod
    def starting(cls, venue: Venue, symbol: str, interval: Interval, start: Micros, *, monthly: bool) -> Self:
        """Return the file of the day or month that begins at ``start``."""
        end = add_months(start, 1) if monthly else start + DAY
        return cls(venue, symbol, interval, Span(start, end), monthly)

    @property
    def name(self) -> str:
        """File name."""
        date = date_text(self.span.start)
        return f"{self.symbol}-{self.interval.slug}-{date[:7] if self.monthly else date}.zip"

    @property
    def path(self) -> str:
        """Path, without a leading slash."""
        period = "monthly" if self.monthly else "daily"
        return f"data/{self.venue.archive_path}/{period}/klines/{self.symbol}/{self.interval.slug}/{self.name}"

    @property
    def published(self) -> Micros:
        """
        Publication time.

        A day is published 24 hours after its end; a month on the first Monday after its end, or when its last candle
        has closed.
        """
        if not self.monthly:
            return self.span.end + _DAILY_DELAY
        return max(Interval.WEEK_1.ceil(self.span.end), self.interval.ceil(self.span.end))


class Archive:
    """Files of each venue's market, created on demand and cached within a limit."""

    def __init__(self, market: Callable[[str], Market], clock: Clock, faults: Faults) -> None:
        self._market = market
        self._clock = clock
        self._faults = faults
        self._cached: OrderedDict[str, bytes] = OrderedDict()
        self._cached_bytes = 0

    def forget(self) -> None:
        """Discard all files, since the market has changed."""
        self._cached.clear()
        self._cached_bytes = 0

    def answer(self, path: str, query: Mapping[str, str]) -> Reply:
        """Return the archive's response to ``GET path?query``; ``path`` has no leading slash."""
        if not path:
            return self._listing(query)
        found = ArchiveFile.at(path)
        if found is None:
            return _no_such_key(path)
        file, checksum = found
        content = self.content(file)
        if content is None:
            return _no_such_key(path)
        if checksum:
            return Reply(200, f"{sha256(content).hexdigest()}  {file.name}\n".encode(), {"Content-Type": "text/plain"})
        return Reply(200, content, {"Content-Type": "application/zip"})

    def content(self, file: ArchiveFile) -> bytes | None:
        """Return the bytes of a zip file, including its faults; ``None`` if it does not exist now."""
        if not self._exists(file):
            return None
        faults = self._faults.of_file(file.path)
        if any(fault.kind is FaultKind.MISSING_DAY for fault in faults):
            return None
        if not faults:
            return self._cache(file)
        if any(fault.kind is FaultKind.CORRUPT_ZIP for fault in faults):
            return b"PK\x03\x04 this is no zip file " + file.name.encode()
        lines = self._lines(file)
        for fault in faults:
            lines = self._faults.damage(lines, fault, file.path)
        return self._zipped(file, lines)

    def _exists(self, file: ArchiveFile) -> bool:
        return self._clock() >= file.published and self._market(file.venue.id).has(
            file.venue.market_type, file.symbol, file.interval, file.span
        )

    def _cache(self, file: ArchiveFile) -> bytes:
        content = self._cached.pop(file.path, None)
        if content is None:
            content = self._zipped(file, self._lines(file))
            self._cached_bytes += len(content)
        self._cached[file.path] = content
        while self._cached_bytes > _CACHED_BYTES and len(self._cached) > 1:
            self._cached_bytes -= len(self._cached.popitem(last=False)[1])
        return content

    def _lines(self, file: ArchiveFile) -> list[bytes]:
        return self._market(file.venue.id).lines(file.venue.market_type, file.symbol, file.interval, file.span)

    def _zipped(self, file: ArchiveFile, lines: list[bytes]) -> bytes:
        header = self._market(file.venue.id).header(file.venue.market_type, file.symbol, file.interval, file.span.start)
        text = b"".join(line + b"\n" for line in ([header] if header else []) + lines)
        member = zipfile.ZipInfo(file.name.removesuffix("zip") + "csv", (1980, 1, 1, 0, 0, 0))
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w") as archive:
            archive.writestr(member, text, zipfile.ZIP_DEFLATED, compresslevel=1)
        return written.getvalue()

    def _listing(self, query: Mapping[str, str]) -> Reply:
        """Return one page of S3's listing for ``prefix``, grouped at ``delimiter``, after ``marker``."""
        prefix, marker = query.get("prefix", ""), query.get("marker", "")
        names = self._names(prefix) if query.get("delimiter") == "/" else self._all_names(prefix)
        found = sorted({name for name in names if name.startswith(prefix) and name > marker})
        page, cut = found[:_KEYS_PER_PAGE], len(found) > _KEYS_PER_PAGE
        entries = [
            f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"
            if name.endswith("/")
            else f"<Contents><Key>{escape(name)}</Key><StorageClass>STANDARD</StorageClass></Contents>"
            for name in page
        ]
        text = (
            '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>data.binance.vision</Name><Prefix>{escape(prefix)}</Prefix><Marker>{escape(marker)}</Marker>"
            + (f"<NextMarker>{escape(page[-1])}</NextMarker>" if cut else "")
            + f"<MaxKeys>{_KEYS_PER_PAGE}</MaxKeys><IsTruncated>{str(cut).lower()}</IsTruncated>{''.join(entries)}</ListBucketResult>"
        )
        return Reply(200, text.encode(), {"Content-Type": "application/xml"})

    def _all_names(self, prefix: str) -> Iterator[str]:
        for name in self._names(prefix):
            if not name.endswith("/"):
                yield name
            elif name.startswith(prefix):
                yield from self._all_names(name)

    def _names(self, prefix: str) -> Iterator[str]:
        """Yield the entries of the folder of ``prefix``; folders end in a slash."""
        folder = prefix[: prefix.rfind("/") + 1]
        for venue in VENUES.values():
            for monthly in (False, True):
                root = f"data/{venue.archive_path}/{'monthly' if monthly else 'daily'}/klines/"
                if root.startswith(folder) and root != folder:
                    yield folder + root[len(folder) :].split("/", maxsplit=1)[0] + "/"
                elif folder.startswith(root):
                    yield from self._names_below(venue, root, folder, monthly=monthly)

    def _names_below(self, venue: Venue, root: str, folder: str, *, monthly: bool) -> Iterator[str]:
        parts = folder[len(root) :].split("/")[:-1]
        if not parts:
            yield from (f"{folder}{symbol}/" for symbol in self._market(venue.id).symbols(venue.market_type))
        elif len(parts) == 1 and self._market(venue.id).knows(venue.market_type, parts[0]):
            for slug, interval in _INTERVALS.items():
                if venue.interval(interval.value) and (monthly or interval.longest <= DAY):
                    yield f"{folder}{slug}/"
        elif len(parts) == 2 and parts[1] in _INTERVALS:
            for file in self._files(venue, parts[0], _INTERVALS[parts[1]], monthly=monthly):
                yield from (file.path, file.path + ".CHECKSUM")

    def _files(self, venue: Venue, symbol: str, interval: Interval, *, monthly: bool) -> Iterator[ArchiveFile]:
        first = self._market(venue.id).first(venue.market_type, symbol, interval)
        start = None if first is None else month_of(first) if monthly else first - first % DAY
        while start is not None and start < self._clock():
            file = ArchiveFile.starting(venue, symbol, interval, start, monthly=monthly)
            if self._exists(file) and not self._faults.hide(file.path):
                yield file
            start = file.span.end


def _no_such_key(path: str) -> Reply:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message><Key>{escape(path)}</Key></Error>'
    return Reply(404, text.encode(), {"Content-Type": "application/xml"})
