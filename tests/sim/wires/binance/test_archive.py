"""The archive, read with the standard library."""

import csv
import io
import zipfile
from hashlib import sha256
from xml.etree import ElementTree as ET

import pytest

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import DAY
from chandlery.sim import SimServer, SyntheticMarket
from fixtures.support import moment

S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"


async def get(http, url):
    async with http.get(url) as response:
        return response.status, await response.read()


async def read(http, sim, path):
    """The one member of a zip whose checksum is right: its name, and its rows."""
    base = sim.endpoints["binance_spot"]["archive"]
    status, content = await get(http, f"{base}/data/{path}")
    assert status == 200
    _, said = await get(http, f"{base}/data/{path}.CHECKSUM")
    assert said.decode() == f"{sha256(content).hexdigest()}  {path.rsplit('/')[-1]}\n"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (name,) = archive.namelist()
        return name, list(csv.reader(io.StringIO(archive.read(name).decode())))


@pytest.mark.parametrize(
    ("path", "market_type", "symbol", "interval", "start", "end"),
    [
        ("spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-12-31.zip", "spot", "BTCUSDT", "1m", "2024-12-31", "2025-01-01"),
        ("spot/daily/klines/BTCUSDT/1s/BTCUSDT-1s-2025-01-01.zip", "spot", "BTCUSDT", "1s", "2025-01-01", "2025-01-02"),
        ("spot/daily/klines/DOGEUSDT/1d/DOGEUSDT-1d-2025-01-01.zip", "spot", "DOGEUSDT", "1d", "2025-01-01", "2025-01-02"),
        ("spot/monthly/klines/BTCUSDT/1mo/BTCUSDT-1mo-2025-01.zip", "spot", "BTCUSDT", "1M", "2025-01-01", "2025-02-01"),
        ("futures/um/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2022-04.zip", "futures_usdt", "BTCUSDT", "1h", "2022-04-01", "2022-05-01"),
        ("futures/um/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2022-05.zip", "futures_usdt", "BTCUSDT", "1h", "2022-05-01", "2022-06-01"),
        ("futures/cm/daily/klines/BTCUSD_PERP/5m/BTCUSD_PERP-5m-2025-01-01.zip", "futures_coin", "BTCUSD_PERP", "5m", "2025-01-01", "2025-01-02"),
    ],
)  # fmt: skip
async def test_files_hold_the_market(http, sim, market, path, market_type, symbol, interval, start, end):
    """Name, checksum, header line and rows of each kind of file are as in the archive."""
    name, rows = await read(http, sim, path)
    header = rows.pop(0) if rows[0][0] == "open_time" else None
    columns = market.candles(MarketType(market_type), symbol, Interval(interval), Span(moment(start), moment(end)))
    unit = 1 if market_type == "spot" and start >= "2025" else 1000

    assert name == path.rsplit("/", maxsplit=1)[-1].replace(".zip", ".csv")
    assert (header is not None) == (market_type != "spot" and start >= "2022-05")
    for place, (column, values) in enumerate(columns.items()):
        scale = unit if column.endswith("_time") else 1
        assert [float(row[place]) * scale for row in rows] == values.tolist()
    assert {(len(row), row[11]) for row in rows} == {(12, "0")}


