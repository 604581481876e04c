"""The REST interfaces, by their documented rules."""

import pytest

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, HOUR, MINUTE
from chandlery.sim import SimServer, SyntheticMarket
from fixtures.support import moment

SPOT, LINEAR, INVERSE = "binance_spot", "binance_perpetual", "binance_inverse"
PREFIX = {SPOT: "/api/v3", LINEAR: "/fapi/v1", INVERSE: "/dapi/v1"}
SYMBOL = {SPOT: "BTCUSDT", LINEAR: "BTCUSDT", INVERSE: "BTCUSD_PERP"}
MARKET = {SPOT: MarketType.SPOT, LINEAR: MarketType.FUTURES_USDT, INVERSE: MarketType.FUTURES_COIN}


async def ask(http, sim, exchange, path, **params):
    async with http.get(f"{sim.endpoints[exchange]['rest']}{PREFIX[exchange]}{path}", params=params) as response:
        return response.status, await response.json(), response.headers


async def opens(http, sim, exchange, interval="1m", **params):
    """The open times of a page, in microseconds."""
    status, rows, _ = await ask(http, sim, exchange, "/klines", symbol=SYMBOL[exchange], interval=interval, **params)
    assert status == 200, rows
    return [row[0] * 1000 for row in rows]


@pytest.mark.parametrize("exchange", [SPOT, LINEAR, INVERSE])
async def test_rows_are_the_market(http, sim, market, exchange):
    """Twelve columns, decimals as strings, times in milliseconds, the numbers those of the market."""
    start = moment("2025-01-01")
    _, rows, _ = await ask(
        http, sim, exchange, "/klines", symbol=SYMBOL[exchange], interval="1h", startTime=start // 1000, endTime=start // 1000 + 3 * 3_600_000 - 1
    )  # fmt: skip
    known = market.candles(MARKET[exchange], SYMBOL[exchange], Interval.HOUR_1, Span(start, start + 3 * HOUR))

    assert [row[0] * 1000 for row in rows] == known["open_time"].tolist()
    assert [row[6] for row in rows] == [row[0] + 3_599_999 for row in rows]
    assert {tuple(map(type, row)) for row in rows} == {(int, *[str] * 5, int, str, int, *[str] * 3)}
    for place, name in ((1, "open"), (2, "high"), (3, "low"), (4, "close"), (5, "volume"), (7, "quote_asset_volume"),
                        (8, "count"), (9, "taker_buy_volume"), (10, "taker_buy_quote_volume")):  # fmt: skip
        assert [float(row[place]) for row in rows] == known[name].tolist()


@pytest.mark.parametrize("exchange", [SPOT, LINEAR, INVERSE])
async def test_both_bounds_are_inclusive_open_times(http, sim, exchange):
    """A start within a candle begins with the next, an end within one ends with it."""
    start, end = moment("2025-03-12T09:00") // 1000, moment("2025-03-12T09:05") // 1000
    whole = [moment("2025-03-12T09:00") + n * MINUTE for n in range(6)]

    assert await opens(http, sim, exchange, startTime=start, endTime=end) == whole
    assert await opens(http, sim, exchange, startTime=start + 1, endTime=end) == whole[1:]
    assert await opens(http, sim, exchange, startTime=start, endTime=end - 1) == whole[:-1]
    assert await opens(http, sim, exchange, startTime=start - 1, endTime=end + 1) == whole


