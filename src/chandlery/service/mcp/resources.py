"""MCP resources: candles of any range, and the capabilities of each exchange."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import mcp_types as types
import msgspec
from msgspec import Struct

from chandlery.adapter.capabilities import all_capabilities, capabilities
from chandlery.core.errors import UnknownName
from chandlery.core.time import iso
from chandlery.service.historical.pages import moment_of_cursor
from chandlery.service.instruments import MOST, Found, InstrumentSearch
from chandlery.service.label import labelled
from chandlery.service.mcp.budget import ENVELOPE_TOKENS, TOKEN_BUDGET, after, longest, tokens_of
from chandlery.service.mcp.ranges import SCHEME, Asked, CandleRanges, Page, PageRow, told
from chandlery.service.mcp.schemas import INSTRUMENT_COLUMNS

MATRIX = f"{SCHEME}://exchanges"
_INSTRUMENTS = f"{SCHEME}://instruments/{{exchange}}{{?cursor}}"
_CANDLES = f"{SCHEME}://candles/{{exchange}}/{{symbol}}/{{interval}}/{{start}}/{{end}}{{?cursor}}"
_JSON, _CSV = "application/json", "text/csv"
_COLUMNS = ("open_time", "open", "high", "low", "close", "volume")
_SHORTEST_ROW = 30
"""Minimum size of a row in bytes."""
_MOST_ROWS = TOKEN_BUDGET * 4 // _SHORTEST_ROW


class Text(Struct, frozen=True):
    """Content of a resource."""

    text: str
    media_type: str


class Library:
    """Resources by URI."""

    def __init__(self, ranges: CandleRanges, instruments: InstrumentSearch) -> None:
        self._ranges = ranges
        self._instruments = instruments

    def listed(self) -> list[types.Resource]:
        """Return the resources with a fixed URI."""
        return [
            types.Resource(
                uri=MATRIX,
                name="exchanges",
                title="Capability matrix",
                description="The capabilities of each exchange, in pages; unverified assumptions are in its own resource.",
                mime_type=_JSON,
            )
        ]

    def templates(self) -> list[types.ResourceTemplate]:
        """Return the URI templates of the other resources."""
        return [
            types.ResourceTemplate(
                uri_template=_CANDLES,
                name="candles",
                title="Candles of a range",
                description="Closed candles as CSV, in pages; comments list the sources, the gaps and the next page. "
                "The symbol is percent-encoded: BTC%2FUSDT.",
                mime_type=_CSV,
            ),
            types.ResourceTemplate(
                uri_template=_INSTRUMENTS,
                name="instruments",
                title="Instruments of an exchange",
                description="All instruments that an exchange, or one of its markets, lists, in pages by market and symbol.",
                mime_type=_JSON,
            ),
            types.ResourceTemplate(
                uri_template=f"{MATRIX}/{{exchange}}",
                name="exchange",
                title="Capabilities of an exchange",
                description="One row of the capability matrix, with its unverified assumptions.",
                mime_type=_JSON,
            ),
        ]

    async def read(self, uri: str) -> Text:
        """
        Return the content of a resource.

        Raises:
            InvalidInput: The resource does not exist.
        """
        try:
            address = urlsplit(uri)
        except ValueError as error:
            raise UnknownName(f"{uri[:200]!r} is not a URI: {error}") from None
        parts = [unquote(part) for part in address.path.split("/") if part]
        cursor = parse_qs(address.query).get("cursor", [None])[0]
        if address.scheme == SCHEME and address.netloc == "exchanges" and len(parts) <= 1:
            return _exchange(parts[0]) if parts else _matrix(cursor)
        if address.scheme == SCHEME and address.netloc == "instruments" and len(parts) == 1:
            found = await self._instruments.find(parts[0], None, None, "", MOST)
            return await asyncio.to_thread(_instruments, parts[0], found, cursor)
        if address.scheme == SCHEME and address.netloc == "candles" and len(parts) >= 5:
            exchange, *symbol, interval, start, end = parts
            return await self._candles(self._ranges.asked(exchange, "/".join(symbol), interval, start, end), cursor)
        raise UnknownName(
            f"unknown resource {uri[:200]!r}; known are {MATRIX}, {MATRIX}/{{exchange}}, {_INSTRUMENTS} and {_CANDLES}"
        )

    async def _candles(self, asked: Asked, cursor: str | None) -> Text:
        at = asked.span.start if cursor is None else moment_of_cursor(cursor, asked.span)
        page = await self._ranges.page(asked, at, _MOST_ROWS)
        return longest(len(page.rows), lambda count: Text(_csv(asked, page.first(count)), _CSV), _cost)


def _cost(content: Text) -> int:
    return tokens_of(json.dumps(content.text)) + ENVELOPE_TOKENS


def _csv(asked: Asked, page: Page[PageRow]) -> str:
    series, out = asked.series, io.StringIO()
    known = told(page.sources, page.gaps)
    notes = [
        f"{series.exchange} {series.symbol} {series.length.value}, {iso(page.at)} to {iso(page.end)}: {len(page.rows)} rows",
        f"the whole range: {iso(asked.span.start)} to {iso(asked.span.end)}, {asked.count} rows if none is missing",
        *([] if asked.source.origin is None else [f"NOT the exchange's own data, but of {asked.source.origin}"]),
        *(f"source {each.source}: {each.start} to {each.end}, {each.rows} rows" for each in known["sources"]),
        *(f"gap {each.start} to {each.end}: {each.kind}, {' '.join(each.evidence.split())}" for each in known["gaps"]),
    ]
    if not known["gaps"]:
        notes.append("no gaps")
    omitted = {name: known[f"omitted_{name}"] for name in ("sources", "gaps")}
    notes += [f"{count} more {name}; request a shorter range to see them" for name, count in omitted.items() if count]
    following = page.next(asked)
    notes.append("no page after this one" if following is None else f"next page: {asked.uri}?cursor={following}")
    out.writelines(f"# {note}\n" for note in notes)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(page.rows)
    return out.getvalue()


def _instruments(exchange: str, found: Found, cursor: str | None) -> Text:
    left = after(found.instruments, _instrument_key, cursor)

    def content(count: int) -> Text:
        last = _instrument_key(left[count - 1]) if 0 < count < len(left) else None
        told: dict[str, Any] = {
            "exchange": exchange,
            **labelled(found.origin),
            "listed_at": found.listed_at,
            "total": found.total,
            "next": None if last is None else f"{SCHEME}://instruments/{exchange}?cursor={quote(last)}",
            "columns": INSTRUMENT_COLUMNS,
            "rows": [[row[name] for name in INSTRUMENT_COLUMNS] for row in left[:count]],
        }
        return Text(msgspec.json.encode(told).decode(), _JSON)

    return longest(min(len(left), _MOST_ROWS), content, _cost)


def _instrument_key(row: dict[str, Any]) -> str:
    return f"{row['exchange']} {row['exchange_symbol']}"


def _matrix(cursor: str | None) -> Text:
    rows = [each.to_dict() for each in all_capabilities()]
    for row in rows:
        del row["unverified"]  # nearly half of all; the resource of the exchange has it
    left = after(rows, lambda row: str(row["id"]), cursor)

    def content(count: int) -> Text:
        following = f"{MATRIX}?cursor={left[count - 1]['id']}" if 0 < count < len(left) else None
        told: dict[str, Any] = {"total": len(rows), "next": following, "exchanges": left[:count]}
        return Text(msgspec.json.encode(told).decode(), _JSON)

    return longest(len(left), content, _cost)


def _exchange(name: str) -> Text:
    return Text(msgspec.json.encode(capabilities(name)).decode(), _JSON)
