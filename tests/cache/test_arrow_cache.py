from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from chandlery.cache.arrow_cache import UnifiedCacheManager
from chandlery.cache.series import SeriesKey
from chandlery.core.errors import CacheError, InvalidInput
from chandlery.core.gaps import Gap, GapKind, Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.provenance import EventKind, SourceSpan
from chandlery.core.query import ChartType, DataProvider
from chandlery.core.time import DAY, HOUR
from chandlery.tables.frame import open_times, table_of
from fixtures.support import only_readable

FUNDING = ChartType.FUNDING_RATE
SLOT = 6 * HOUR
"""Four slots a day keep the machine's examples small."""
SLOTS = 16
ORIGIN = 19_723 * DAY
KEYS = [
    SeriesKey(DataProvider.BINANCE, MarketType.SPOT, ChartType.KLINES, "BTCUSDT", Interval.HOUR_6),
    SeriesKey(DataProvider.BINANCE, MarketType.FUTURES_USDT, ChartType.KLINES, "BTCUSDT", Interval.HOUR_6),
    SeriesKey(DataProvider.BINANCE, MarketType.FUTURES_USDT, FUNDING, "BTCUSDT", Interval.HOUR_8),
    SeriesKey(DataProvider.BINANCE, MarketType.SPOT, ChartType.KLINES, "BTCUSDT", Interval.DAY_3),
]


def moment(slot):
    return ORIGIN + slot * SLOT


def table(key, slots, value):
    columns = {"open_time": [moment(slot) for slot in slots]}
    for name, dtype in key.chart_type.dtypes.items():
        columns[name] = {"string": ["8h"], "float64": [value]}.get(dtype, [int(value)]) * len(slots)
    return table_of(key.chart_type, columns)


def values(cached):
    name = "funding_rate" if "funding_rate" in cached.table.column_names else "volume"
    return dict(zip(open_times(cached.table).tolist(), cached.table.column(name).to_pylist(), strict=True))


slots = st.integers(0, SLOTS)
stretches = st.tuples(slots, slots).map(lambda pair: (min(pair), max(pair)))