async def test_which_rows_a_limit_keeps(http, sim):
    """The oldest from a start, else the newest; COIN-M always the newest."""
    start, end = moment("2025-03-12T09:00"), moment("2025-03-12T09:59")
    bounds = {"startTime": start // 1000, "endTime": end // 1000, "limit": 2}
    newest = [moment("2025-03-12T10:19"), moment("2025-03-12T10:20")]

    for exchange in (SPOT, LINEAR):
        assert await opens(http, sim, exchange, **bounds) == [start, start + MINUTE]
        assert await opens(http, sim, exchange, startTime=start // 1000, limit=2) == [start, start + MINUTE]
    assert await opens(http, sim, INVERSE, **bounds) == [end - MINUTE, end]
    assert await opens(http, sim, INVERSE, startTime=start // 1000, limit=2) == newest
    for exchange in (SPOT, LINEAR, INVERSE):
        assert await opens(http, sim, exchange, limit=2) == newest
        assert await opens(http, sim, exchange, endTime=end // 1000, limit=2) == [end - MINUTE, end]


async def test_limits_of_a_page(http, sim):
    """500 where nothing is said; at most 1000 from spot, which cuts, and 1500 from the futures, which refuse."""
    for exchange, most in ((SPOT, 1000), (LINEAR, 1500), (INVERSE, 1500)):
        assert len(await opens(http, sim, exchange)) == 500
        assert len(await opens(http, sim, exchange, limit=most)) == most
    assert len(await opens(http, sim, SPOT, limit=1001)) == 1000
    status, said, _ = await ask(http, sim, LINEAR, "/klines", symbol="BTCUSDT", interval="1m", limit=1501)
    assert (status, said["code"]) == (400, -1130)


@pytest.mark.parametrize("exchange", [SPOT, LINEAR, INVERSE])
@pytest.mark.parametrize("interval", ["1m", "1h", "1w", "1M"])
async def test_the_running_candle_is_the_last(http, sim, market, clock, exchange, interval):
    """It holds what has happened so far, and is another as time goes by."""
    first = await ask(http, sim, exchange, "/klines", symbol=SYMBOL[exchange], interval=interval, limit=2)
    clock.now += 5_000_000
    later = await ask(http, sim, exchange, "/klines", symbol=SYMBOL[exchange], interval=interval, limit=2)
    running = Interval(interval).floor(clock.now)

    assert first[1][0] == later[1][0]
    assert first[1][1][0] * 1000 == later[1][1][0] * 1000 == running
    assert first[1][1] != later[1][1]
    assert int(first[1][1][8]) <= int(later[1][1][8])
    assert later[1][1][6] * 1000 >= clock.now


async def test_the_oldest_candle(http, sim):
    """From time zero on, the first candle there is; nothing beyond now."""
    assert await opens(http, sim, SPOT, "1d", startTime=0, limit=1) == [moment("2017-08-17")]
    assert await opens(http, sim, LINEAR, "1M", startTime=0, limit=1) == [moment("2019-09-01")]
    assert await opens(http, sim, SPOT, startTime=moment("2025-03-13") // 1000) == []


async def test_a_page_leaps_over_a_halt(http, clock):
    """A page is full although minutes are missing in between."""
    halt = Span(moment("2025-03-12T09:02"), moment("2025-03-12T10:00"))
    async with SimServer(SyntheticMarket(halts=[halt]), clock=clock, tick_s=None) as sim:
        page = await opens(http, sim, SPOT, startTime=moment("2025-03-12T09:00") // 1000, limit=4)
        last = await opens(http, sim, SPOT, endTime=moment("2025-03-12T10:00") // 1000, limit=3)

    expected = [moment(f"2025-03-12T{each}") for each in ("09:00", "09:01", "10:00", "10:01")]
    assert page == expected
    assert last == expected[:3]


async def test_coin_m_spans_two_hundred_days(http, sim):
    """More is refused; where only one bound is given, the other lies 200 days away."""
    start = moment("2024-01-01")
    status, said, _ = await ask(
        http, sim, INVERSE, "/klines", symbol="BTCUSD_PERP", interval="1d", startTime=start // 1000, endTime=(start + 201 * DAY) // 1000
    )  # fmt: skip
    assert (status, said["code"]) == (400, -4088)
    page = await opens(http, sim, INVERSE, "1d", startTime=start // 1000)
    assert (page[0], page[-1]) == (start, start + 200 * DAY)


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"symbol": "BTC-USDT", "interval": "1m"}, -1121),
        ({"symbol": "BTCUSDT", "interval": "7m"}, -1120),
        ({"interval": "1m"}, -1102),
        ({"symbol": "BTCUSDT"}, -1102),
        ({"symbol": "BTCUSDT", "interval": "1m", "limit": "many"}, -1100),
        ({"symbol": "BTCUSDT", "interval": "1m", "startTime": "-5"}, -1100),
        ({"symbol": "BTCUSDT", "interval": "1m", "limit": "0"}, -1130),
    ],
)
async def test_refusals(http, sim, params, code):
    """400 with the exchange's own code and words."""
    status, said, _ = await ask(http, sim, SPOT, "/klines", **params)

    assert (status, said["code"]) == (400, code)
    assert said["msg"]


async def test_futures_have_no_seconds(http, sim):
    """Seconds belong to spot alone; there a start may be in microseconds."""
    start = moment("2025-03-12T09:00")
    status, said, _ = await ask(http, sim, LINEAR, "/klines", symbol="BTCUSDT", interval="1s")
    assert (status, said["code"]) == (400, -1120)
    assert await opens(http, sim, SPOT, "1s", startTime=start, limit=1) == [start]


async def test_unknown_paths_are_404(http, sim):
    """Also funding rates of spot, and one market's path below another's base."""
    assert (await ask(http, sim, SPOT, "/fundingRate", symbol="BTCUSDT"))[0] == 404
    async with http.get(f"{sim.endpoints[SPOT]['rest']}/fapi/v1/time") as response:
        assert response.status == 404


@pytest.mark.parametrize("exchange", [LINEAR, INVERSE])
async def test_funding_rates(http, sim, market, exchange):
    """Both bounds inclusive, oldest first, the oldest of the span where it holds more than the limit."""
    known = market.funding(MARKET[exchange], SYMBOL[exchange], Span(moment("2025-01-01"), moment("2025-01-11")))
    moments = known["open_time"].tolist()
    first, last = moments[0] // 1000, moments[5] // 1000

    async def page(**params):
        return (await ask(http, sim, exchange, "/fundingRate", symbol=SYMBOL[exchange], **params))[1]

    rows = await page(startTime=first, endTime=last)
    assert [row["fundingTime"] * 1000 for row in rows] == moments[:6]
    assert [float(row["fundingRate"]) for row in rows] == known["funding_rate"].tolist()[:6]
    assert all(float(row["markPrice"]) > 0 for row in rows)
    assert await page(startTime=first, endTime=last, limit=2) == rows[:2]
    assert len(await page()) == 100
    assert (await page())[-1]["fundingTime"] * 1000 <= moment("2025-03-12T10:21")


async def test_weights_and_what_follows_when_they_are_used_up(http, market, clock):
    """The header counts; beyond the limit 429 until the window's end, after more of it 418."""
    passed = [10.0]
    async with SimServer(market, clock=clock, tick_s=None, weight_limit=10, ticks=lambda: passed[0]) as sim:
        answers = [
            await ask(http, sim, LINEAR, "/klines", symbol="BTCUSDT", interval="1m", limit=1000) for _ in range(3)
        ]
        assert [(status, headers["X-MBX-USED-WEIGHT-1M"]) for status, _, headers in answers] == [
            (200, "5"),
            (200, "10"),
            (429, "15"),
        ]
        assert answers[2][1]["code"] == -1003
        assert 50 <= int(answers[2][2]["Retry-After"]) <= 51
        assert (await ask(http, sim, SPOT, "/time"))[0] == 200

        passed[0] = 61.0
        assert (await ask(http, sim, LINEAR, "/time"))[0] == 200
        statuses = [(await ask(http, sim, LINEAR, "/time"))[0] for _ in range(20)]
        assert statuses == [200] * 9 + [429] * 10 + [418]
        passed[0] = 121.0
        status, _, headers = await ask(http, sim, LINEAR, "/time")
        assert (status, headers["Retry-After"]) == (418, "61")
        passed[0] = 182.0
        assert (await ask(http, sim, LINEAR, "/time"))[0] == 200


async def test_the_clock(http, sim, clock):
    """``/time`` and the Date header tell the offline exchange's time."""
    _, said, headers = await ask(http, sim, SPOT, "/time")

    assert said["serverTime"] * 1000 == clock.now
    assert headers["Date"] == "Wed, 12 Mar 2025 10:20:30 GMT"
    assert (await ask(http, sim, SPOT, "/ping"))[1] == {}
