"""What goes wrong on demand."""

import io
import random
import zipfile
from hashlib import sha256

import pytest

from chandlery.sim import Fault, FaultKind, SimServer

FILE = "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-01-01.zip"


async def time_of(http, sim):
    async with http.get(f"{sim.endpoints['binance_spot']['rest']}/api/v3/time") as response:
        return response.status, await response.read(), response.headers


async def file_of(http, sim, path=FILE):
    """The file, whether its checksum is right, and both statuses."""
    base = sim.endpoints["binance_spot"]["archive"]
    async with http.get(f"{base}/{path}.CHECKSUM") as response:
        statuses, said = [response.status], await response.text()
    async with http.get(f"{base}/{path}") as response:
        statuses.append(response.status)
        content = await response.read()
    return content, said.split()[0] == sha256(content).hexdigest(), statuses


def rows(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(archive.namelist()[0]).splitlines()


async def test_which_requests_are_struck(http, sim):
    """Those whose path matches, after the first ``after``, ``times`` of them; an earlier fault goes first."""
    fault = Fault(FaultKind.SERVER_ERROR, path=r"api/v3/time", after=1, times=2)
    other = Fault(FaultKind.SERVER_ERROR, path=r"klines", times=None)
    sim.faults += [other, fault]
    statuses = [(await time_of(http, sim))[0] for _ in range(4)]

    assert statuses == [200, 503, 503, 200]
    assert (fault.used, fault.seen, other.used) == (2, 4, 0)


async def test_chance_follows_the_seed(http, market, clock):
    """Half of the requests at a probability of one half, and the same ones for the same seed."""
    found = []
    for _ in range(2):
        fault = Fault(FaultKind.SERVER_ERROR, probability=0.5, times=None)
        async with SimServer(market, clock=clock, tick_s=None, faults=[fault], seed=5) as sim:
            found.append([(await time_of(http, sim))[0] for _ in range(40)])
        assert fault.used == found[-1].count(503)

    assert found[0] == found[1]
    assert 8 < found[0].count(503) < 32


async def test_a_bad_checksum(http, sim):
    """The checksum is of no file; the next one is right."""
    sim.faults.append(Fault(FaultKind.BAD_CHECKSUM, path="BTCUSDT-1h"))

    assert [(await file_of(http, sim))[1] for _ in range(2)] == [False, True]


@pytest.mark.parametrize(
    ("kind", "count", "unique"),
    [
        (FaultKind.MISSING_ROW, 23, 23),
        (FaultKind.DOUBLED_ROW, 25, 24),
        (FaultKind.CONFLICTING_ROW, 25, 25),
        (FaultKind.WRONG_ORDER, 24, 24),
    ],
)
async def test_bad_rows_with_a_right_checksum(http, sim, kind, count, unique):
    """The file has the fault, its checksum agrees, and it is the same as often as it is asked for."""
    good = rows((await file_of(http, sim))[0])
    fault = Fault(kind, path="BTCUSDT-1h-2025")
    sim.faults.append(fault)
    content, right, _ = await file_of(http, sim)
    bad = rows(content)

    assert right
    assert (len(bad), len(set(bad))) == (count, unique)
    assert bad != good
    assert len({line.split(b",")[0] for line in bad}) == (23 if kind is FaultKind.MISSING_ROW else 24)
    assert (await file_of(http, sim))[0] == content
    assert fault.used == 1
    assert rows((await file_of(http, sim, FILE.replace("01-01", "01-02")))[0]) == sorted(
        rows((await file_of(http, sim, FILE.replace("01-01", "01-02")))[0])
    )


async def test_a_corrupt_zip(http, sim):
    """The checksum is right, the file is no zip."""
    sim.faults.append(Fault(FaultKind.CORRUPT_ZIP))
    content, right, statuses = await file_of(http, sim)

    assert right
    assert statuses == [200, 200]
    with pytest.raises(zipfile.BadZipFile):
        rows(content)


async def test_a_missing_day(http, sim):
    """404 for the file and its checksum, and not in the listing; other days are there."""
    sim.faults.append(Fault(FaultKind.MISSING_DAY, path="2025-01-01", times=None))
    base = sim.endpoints["binance_spot"]["archive"]
    async with http.get(f"{base}/?delimiter=/&prefix={FILE.removesuffix('1.zip')}") as response:
        listed = await response.text()

    assert (await file_of(http, sim))[2] == [404, 404]
    assert (await file_of(http, sim, FILE.replace("01-01", "01-02")))[2] == [200, 200]
    assert "2025-01-02.zip" in listed
    assert "2025-01-01.zip" not in listed


def test_a_fault_without_a_chance_never_strikes():
    """A probability of zero is never."""
    fault = Fault(FaultKind.RESET, probability=0.0)

    assert not any(fault.strikes("/", random.Random(1)) for _ in range(50))