class CacheMachine(RuleBasedStateMachine):
    """The cache does what a dict of slots would do, whatever is stored, damaged and reopened in between."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.cache = UnifiedCacheManager(self.folder.name)
        self.known = {key: {} for key in KEYS}  # slot -> (value or None, source)
        self.number = 0

    def teardown(self):
        """Remove the folder."""
        self.folder.cleanup()

    @rule(key=st.sampled_from(KEYS), first=stretches, second=stretches, rows=st.sets(st.integers(0, SLOTS - 1)))
    def store(self, key, first, second, rows):
        """Two stretches, which may overlap, in one call; slots of them without a row are known to be empty."""
        self.number += 1
        stored = [
            SourceSpan(moment(a), moment(b), f"{self.number}{name}", 1)
            for name, (a, b) in zip("xy", (first, second), strict=True)
        ]
        self.cache.store(key, table(key, sorted(rows), float(self.number)), stored)
        for name, (start, end) in zip("xy", (first, second), strict=True):
            for slot in range(start, end):
                self.known[key][slot] = (float(self.number) if slot in rows else None, f"{self.number}{name}")

    @rule(key=st.sampled_from(KEYS), stretch=stretches)
    def load(self, key, stretch):
        """Any stretch."""
        self.check(key, *stretch)

    def check(self, key, start, end):
        """What the cache says of the slots is what the dict says."""
        cached = self.cache.load(key, Span(moment(start), moment(end)))
        model = {slot: known for slot, known in self.known[key].items() if start <= slot < end}
        assert values(cached) == {moment(slot): value for slot, (value, _) in model.items() if value is not None}
        assert [slot for slot in range(SLOTS) if any(span.holds(moment(slot)) for span in cached.covered)] == sorted(
            model
        )
        sources = {slot: span.source for span in cached.spans for slot in range(SLOTS) if span.span.holds(moment(slot))}
        assert sources == {slot: source for slot, (_, source) in model.items()}
        assert all(span.cached for span in cached.spans)
        return cached

    @rule(key=st.sampled_from(KEYS), pick=st.randoms(use_true_random=False), cut=st.booleans())
    def damage(self, key, pick, cut):
        """A changed bit or a lost end of a file: its moments are forgotten, and told of once."""
        files = sorted((Path(self.folder.name) / key.folder).glob("*.arrow"))
        if not files:
            return
        path = pick.choice(files)
        content = bytearray(path.read_bytes())
        at = pick.randrange(len(content))
        if cut:
            del content[at:]
        else:
            content[at] ^= 1 << pick.randrange(8)
        path.write_bytes(content)
        hit = key.file_span(
            next(m for m in map(moment, self.known[key]) if key.file_name(key.file_span(m)) == path.name)
        )
        events = self.cache.load(key, Span(moment(0), moment(SLOTS))).events
        assert [(event.kind, event.start, event.end) for event in events] == [
            (EventKind.DAMAGED_CACHE_FILE, hit.start, hit.end)
        ]
        self.known[key] = {slot: known for slot, known in self.known[key].items() if not hit.holds(moment(slot))}

    @rule()
    def reopen(self):
        """A new process knows no layouts."""
        self.cache = UnifiedCacheManager(self.folder.name)

    @rule()
    def lose_the_index(self):
        """It is made anew."""
        (Path(self.folder.name) / "cache_metadata.json").unlink(missing_ok=True)

    @invariant()
    def everything_is_as_the_model_says(self):
        """After each step, of all series, the index included."""
        for key in KEYS:
            assert self.check(key, 0, SLOTS).events == []
        entries = {entry.series: entry.rows for entry in self.cache.entries()}
        model = {
            key.folder.as_posix(): sum(value is not None for value, _ in self.known[key].values())
            for key in KEYS
            if self.known[key]
        }
        assert {series: rows for series, rows in entries.items() if rows} == {
            series: rows for series, rows in model.items() if rows
        }

    @rule()
    def verify(self):
        """Whatever was damaged has been set aside."""
        assert self.cache.verify().ok


CacheMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=12, deadline=None)
TestCacheMachine = CacheMachine.TestCase


def test_an_empty_cache_holds_nothing_and_makes_no_folder(cache, make):
    """Looking leaves no trace."""
    cached = cache.load(make.series(), Span(0, DAY))
    assert (cached.table.num_rows, cached.covered, cached.spans, cached.gaps, cached.events) == (0, [], [], [], [])
    assert cache.entries() == []
    assert cache.info().series == 0
    assert cache.verify().ok
    assert cache.clean().files == 0
    cache.store(make.series(), make.rows([]), [])
    assert not cache.root.exists()


def test_topping_up_a_cached_day_keeps_what_was_there(cache, make):
    """20 rows and 4 more are 24; once the day is whole, their one source is named once, with the later fetch."""
    rows, middle, end = make.day_rows(), make.start + 20 * HOUR, make.start + DAY
    cache.store(make.series(), rows.slice(0, 20), [make.source(make.start, middle)])
    assert cache.load(make.series(), Span(make.start, end)).covered == [Span(make.start, middle)]
    cache.store(make.series(), rows.slice(20), [make.source(middle, end, fetched_at=2)])
    cached = cache.load(make.series(), Span(make.start, end))
    assert cached.table.equals(rows)
    assert cached.covered == [Span(make.start, end)]
    assert [(span.span, span.fetched_at) for span in cached.spans] == [(Span(make.start, end), 2)]


def test_a_day_that_is_being_filled_tells_each_fetch(cache, make):
    """A file that is topped up keeps the time of each part until nothing of the day is missing."""
    rows = make.day_rows()
    for hour in range(23):
        at = make.start + hour * HOUR
        cache.store(make.series(), rows.slice(hour, 1), [make.source(at, at + HOUR, fetched_at=hour)])
    day = Span(make.start, make.start + DAY)
    assert [span.fetched_at for span in cache.load(make.series(), day).spans] == list(range(23))
    cache.store(make.series(), rows.slice(23), [make.source(day.end - HOUR, day.end, fetched_at=23)])
    assert [(span.span, span.fetched_at) for span in cache.load(make.series(), day).spans] == [(day, 23)]


def test_a_restated_day_takes_the_place_of_the_old(filled, make):
    """Its origin too."""
    span = Span(make.start + DAY, make.start + 2 * DAY)
    filled.store(make.series(), make.day_rows(1, 9.0), [SourceSpan(span.start, span.end, "vision", 5, "f.zip", "ab")])
    cached = filled.load(make.series(), span)
    assert set(values(cached).values()) == {9.0}
    assert cached.spans == [SourceSpan(span.start, span.end, "vision", 5, "f.zip", "ab", cached=True)]


def test_a_month_from_one_file_is_one_span_again(cache, make):
    """Although it lies in many files."""
    span = Span(make.start, make.start + 31 * DAY)
    cache.store(make.series(), make.rows([]), [SourceSpan(span.start, span.end, "vision", 5, "f.zip", "ab")])
    assert len(list(cache.root.rglob("*.arrow"))) == 31
    assert len(cache.load(make.series(), span).spans) == 1


def test_gaps_are_kept_and_failures_are_not(cache, make):
    """What could not be fetched does not count as known."""
    hours = [make.start + at * HOUR for at in range(25)]
    gaps = [Gap(hours[2], hours[4], GapKind.HALT), Gap(hours[6], hours[7], GapKind.FETCH_FAILED)]
    kept = [make.start + at * HOUR for at in range(24) if at not in {2, 3}]
    cache.store(make.series(), make.rows(kept), [make.source(hours[0], hours[24])], gaps)
    cached = cache.load(make.series(), Span(hours[3], hours[24]))
    assert cached.gaps == [Gap(hours[3], hours[4], GapKind.HALT)]
    assert cached.covered == [Span(hours[3], hours[6]), Span(hours[7], hours[24])]
    assert hours[6] not in values(cached)


@pytest.mark.parametrize("interval", [Interval.DAY_1, Interval.DAY_3, Interval.WEEK_1, Interval.MONTH_1])
def test_long_candles_have_a_file_each(cache, make, interval):
    """Found by any span that holds their open, a month beside a minute of the same symbol."""
    opens = [interval.step(interval.ceil(make.start), at) for at in range(4)]
    key = make.series(interval=interval)
    end = interval.step(opens[-1])
    cache.store(make.series(interval=Interval.MINUTE_1), make.rows(opens, 5.0), [make.source(opens[0], end)])
    cache.store(key, make.rows(opens), [make.source(opens[0], end)])
    assert values(cache.load(key, Span(opens[0], end))) == dict.fromkeys(opens, 1.0)
    assert values(cache.load(key, Span(opens[1], opens[2]))) == {opens[1]: 1.0}
    inside = Span(opens[1] + HOUR, opens[2])
    cached = cache.load(key, inside)
    assert (values(cached), cached.covered) == ({}, [inside])
    assert len(list((cache.root / key.folder).glob("*.arrow"))) == 4


def test_a_newer_version_is_neither_read_nor_overwritten(filled, make):
    """Several releases may share a folder; nothing is lost."""
    from isal import isal_zlib

    path = sorted(filled.root.rglob("*.arrow"))[1]
    content = path.read_bytes()
    head, tail = content.find(b'{"check":"'), content.rfind(b'{"check":"')
    size = int(content[head + 19 : head + 27])
    body = content[head + 29 : head + size].replace(b'"version":2', b'"version":9')
    text = b'{"check":"%08x %08d",%b' % (isal_zlib.crc32(body), size, body)
    newer = content[:head] + text + content[head + size : tail] + text + content[tail + size :]
    path.write_bytes(newer)
    cached = filled.load(make.series(), Span(make.start, make.start + 3 * DAY))
    assert cached.covered == [Span(make.start, make.start + DAY), Span(make.start + 2 * DAY, make.start + 3 * DAY)]
    assert "version 9" in cached.events[0].detail
    at = make.start + DAY
    with pytest.raises(CacheError, match="was not changed"):
        filled.store(make.series(), make.day_rows(1), [make.source(at, at + DAY)])
    assert path.read_bytes() == newer


def test_a_file_under_another_name_or_of_another_series_is_set_aside(filled, make):
    """What it holds is not what its place says."""
    folder = filled.root / make.series().folder
    (folder / "2024-01-01.arrow").replace(folder / "2024-01-05.arrow")
    other = make.series("ETHUSDT")
    (filled.root / other.folder).mkdir(parents=True)
    (folder / "2024-01-02.arrow").replace(filled.root / other.folder / "2024-01-02.arrow")
    span = Span(make.start, make.start + 9 * DAY)
    assert "times outside" in filled.load(make.series(), span).events[0].detail
    assert "belongs to" in filled.load(other, span).events[0].detail
    assert [path.name for path in sorted(filled.root.rglob("*.damaged"))] == [
        "2024-01-05.arrow.damaged",
        "2024-01-02.arrow.damaged",
    ]
    assert filled.load(make.series(), span).events == []


def test_storing_over_a_damaged_file_sets_it_aside(filled, make):
    """The new rows are there, the old ones are not made up."""
    path = filled.root / make.series().folder / "2024-01-01.arrow"
    path.write_bytes(b"")
    rows = make.day_rows()
    filled.store(make.series(), rows.slice(0, 4), [make.source(make.start, make.start + 4 * HOUR)])
    cached = filled.load(make.series(), Span(make.start, make.start + DAY))
    assert cached.table.equals(rows.slice(0, 4))
    assert path.with_name(path.name + ".damaged").exists()


def test_rows_that_are_not_in_order_or_of_another_kind_are_refused(cache, make):
    """Before anything is written."""
    spans = [make.source(make.start, make.start + DAY)]
    for bad in (make.rows([make.start, make.start]), make.rows([make.start + 1, make.start])):
        with pytest.raises(InvalidInput, match="oldest first"):
            cache.store(make.series(), bad, spans)
    with pytest.raises(InvalidInput, match="KLINES needs"):
        cache.store(make.series(), make.rows([make.start], chart_type=FUNDING), spans)
    assert not cache.root.exists()


def test_a_folder_that_cannot_be_used_is_told_of(make, tmp_path):
    """As one error of ours, and nothing is left half-written."""
    (tmp_path / "file").write_bytes(b"")
    cache = UnifiedCacheManager(tmp_path / "file")
    with pytest.raises(CacheError, match="cannot be written to"):
        cache.store(make.series(), make.day_rows(), [make.source(make.start, make.start + DAY)])
    with pytest.raises(CacheError, match="cannot be read"):
        cache.load(make.series(), Span(make.start, make.start + DAY))


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
root, tests = sys.argv[1:]
sys.path.insert(0, tests)
from fixtures import day_rows as make
from chandlery.core.errors import CacheError
from chandlery.core.time import DAY
from chandlery.cache.arrow_cache import UnifiedCacheManager
cache = UnifiedCacheManager(root)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
try:
    cache.store(make.series(), make.day_rows(1, 9.0), [make.source(make.START + DAY, make.START + 2 * DAY)])
except CacheError as error:
    print(error)
"""