@pytest.mark.parametrize(
    ("path", "since"),
    [
        ("spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2025-03-10.zip", "2025-03-12T00:00"),
        ("spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2025-02.zip", "2025-03-03T00:00"),
        ("spot/monthly/klines/BTCUSDT/3d/BTCUSDT-3d-2025-02.zip", "2025-03-03T00:00"),
    ],
)
async def test_files_appear_when_they_should(http, sim, clock, path, since):
    """A day appears 24 hours after its end, a month on the Monday after it; until then both files are 404."""
    base = sim.endpoints["binance_spot"]["archive"]
    for ending in ("", ".CHECKSUM"):
        clock.now = moment(since) - 1
        assert (await get(http, f"{base}/data/{path}{ending}"))[0] == 404
        clock.now = moment(since)
        assert (await get(http, f"{base}/data/{path}{ending}"))[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "spot/daily/klines/BTCUSDT/1w/BTCUSDT-1w-2024-01-01.zip",
        "spot/daily/klines/BTCUSDT/1m/ETHUSDT-1m-2024-01-01.zip",
        "spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01.zip",
        "spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-02-31.zip",
        "spot/monthly/klines/BTCUSDT/1M/BTCUSDT-1M-2024-01.zip",
        "spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2017-08-16.zip",
        "futures/um/daily/klines/BTCUSDT/1s/BTCUSDT-1s-2024-01-01.zip",
        "nothing",
    ],
)
async def test_what_is_not_there_is_404(http, sim, path):
    """No such file, in S3's words."""
    status, body = await get(http, f"{sim.endpoints['binance_spot']['archive']}/data/{path}")

    assert status == 404
    assert ET.fromstring(body).findtext("Code") == "NoSuchKey"


async def test_a_day_without_candles_has_no_file(http, clock):
    """A day that was halted from end to end is 404 and is not listed."""
    halted = SyntheticMarket(listed=moment("2024-01-01"), halts=[Span(moment("2024-01-03"), moment("2024-01-04"))])
    clock.now = moment("2024-01-06")
    async with SimServer(halted, clock=clock, tick_s=None) as sim:
        keys, _ = await listing(http, sim, "data/spot/daily/klines/BTCUSDT/1m/")

    assert [key[-14:-4] for key in keys if key.endswith(".zip")] == ["2024-01-01", "2024-01-02", "2024-01-04"]


async def listing(http, sim, prefix, delimiter="/"):
    """All keys and folders, page after page."""
    keys, folders, marker = [], [], ""
    while True:
        query = f"?prefix={prefix}&delimiter={delimiter}&marker={marker}"
        _, body = await get(http, f"{sim.endpoints['binance_spot']['archive']}/{query}")
        page = ET.fromstring(body)
        keys += [each.findtext(f"{S3}Key") for each in page.findall(f"{S3}Contents")]
        folders += [each.findtext(f"{S3}Prefix") for each in page.findall(f"{S3}CommonPrefixes")]
        if page.findtext(f"{S3}IsTruncated") == "false":
            return keys, folders
        marker = page.findtext(f"{S3}NextMarker")


async def test_the_listing_pages_through_everything(http, sim, clock):
    """Folder by folder; the days of seven years come in pages of a thousand, each with its checksum, all to be had."""
    assert (await listing(http, sim, "data/"))[1] == ["data/futures/", "data/spot/"]
    assert (await listing(http, sim, "data/futures/"))[1] == ["data/futures/cm/", "data/futures/um/"]
    assert "data/spot/daily/klines/BTCUSDT/" in (await listing(http, sim, "data/spot/daily/klines/"))[1]
    assert "data/spot/monthly/klines/BTCUSDT/1mo/" in (await listing(http, sim, "data/spot/monthly/klines/BTCUSDT/"))[1]

    keys, _ = await listing(http, sim, "data/spot/daily/klines/BTCUSDT/1d/")
    days = (moment("2025-03-11") - moment("2017-08-17")) // DAY
    assert len(keys) == len(set(keys)) == 2 * days
    assert keys == sorted(keys)
    last = [key for key in keys if key.endswith(".zip")][-1]
    assert last.endswith("BTCUSDT-1d-2025-03-10.zip")
    assert (await get(http, f"{sim.endpoints['binance_spot']['archive']}/{last}"))[0] == 200

    keys, _ = await listing(http, sim, "data/spot/monthly/klines/BTCUSDT/1mo/BTCUSDT-1mo-2024", delimiter="")
    assert len(keys) == 24


async def test_files_are_the_same_bytes_each_time(http, clock):
    """Two servers of the same seed give the same file."""
    path = "data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2025-01-01.zip"
    contents = []
    for _ in range(2):
        async with SimServer(SyntheticMarket(), clock=clock, tick_s=None) as sim:
            contents += [(await get(http, f"{sim.endpoints['binance_spot']['archive']}/{path}"))[1] for _ in range(2)]

    assert len(set(contents)) == 1
