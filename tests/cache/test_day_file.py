from __future__ import annotations

import re

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from isal import isal_zlib

from chandlery.cache import day_file
from chandlery.cache.day_file import VERSION, Layout, NewerVersion
from chandlery.core.errors import CorruptCacheFile
from chandlery.core.gaps import Gap, GapKind
from chandlery.core.query import ChartType
from chandlery.core.time import DAY, HOUR
from chandlery.tables.frame import open_times, schema_of

SERIES = "BINANCE/SPOT/KLINES/BTCUSDT/1h"
SCHEMA = schema_of(ChartType.KLINES)


def test_any_arrow_reader_opens_it(content):
    """One record batch without compression, and the label in the schema's metadata."""
    reader = pa.ipc.open_file(content)
    assert reader.num_record_batches == 1
    label = msgspec.json.decode(reader.schema.metadata[b"chandlery"])
    assert (label["version"], label["series"], label["rows"]) == (VERSION, SERIES, 24)
    assert label["spans"][0]["source"] == "rest"


def test_it_comes_back_as_it_was_written(make, content):
    """Rows, spans and gaps."""
    gaps = [Gap(make.start, make.start + HOUR, GapKind.HALT, "maintenance " * 200)]
    spans = [make.source(make.start, make.start + DAY)]
    written = day_file.render(make.day_rows(), SERIES, spans, gaps)
    label, table = day_file.parse(bytes(written), SERIES, SCHEMA)
    assert table.equals(make.day_rows())
    assert (label.spans, label.gaps) == (tuple(spans), tuple(gaps))
    assert len(written) > len(content)


@given(st.data())
def test_any_changed_byte_is_noticed(content, data):
    """Wherever it is: in the rows, the labels, their padding or Arrow's own framing."""
    at = data.draw(st.integers(0, len(content) - 1))
    flip = data.draw(st.integers(1, 255))
    spoilt = bytearray(content)
    spoilt[at] ^= flip
    with pytest.raises(CorruptCacheFile):
        day_file.parse(bytes(spoilt), SERIES, SCHEMA)


def test_every_byte_of_the_file_counts(content, tmp_path):
    """Both ways of reading notice one flipped bit, at each place of the file in turn."""
    layout = Layout.learn(content)
    into = np.empty((len(SCHEMA), 24), np.int64)
    path = tmp_path / "file"
    path.write_bytes(content)
    assert layout.read(str(path), SERIES, into, 0) is not None
    with path.open("r+b", buffering=0) as file:
        for at in range(0, len(content), 7):
            spoilt = bytes([content[at] ^ 4])
            file.seek(at)
            file.write(spoilt)
            assert layout.read(str(path), SERIES, into, 0) is None, at
            with pytest.raises(CorruptCacheFile):
                day_file.parse(content[:at] + spoilt + content[at + 1 :], SERIES, SCHEMA)
            file.seek(at)
            file.write(content[at : at + 1])


@given(st.integers(0, 20_000))
def test_a_cut_file_is_noticed(content, size):
    """At any length, none included."""
    if size < len(content):
        with pytest.raises(CorruptCacheFile):
            day_file.parse(content[:size], SERIES, SCHEMA)


