"""A market out of recorded files."""

import csv
import io
import zipfile
from collections import defaultdict
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from chandlery.core.errors import InvalidInput
from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.time import DAY, HOUR
from chandlery.sim import RecordedMarket, SimServer

RECORDED = Path(__file__).parents[2].parent / "shared/recorded/binance-vision"
needs_recorded = pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded exchange data is not there")
ARCHIVES = {"spot-1h-ginghong": "spot", "um-1m-owlacar": "futures/um"}


@pytest.fixture
async def recorded(clock):
    """The recorded files, each folder as the market from which it is."""
    market = RecordedMarket(
        folders={
            MarketType.SPOT: RECORDED / "spot-1h-ginghong",
            MarketType.FUTURES_USDT: RECORDED / "um-1m-owlacar",
        }
    )
    async with SimServer(market, clock=clock, tick_s=None) as sim:
        yield sim


async def member(http, sim, path):
    """The text in a zip whose checksum is right."""
    base = sim.endpoints["binance_spot"]["archive"]
    async with http.get(f"{base}/data/{path}.zip") as response:
        assert response.status == 200
        content = await response.read()
    async with http.get(f"{base}/data/{path}.zip.CHECKSUM") as response:
        assert (await response.text()).split()[0] == sha256(content).hexdigest()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(f"{path.rsplit('/')[-1]}.csv")


@needs_recorded
async def test_months_come_back_byte_for_byte(http, recorded):
    """What is in the zip is what was in the file."""
    files = [(folder, path) for folder in ARCHIVES for path in sorted((RECORDED / folder).glob("*.csv"))]
    assert len(files) == 8
    for folder, path in files:
        symbol, interval, *_ = path.stem.split("-")
        served = await member(http, recorded, f"{ARCHIVES[folder]}/monthly/klines/{symbol}/{interval}/{path.stem}")
        assert served == path.read_bytes()


@needs_recorded
async def test_days_are_the_lines_of_the_month(http, recorded):
    """A daily file has that day's lines, under the header line where the month's has one."""
    for folder, name in (("um-1m-owlacar", "FILUSDT-1m-2023-04"), ("spot-1h-ginghong", "BTCUSDT-1h-2025-01")):
        lines = (RECORDED / folder / f"{name}.csv").read_bytes().splitlines(keepends=True)
        header = b"" if lines[0][:1].isdigit() else lines.pop(0)
        symbol, interval, *_ = name.split("-")
        days = defaultdict(bytes)
        for line in lines:
            moment = int(line.split(b",")[0][:13])
            days[datetime.fromtimestamp(moment / 1000, UTC).day] += line
        for day in (1, 17, max(days)):
            path = f"{ARCHIVES[folder]}/daily/klines/{symbol}/{interval}/{name}-{day:02}"
            assert await member(http, recorded, path) == header + days[day]


@needs_recorded
async def test_rest_serves_the_same_rows(http, recorded):
    """Across the change to microseconds, with times in milliseconds."""
    start = to_micros(datetime(2024, 12, 31, 20, tzinfo=UTC)) // 1000
    url = f"{recorded.endpoints['binance_spot']['rest']}/api/v3/klines?symbol=BTCUSDT&interval=1h&startTime={start}&limit=8"
    async with http.get(url) as response:
        rows = await response.json()
    with (RECORDED / "spot-1h-ginghong/BTCUSDT-1h-2024-12.csv").open() as file:
        expected = list(csv.reader(file))[-4:]
    with (RECORDED / "spot-1h-ginghong/BTCUSDT-1h-2025-01.csv").open() as file:
        expected += list(csv.reader(file))[:4]

    assert [[str(field) for field in row[:-1]] for row in rows] == [
        [field[:13] if place in {0, 6} else field for place, field in enumerate(row[:-1])] for row in expected
    ]


@needs_recorded
def test_numbers_are_those_of_the_file():
    """Columns in microseconds, of a span that is half-open."""
    market = RecordedMarket(RECORDED / "spot-1h-ginghong")
    start = to_micros(datetime(2024, 12, 31, 23, tzinfo=UTC))
    known = market.candles(MarketType.SPOT, "BTCUSDT", Interval.HOUR_1, Span(start, start + 2 * HOUR))

    assert known["open_time"].tolist() == [start, start + HOUR]
    assert known["close_time"].tolist() == [start + HOUR - 1000, start + 2 * HOUR - 1]
    assert known["close"].tolist() == [93576.0, 94401.14]
    assert known["count"].tolist() == [68135, 93525]


def test_which_files_belong_to_which_market(tmp_path):
    """Files in the archive's tree belong to their market, others to all; a month outranks its days."""
    row = "1704067200000,1.0,2.0,0.5,1.5,10,1704067259999,15,3,4,6,0\n"
    later = row.replace("1704067200000", "1704153600000")
    for name, text in {
        "data/spot/daily/klines/AUSDT/1m/AUSDT-1m-2024-01-01.csv": row,
        "data/futures/um/daily/klines/AUSDT/1m/AUSDT-1m-2024-01-02.csv": "open_time,rest\n" + later,
        "BUSDT-1m-2024-01.csv": row,
        "BUSDT-1m-2024-01-02.csv": later,
        "README.csv": "not a candle",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    market = RecordedMarket(tmp_path)
    opened, spot, linear = 1_704_067_200_000_000, MarketType.SPOT, MarketType.FUTURES_USDT
    days = Span(opened, opened + 2 * DAY)

    assert market.symbols(spot) == market.symbols(linear) == ["AUSDT", "BUSDT"]
    assert market.symbols(MarketType.FUTURES_COIN) == ["BUSDT"]
    assert market.lines(spot, "AUSDT", Interval.MINUTE_1, days) == [row.strip().encode()]
    assert market.lines(linear, "AUSDT", Interval.MINUTE_1, days) == [later.strip().encode()]
    assert market.lines(spot, "BUSDT", Interval.MINUTE_1, days) == [row.strip().encode()]
    assert market.header(linear, "AUSDT", Interval.MINUTE_1, opened) == b"open_time,rest"
    assert market.header(spot, "AUSDT", Interval.MINUTE_1, opened) is None
    assert market.header(spot, "AUSDT", Interval.MINUTE_1, opened + DAY) is None
    assert market.first(linear, "AUSDT", Interval.MINUTE_1) == opened + DAY
    assert market.first(spot, "CUSDT", Interval.MINUTE_1) is None
    assert not market.has(spot, "AUSDT", Interval.MINUTE_1, Span(opened + 1, days.end))
    assert len(market.funding(linear, "AUSDT", days)["open_time"]) == 0


def test_folders_without_candles_are_refused(tmp_path):
    """An empty folder, and a file that holds something else, are errors that name them."""
    with pytest.raises(InvalidInput, match="no file like"):
        RecordedMarket(tmp_path)
    (tmp_path / "BUSDT-1m-2024-01.csv").write_text("1704067200000,1\noh,no\n")
    with pytest.raises(InvalidInput, match="line 2"):
        RecordedMarket(tmp_path)
