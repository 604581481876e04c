"""Funding rates and order books of the past by tools."""

from __future__ import annotations

import pytest

from chandlery.core.errors import InvalidInput
from chandlery.core.time import SECOND, iso
from chandlery.service.mcp.budget import TOKEN_BUDGET, cost_of
from chandlery.service.mcp.past_tools import PastTools
from chandlery.testing.repositories import book_entry as entry
from fixtures.service import offline, served

START = 1_793_491_200_000_000
COIN = {"exchange": "binance", "symbol": "BTC/USDT:USDT"}
DAYS = COIN | {"start": "2026-11-01", "end": "2026-11-03"}


@pytest.fixture
async def service(tmp_path):
    """A service over an offline exchange."""
    async with offline() as sim, served(sim, tmp_path) as (running, _):
        yield running


@pytest.fixture
def ask(service):
    """Calls a tool; its answer is within the budget."""
    tools = {
        tool.name: tool for tool in PastTools(service.connector.resolve, service.historical, service.clock).tools()
    }

    async def progress(*_):
        raise AssertionError("these tools have none")

    async def asked(name, **arguments):
        found = await tools[name].work(tools[name].arguments(arguments), progress)
        assert cost_of(found) <= TOKEN_BUDGET
        return found

    return asked


async def test_funding_rates(ask):
    """All of a range in pages of any size, each with the hour and the exact time, and its sources."""
    whole = await ask("get_funding_rates", **DAYS)
    rows, cursor = [], None
    for _ in range(3):
        page = await ask("get_funding_rates", **DAYS, limit=2, cursor=cursor)
        assert 2 == len(page.rates.rows) == sum(each.rows for each in page.sources)
        rows += page.rates.rows
        cursor = page.next

    assert (None, None) == (whole.next, cursor)
    assert rows == whole.rates.rows
    assert [f"2026-11-0{day}T{hour:02}:00:00Z" for day in (1, 2) for hour in (0, 8, 16)] == [row[0] for row in rows]
    assert all(row[1][:13] == row[0][:13] and row[2] == "8h" and abs(row[3]) < 0.01 for row in rows)
    with pytest.raises(InvalidInput, match="does not belong to this range"):
        await ask("get_funding_rates", **DAYS, cursor="x")


async def test_order_books(service, ask):
    """The best levels of each, in pages, with what was not collected; what does not fit is on the next page."""
    for at in range(7):
        each = entry(START + at * SECOND)
        await service.storage.store_raw_data(COIN["symbol"], each.data, exchange="binance", timestamp=each.timestamp)
    books, cursor, gaps = [], None, []
    while True:
        page = await ask("get_past_order_books", **DAYS, levels=1, limit=3, cursor=cursor)
        books += page.books
        gaps += page.gaps
        cursor = page.next
        if cursor is None:
            break

    assert [iso(START + at * SECOND) for at in range(7)] == [each.timestamp for each in books]
    assert {(1, 1)} == {(len(each.bids), len(each.asks)) for each in books}
    assert ["no order book is stored after 2026-11-01T00:00:06Z"] == [each.evidence for each in gaps]
