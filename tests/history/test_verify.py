"""An exchange that disagrees with itself is found out, and so is one that changes what it said."""

from __future__ import annotations

import json

import numpy as np
import pytest

from chandlery.core.errors import ArchiveError, UnsupportedRequest
from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.time import DAY, HOUR, to_datetime
from chandlery.history.manager import DataSourceManager
from chandlery.history.verify import aggregate
from chandlery.sim.faults import Fault, FaultKind
from chandlery.sim.recorded import RecordedMarket
from chandlery.sim.server import running
from fixtures.support import at


def test_sources_that_agree(exchange):
    """Monthly files, daily files, REST and candles built from minutes, on four days."""
    found = exchange.manager().compare("BTCUSDT", at(2024, 5, 1), at(2024, 5, 5), "1h")

    assert ("monthly", "daily", "rest", "minutes") == found.sources
    assert 96 == found.candles
    assert found.agrees
    assert [] == list(found.disagreements)


def test_a_row_that_one_source_lacks_is_told(exchange):
    """The daily file lacks a row that the month and REST have."""
    exchange.faults.append(Fault(FaultKind.MISSING_ROW, path=r"daily/.*1h-2024-05-02\.zip", times=None))

    found = exchange.manager().compare("BTCUSDT", at(2024, 5, 1), at(2024, 5, 5), "1h")

    (lost,) = found.missing["daily"]
    assert Span(to_micros(at(2024, 5, 2)), to_micros(at(2024, 5, 3))).holds(lost.start)
    assert lost.start + HOUR == lost.end
    assert [] == list(found.missing["rest"]) == list(found.missing["monthly"])
    assert not found.agrees


ROW = "{open},{price},{price},{price},{close},{volume},{end},1,1,1,1,0\n"