def test_another_file_is_not_taken_for_one_of_ours(make, content):
    """Neither one of Arrow without a label, nor one of another series, nor one with other columns."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, SCHEMA) as writer:
        writer.write_table(make.day_rows())
    for foreign in (sink.getvalue().to_pybytes(), b"x" * 5000, content + b"x", b"x" + content):
        with pytest.raises(CorruptCacheFile):
            day_file.parse(foreign, SERIES, SCHEMA)
    with pytest.raises(CorruptCacheFile, match="it belongs to BINANCE/SPOT"):
        day_file.parse(content, "BINANCE/FUTURES_USDT/KLINES/BTCUSDT/1h", SCHEMA)
    with pytest.raises(CorruptCacheFile, match="columns"):
        day_file.parse(content, SERIES, schema_of(ChartType.FUNDING_RATE))


def _relabelled(content, change):
    """The file with ``change`` made to the text of its labels, and all checksums right again."""
    head, tail = content.find(b'{"check":"'), content.rfind(b'{"check":"')
    size = int(content[head + 19 : head + 27])
    body = change(content[head + 29 : head + size].rstrip()).ljust(size - 29)
    text = b'{"check":"%08x %08d",%b' % (isal_zlib.crc32(body), size, body)
    return content[:head] + text + content[head + size : tail] + text + content[tail + size :]


def test_a_checksum_that_is_no_number_is_damage(content):
    """In both labels alike, so that they agree with each other."""
    spoilt = content.replace(content[content.find(b'{"check":"') :][:18], b'{"check":"notahexa')
    with pytest.raises(CorruptCacheFile, match="label is damaged"):
        day_file.parse(spoilt, SERIES, SCHEMA)


def test_labels_around_something_that_is_not_arrow_are_damage(content):
    """Although all checksums are right."""
    head = content.find(b'{"check":"')
    size = int(content[head + 19 : head + 27])
    crc = re.search(rb'"crc32":\d+', content)[0]
    bare = content[head : head + size] * 2
    with pytest.raises(CorruptCacheFile, match="not readable as Arrow"):
        day_file.parse(_relabelled(bare, lambda body: body.replace(crc, b'"crc32":0')), SERIES, SCHEMA)


def test_a_newer_version_is_told_from_damage(content):
    """Also where the rest of its label means nothing to us."""
    for label in (lambda body: body.replace(b'"version":2', b'"version":9'), lambda _: b'"version":3,"other":[]}'):
        with pytest.raises(NewerVersion, match="version"):
            day_file.parse(_relabelled(content, label), SERIES, SCHEMA)


@pytest.mark.parametrize("body", [b"}", b'"version":1}', b"["])
def test_a_label_that_makes_no_sense_is_damage(content, body):
    """Although its checksum is right."""
    with pytest.raises(CorruptCacheFile, match="label cannot be read") as caught:
        day_file.parse(_relabelled(content, lambda _: body), SERIES, SCHEMA)
    assert not isinstance(caught.value, NewerVersion)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 24])
def test_a_learnt_layout_reads_any_file_of_equal_shape(make, tmp_path, count):
    """Straight into the columns, at the place that is asked for, and nowhere else."""
    moments = [make.start + at * HOUR for at in range(count)]
    spans = [make.source(make.start, make.start + DAY)]
    layout = Layout.learn(bytes(day_file.render(make.rows(moments, 1.0), SERIES, spans, [])))
    later = [moment + DAY for moment in moments]
    path = tmp_path / "file"
    path.write_bytes(day_file.render(make.rows(later, 2.0), SERIES, spans, []))
    into = np.full((len(SCHEMA), count + 2), -1, np.int64)
    label = layout.read(str(path), SERIES, into, 1)
    assert label == day_file.read_label(str(path), SERIES)
    assert label.rows == count
    assert (into[0, 1:-1] // 1000).tolist() == later
    assert into[1, 1:-1].view(np.float64).tolist() == [2.0] * count
    assert (into[:, 0] == -1).all()
    assert (into[:, -1] == -1).all()
    if count:
        other = tmp_path / "other"
        other.write_bytes(day_file.render(make.rows(moments[:-1]), SERIES, spans, []))
        assert layout.read(str(other), SERIES, into, 1) is None
        assert layout.read(str(path), "another", into, 1) is None


def test_a_label_is_read_without_the_rows(make, content, tmp_path):
    """Long labels too; damage to the rows does not matter to it."""
    gaps = [Gap(make.start + at, make.start + at + 1, GapKind.NO_TRADES) for at in range(200)]
    path = tmp_path / "file"
    written = day_file.render(make.day_rows(), SERIES, [make.source(make.start, make.start + DAY)], gaps)
    middle = len(written) // 2
    written[middle] ^= 1
    path.write_bytes(written)
    assert len(day_file.read_label(str(path), SERIES).gaps) == 200
    path.write_bytes(b"")
    with pytest.raises(CorruptCacheFile):
        day_file.read_label(str(path), SERIES)


def test_text_columns_are_checked_too(make):
    """Rows whose columns have no fixed width."""
    chart_type = ChartType.FUNDING_RATE
    table = make.rows([make.start, make.start + 8 * HOUR], chart_type=chart_type)
    written = bytes(day_file.render(table, SERIES, [make.source(make.start, make.start + DAY)], []))
    assert day_file.parse(written, SERIES, schema_of(chart_type))[1].equals(table)
    part = day_file.render(table.slice(1), SERIES, [make.source(make.start, make.start + DAY)], [])
    assert open_times(day_file.parse(bytes(part), SERIES, None)[1]).tolist() == [make.start + 8 * HOUR]
    at = written.find(b"8h8h")
    with pytest.raises(CorruptCacheFile, match="rows are damaged"):
        day_file.parse(written[:at] + b"9" + written[at + 1 :], SERIES, schema_of(chart_type))