def test_a_write_that_fails_midway_leaves_the_old_file(filled, make):
    """As on a full disk; here the system refuses files beyond a size."""
    done = _run(FULL_DISK, filled.root, Path(__file__).parent.parent)
    assert "cannot be written to" in done
    assert list(filled.root.rglob(".*.tmp")) == []
    assert set(values(filled.load(make.series(), Span(make.start + DAY, make.start + 2 * DAY))).values()) == {2.0}


def _run(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


FILL = """
import itertools, sys
root, tests, first, step, rounds = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
sys.path.insert(0, tests)
from fixtures import day_rows as make
from chandlery.core.time import DAY, HOUR
from chandlery.cache.arrow_cache import UnifiedCacheManager
cache = UnifiedCacheManager(root)
for _ in range(rounds):
    for hour in range(first, 240, step):
        at = make.START + hour * HOUR
        cache.store(make.series(), make.rows([at], float(hour)), [make.source(at, at + HOUR)])
        print("stored", flush=True)
"""


def _fill(cache, *numbers):
    command = [sys.executable, "-c", FILL, str(cache.root), str(Path(__file__).parent.parent), *map(str, numbers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_and_a_thread_fill_the_same_files_and_lose_nothing(cache, make):
    """Each stores every third hour of the same days, hour by hour."""
    processes = [_fill(cache, first, 3, 1) for first in (0, 1)]

    def own():
        for hour in range(2, 240, 3):
            at = make.start + hour * HOUR
            cache.store(make.series(), make.rows([at], float(hour)), [make.source(at, at + HOUR)])

    thread = threading.Thread(target=own)
    thread.start()
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    thread.join(60)
    cached = cache.load(make.series(), Span(make.start, make.start + 10 * DAY))
    assert values(cached) == {make.start + hour * HOUR: float(hour) for hour in range(240)}
    assert cached.covered == [Span(make.start, make.start + 10 * DAY)]
    assert [(entry.days, entry.rows) for entry in cache.entries()] == [(10, 240)]
    assert cache.verify().ok


@pytest.mark.parametrize(
    "rounds", [range(1, 2), pytest.param(range(6), marks=pytest.mark.soak)], ids=["once", "again and again"]
)
def test_a_process_killed_in_the_middle_of_a_fill_leaves_a_cache_that_verifies_clean(cache, make, rounds):
    """At no particular moment; what is there is right, and filling goes on."""
    for round_ in rounds:
        process = _fill(cache, 0, 1, 1000)
        for _ in range(7 * round_ + 2):
            assert process.stdout.readline() == "stored\n"
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)
        result = cache.verify()
        assert result.ok
        assert list(cache.root.rglob(".*.tmp")) == []
        cached = cache.load(make.series(), Span(make.start, make.start + 10 * DAY))
        assert cached.events == []
        assert values(cached) == {make.start + hour * HOUR: float(hour) for hour in range(cached.table.num_rows)}
        by_index = cache.entries()
        (cache.root / "cache_metadata.json").unlink()
        assert by_index == cache.entries()


@pytest.mark.parametrize("wrong", ["", "a\0b", 5, b"folder"])
def test_what_is_no_folder_is_refused(wrong):
    """At once, and nothing is made."""
    with pytest.raises(InvalidInput, match="cache_dir"):
        UnifiedCacheManager(wrong)


def test_the_home_folder_is_meant_by_its_sign(monkeypatch, tmp_path):
    """``~`` is no folder of that name."""
    monkeypatch.setenv("HOME", str(tmp_path))

    assert tmp_path / "candles" == UnifiedCacheManager("~/candles").root


def test_a_folder_that_is_called_like_a_file_is_none(tmp_path):
    """It is passed over where files are read and counted."""
    cache = UnifiedCacheManager(tmp_path)
    span = Span(moment(0), moment(4))
    cache.store(KEYS[0], table(KEYS[0], range(4), 1.0), [SourceSpan(span.start, span.end, "rest", 1)])
    (next(tmp_path.rglob("*.arrow")).parent / "2024-01-02.arrow").mkdir()

    assert 4 == cache.load(KEYS[0], Span(moment(0), moment(8))).table.num_rows
    assert [1] == [entry.days for entry in cache.entries()]


def test_what_can_only_be_read_is_still_listed():
    """On a disk that takes no writing, nothing is noted and everything told."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        cache = UnifiedCacheManager(folder)
        span = Span(moment(0), moment(4))
        cache.store(KEYS[0], table(KEYS[0], range(4), 1.0), [SourceSpan(span.start, span.end, "rest", 1)])
        for name in ("cache_metadata.json", ".lock"):
            (Path(folder) / name).unlink(missing_ok=True)
        with only_readable(Path(folder)):
            assert [4] == [entry.rows for entry in cache.entries()]
            assert (1, 4) == (cache.info().days, cache.info().rows)