def write_hours(folder, name, days, *, volume=1, close=5):
    """A file of hours that are all alike."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w") as target:
        for day in days:
            for hour in range(24):
                opened = to_micros(day) // 1000 + hour * 3_600_000
                target.write(ROW.format(open=opened, price=5, close=close, volume=volume, end=opened + 3_599_999))


@pytest.fixture
def january(tmp_path):
    """A recorded market that can be rewritten while it is served."""
    files = tmp_path / "files"
    write_hours(files, "BTCUSDT-1h-2024-01-01.csv", [at(2024, 1, 1)])
    write_hours(files, "BTCUSDT-1h-2024-01-02.csv", [at(2024, 1, 2)])
    return files


def served(files):
    """The market of those files, a month later."""
    market = RecordedMarket(folders={MarketType.SPOT: files})
    return running(market, clock=lambda: to_micros(at(2024, 2, 10)), tick_s=None)


def manager(sim, cache_dir):
    return DataSourceManager(cache_dir=cache_dir, endpoints=sim.endpoints, clock=sim.clock)


def test_a_file_that_was_replaced_is_noticed_fetched_and_recorded(january, tmp_path):
    """With the SHA-256 and each value before and after; the cache then holds what is published now."""
    span = ("BTCUSDT", at(2024, 1, 1), at(2024, 1, 3), "1h")
    with served(january) as sim, manager(sim, tmp_path / "cache") as dsm:
        before = dsm.get_data(*span)
        assert [] == dsm.recheck(*span)
    write_hours(january, "BTCUSDT-1h-2024-01-02.csv", [at(2024, 1, 2)], volume=2)

    with served(january) as sim, manager(sim, tmp_path / "cache") as dsm:
        (restated,) = dsm.recheck(*span)
        after = dsm.get_data(*span)
        ledger = [json.loads(line) for line in dsm.cache.restatements()]
        assert [] == dsm.recheck(*span)

    assert "BTCUSDT-1h-2024-01-02" == restated.file
    assert restated.before_sha256 != restated.after_sha256
    assert restated.before_sha256 == before.attrs["chandlery"].spans[1].sha256
    assert restated.after_sha256 == after.attrs["chandlery"].spans[1].sha256
    assert {("volume", 1.0, 2.0)} == {(each.column, each.before, each.after) for each in restated.changes}
    assert 24 == len(restated.changes)
    assert [1.0] * 24 + [2.0] * 24 == after["volume"].tolist()
    assert ["BTCUSDT-1h-2024-01-02"] == [line["file"] for line in ledger]


def test_rows_that_a_restatement_removes_or_adds_have_no_before_or_after(january, tmp_path):
    """A truncated file that is replaced by the whole one later."""
    file = january / "BTCUSDT-1h-2024-01-02.csv"
    whole = file.read_text().splitlines(keepends=True)
    file.write_text("".join(whole[:20]))
    span = ("BTCUSDT", at(2024, 1, 1), at(2024, 1, 3), "1h")
    with served(january) as sim, manager(sim, tmp_path / "cache") as dsm:
        short = dsm.get_data(*span)
    file.write_text("".join(whole))

    with served(january) as sim, manager(sim, tmp_path / "cache") as dsm:
        (restated,) = dsm.recheck(*span)
        long = dsm.get_data(*span)

    assert (44, 48) == (len(short), len(long))
    assert {None} == {each.before for each in restated.changes}
    assert 4 == len({each.open_time for each in restated.changes})


def test_a_replacement_that_cannot_be_used_is_an_error(january, tmp_path):
    """What is cached stays, and nothing goes into the ledger."""
    span = ("BTCUSDT", at(2024, 1, 1), at(2024, 1, 3), "1h")
    with served(january) as sim, manager(sim, tmp_path / "cache") as dsm:
        before = dsm.get_data(*span)
    with served(january) as sim, manager(sim, tmp_path / "cache") as dsm:
        sim.faults.append(Fault(FaultKind.BAD_CHECKSUM, path="01-02.zip", times=None))
        with pytest.raises(ArchiveError, match=r"2024-01-02 was replaced, and the new one cannot be used: .*SHA-256"):
            dsm.recheck(*span)
        after = dsm.get_data(*span)

        assert [] == dsm.cache.restatements()
    assert before["close"].tolist() == after["close"].tolist()


def test_rows_that_came_from_elsewhere_are_not_the_files_business(exchange, tmp_path):
    """A row that the file lacked and REST gave is no change when the file is replaced and lacks it still."""
    manager = exchange.manager(tmp_path)
    span = ("BTCUSDT", at(2024, 5, 1), at(2024, 5, 4), "1h")
    exchange.faults.append(Fault(FaultKind.MISSING_ROW, path=r"1h-2024-05-02\.zip", times=None))
    manager.get_data(*span)
    exchange.faults.append(Fault(FaultKind.CONFLICTING_ROW, path=r"1h-2024-05-02\.zip", times=None))

    changes = [change for restated in manager.recheck(*span) for change in restated.changes]

    assert {None} == {change.after for change in changes}, "only the rows that now contradict each other are gone"
    assert len({change.open_time for change in changes}) <= 1
    exchange.assert_same(manager.get_data(*span), Interval.HOUR_1, at(2024, 5, 1), at(2024, 5, 4))


def test_what_has_no_archive_or_no_cache_cannot_be_checked_again(exchange, tmp_path):
    """The error says which of the two is missing."""
    with pytest.raises(UnsupportedRequest, match="no cache"):
        exchange.manager().recheck("BTCUSDT", at(2024, 5, 1), at(2024, 5, 2), "1h")


def test_candles_out_of_shorter_ones():
    """First open, highest high, lowest low, last close, and sums; hours without minutes are not made up."""
    minutes = {
        "open_time": np.array([0, 60, 7200], np.int64) * 1_000_000 + 100 * DAY,
        **{
            name: np.array([1.0, 2.0, 3.0])
            for name in (
                "open",
                "high",
                "low",
                "close",
                "volume",
                "quote_asset_volume",
                "taker_buy_volume",
                "taker_buy_quote_volume",
            )
        },
        "count": np.array([1, 2, 3]),
    }

    hours = aggregate(minutes, Interval.HOUR_1)

    assert [0, 2] == ((hours["open_time"] - 100 * DAY) // HOUR).tolist()
    assert [(1.0, 2.0, 1.0, 2.0, 3.0, 3), (3.0, 3.0, 3.0, 3.0, 3.0, 3)] == list(
        zip(*(hours[name].tolist() for name in ("open", "high", "low", "close", "volume", "count")), strict=True)
    )


def test_cached_gaps_are_requested_again_also_final_ones(tmp_path):
    """Candles that the exchange has brought back are stored, and stand in the ledger; the next time there is nothing."""
    now = to_micros(at(2024, 2, 10))
    unlike = {
        "lives": {"BTCUSDT": [[at(2024, 1, 1), at(2024, 1, 2)], [at(2024, 1, 2, 6), None]]},
        "serves_delisted": True,
    }
    span = ("BTC-USDT", at(2024, 1, 1), at(2024, 1, 4), "1h")
    with running(exchanges=["bybit_spot"], clock=lambda: now, tick_s=None) as sim:
        sim.differ({"bybit_spot": unlike})
        options = {"cache_dir": tmp_path, "endpoints": sim.endpoints, "clock": sim.clock, "provider": "BYBIT"}
        with DataSourceManager(**options) as dsm:
            gone = dsm.get_data(*span)
            assert [] == dsm.recheck(*span)
            sim.differ({})
            assert len(gone) == len(dsm.get_data(*span)), "a gap of last month is final"

            (restated,) = dsm.recheck(*span)

            assert 66 == len(gone)
            assert "gaps" == restated.file
            assert {at(2024, 1, 2, hour) for hour in range(6)} == {
                to_datetime(change.open_time) for change in restated.changes
            }
            assert 72 == len(dsm.get_data(*span))
            assert [] == dsm.recheck(*span)
            assert 1 == len(dsm.cache.restatements())
