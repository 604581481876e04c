"""What can be read."""

from __future__ import annotations

import csv
import json

import pytest
from mcp.client import Client
from mcp.shared.exceptions import MCPError

from chandlery.service.mcp.budget import TOKEN_BUDGET, tokens_of

RANGE = "chandlery://candles/binance/BTC%2FUSDT/1m/2026-09-01/2026-09-02"


@pytest.fixture
async def url(start):
    """Where a service is that is open to all."""
    return f"{(await start(no_auth=True)).url}/mcp"


async def read(url, uri):
    """What the official client reads there."""
    async with Client(url) as client:
        return (await client.read_resource(uri)).contents[0]


async def test_all_pages_of_a_range_are_the_range(url):
    """Each candle once, each page within the budget, with its sources and gaps and the address of the next."""
    rows, uri = [], RANGE
    while uri is not None:
        content = await read(url, uri)
        assert "text/csv" == content.mime_type
        assert tokens_of(content.model_dump_json(by_alias=True)) <= TOKEN_BUDGET
        lines = content.text.splitlines()
        notes = [line for line in lines if line.startswith("#")]
        found = [*csv.DictReader(line for line in lines if not line.startswith("#"))]
        assert notes[0].endswith(f": {len(found)} rows")
        assert any(note.startswith("# source ") and note.endswith(f", {len(found)} rows") for note in notes)
        assert "# no gaps" in notes
        rows += found
        following = [note for note in notes if note.startswith("# next page: ")]
        uri = following[0].removeprefix("# next page: ") if following else None

    assert "# no page after this one" == notes[-1]
    assert [f"2026-09-01T{at // 60:02}:{at % 60:02}:00Z" for at in range(1440)] == [row["open_time"] for row in rows]
    assert all(float(row["low"]) <= float(row["close"]) <= float(row["high"]) for row in rows)


async def test_a_symbol_is_understood_however_it_is_written(url):
    """Percent-encoded, as it is, or with a dash."""
    texts = {
        (await read(url, RANGE.replace("BTC%2FUSDT", symbol))).text for symbol in ("BTC%2FUSDT", "BTC/USDT", "BTC-USDT")
    }

    assert 1 == len({text.replace("cache (vision)", "vision") for text in texts})


async def test_the_capability_matrix(url):
    """Its first page, the rows from a cursor to the end, and one row."""
    first = json.loads((await read(url, "chandlery://exchanges")).text)
    third = first["exchanges"][2]
    rest = json.loads((await read(url, f"chandlery://exchanges?cursor={third['id']}")).text)
    row = json.loads((await read(url, f"chandlery://exchanges/{third['id']}")).text)

    assert (first["total"], None) == (len(first["exchanges"]), first["next"]), "all fit on one page"
    assert first["exchanges"][3:] == rest["exchanges"]
    assert row == third | {"unverified": row["unverified"]}


async def test_the_instruments_of_an_exchange(url):
    """Each once, in pages within the budget, with the time of the list."""
    rows, uri, pages = [], "chandlery://instruments/binance_spot", 0
    while uri is not None:
        content = await read(url, uri)
        assert tokens_of(content.model_dump_json(by_alias=True)) <= TOKEN_BUDGET
        page = json.loads(content.text)
        rows += [dict(zip(page["columns"], row, strict=True)) for row in page["rows"]]
        uri, pages = page["next"], pages + 1

    assert page["total"] == len(rows) == len({each["exchange_symbol"] for each in rows})
    assert ("offline-7", 20) == (page["origin"], len(page["listed_at"][:20]))
    assert {"symbol": "BTC/USDT", "kind": "spot", "status": "listed"}.items() <= next(each for each in rows if each["exchange_symbol"] == "BTCUSDT").items()  # fmt: skip


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("chandlery://exchanges/nowhere", "nowhere"),
        ("chandlery://nothing", "unknown resource"),
        ("file:///etc/passwd", "unknown resource"),
        ("chandlery://exchanges/../../etc", "unknown resource"),
        ("chandlery://[", "is not a URI"),
        (RANGE.replace("2026-09-02", "soon"), "is not a time"),
        (RANGE.replace("1m", "7m"), "is not an interval"),
        (f"{RANGE}?cursor=abc", "does not belong to this range"),
    ],
)
async def test_addresses_of_nothing(url, uri, says):
    """Say what there is."""
    async with Client(url) as client:
        with pytest.raises(MCPError, match=says) as caught:
            await client.read_resource(uri)

    assert -32602 == caught.value.error.code
