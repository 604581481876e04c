from __future__ import annotations

import threading

import pyarrow as pa

from chandlery.cache import day_file, files
from chandlery.cache.arrow_cache import UnifiedCacheManager
from chandlery.core.gaps import Span
from chandlery.core.query import ChartType
from chandlery.core.time import DAY, HOUR
from chandlery.tables.frame import open_times, unwrap


def test_many_files_make_one_chunk(filled, make):
    """Read with and without a known layout; nothing is copied on the way to a frame."""
    span = Span(make.start + 5 * HOUR, make.start + 3 * DAY - HOUR)
    for _ in range(2):
        table = filled.load(make.series(), span).table
        assert all(column.num_chunks == 1 for column in table.columns)
        assert open_times(table).tolist() == list(range(span.start, span.end, HOUR))
        assert unwrap(table.column("volume"))[[0, 20, 50]].tolist() == [1.0, 2.0, 3.0]


def test_days_of_different_length_and_label_are_read_together(cache, make):
    """Each has a layout of its own, or none is remembered any more."""
    expected = []
    for day in range(80):
        moments = [make.start + day * DAY + hour * 900_000_000 for hour in range(day + 1)]
        cache.store(
            make.series(),
            make.rows(moments, day),
            [make.source(make.start + day * DAY, make.start + (day + 1) * DAY, day)],
        )
        expected += moments
    for _ in range(3):
        assert open_times(cache.load(make.series(), Span(make.start, make.start + 80 * DAY)).table).tolist() == expected


def test_text_columns_are_read_too(cache, make):
    """Funding rates have some."""
    key = make.series(chart_type=ChartType.FUNDING_RATE)
    moments = [make.start + at * 8 * HOUR for at in range(9)]
    cache.store(
        key, make.rows(moments, chart_type=ChartType.FUNDING_RATE), [make.source(make.start, make.start + 3 * DAY)]
    )
    table = cache.load(key, Span(make.start, make.start + 3 * DAY)).table
    assert open_times(table).tolist() == moments
    assert table.column("contracts").num_chunks == 1
    assert cache.load(key, Span(make.start + 9 * DAY, make.start + 10 * DAY)).table.num_rows == 0


def test_temporary_files_and_other_names_are_never_read(filled, make):
    """Whatever lies in the folder."""
    folder = filled.root / make.series().folder
    content = (folder / "2024-01-01.arrow").read_bytes()
    for name in (".2024-01-01.arrow.1.0.tmp", "2024-01-04.txt", "2024-01-99.arrow", "2024-01-01.arrow.damaged"):
        (folder / name).write_bytes(content)
    cached = filled.load(make.series(), Span(make.start, make.start + 99 * DAY))
    assert (cached.table.num_rows, cached.events) == (72, [])


def test_an_arrow_file_of_somebody_else_is_set_aside(filled, make):
    """And told of, with where it lies and why; the days around it are read."""
    path = filled.root / make.series().folder / "2024-01-02.arrow"
    with pa.ipc.new_file(str(path), make.day_rows().schema) as writer:
        writer.write_table(make.day_rows(1))
    cached = filled.load(make.series(), Span(make.start, make.start + 3 * DAY))
    assert cached.table.num_rows == 48
    assert cached.events[0].detail == (
        "BINANCE/SPOT/KLINES/BTCUSDT/1h/2024-01-02.arrow: cut short, damaged, or not a cache file; set aside"
    )
    assert not path.exists()
    assert path.with_name("2024-01-02.arrow.damaged").exists()


def test_an_empty_span_reads_nothing(filled, make):
    """Nor does one before everything."""
    assert filled.load(make.series(), Span(make.start, make.start)).covered == []
    assert filled.load(make.series(), Span(make.start + DAY, make.start)).covered == []
    assert filled.load(make.series(), Span(0, make.start)).table.num_rows == 0


def test_a_file_that_another_process_mends_meanwhile_is_read(filled, make):
    """A reader that saw damage looks again before it sets the file aside."""
    path = filled.root / make.series().folder / "2024-01-01.arrow"
    good = path.read_bytes()
    path.write_bytes(good[:-1])
    span = Span(make.start, make.start + DAY)
    reader = UnifiedCacheManager(filled.root)
    with files.locked(path.parent):
        results = []
        thread = threading.Thread(target=lambda: results.append(reader.load(make.series(), span)))
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        files.replace(path, good)
    thread.join(30)
    assert (results[0].table.num_rows, results[0].events) == (24, [])


def test_a_damaged_file_that_cannot_be_set_aside_is_told_of(filled, make):
    """It is not read all the same, and the rest is."""
    path = filled.root / make.series().folder / "2024-01-01.arrow"
    path.write_bytes(b"")
    (path.with_name(path.name + ".damaged") / "in the way").mkdir(parents=True)
    cached = filled.load(make.series(), Span(make.start, make.start + 3 * DAY))
    assert cached.table.num_rows == 48
    assert "cannot be set aside" in cached.events[0].detail


def test_a_damaged_file_that_another_process_sets_aside_is_told_of(filled, make):
    """Each reader that saw the damage says so."""
    path = filled.root / make.series().folder / "2024-01-01.arrow"
    path.write_bytes(b"")
    results = []
    with files.locked(path.parent):
        span = Span(make.start, make.start + DAY)
        thread = threading.Thread(target=lambda: results.append(filled.load(make.series(), span)))
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        files.set_aside(path)
    thread.join(30)
    assert "by another process" in results[0].events[0].detail


def test_a_file_that_has_grown_since_it_was_listed_is_read_whole(cache, make):
    """Rows beyond the room that its listed size asked for find room."""
    from chandlery.cache.reading import Reader, _File, _Found

    key = make.series()
    span = key.file_span(make.start)
    path = cache.root / key.folder / key.file_name(span)
    cache.store(key, make.day_rows(), [make.source(span.start, span.end)])
    found = _Found([], [], [], [])
    table = Reader(cache.root)._wide(key, [_File(span, str(path), 100)], found)
    assert table.equals(make.day_rows())
    gone = _File(span, str(path.with_name("2024-01-09.arrow")), 100)
    assert Reader(cache.root)._wide(key, [gone], found).num_rows == 0
    assert day_file.read_label(str(path), key.folder.as_posix()) == found.labels[0]
