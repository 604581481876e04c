"""The text of archive files: proof, header, unit, many at once."""

from __future__ import annotations

import hashlib
import io
import zipfile

import pytest

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import ChecksumMismatch, CorruptArchive
from chandlery.history.archive_csv import body_of, in_micros, inflate, parse_csv, prove

LAYOUT = ExchangeRegistry.get("binance_spot").archive_row
HEADER = b"open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore\n"
MILLIS = b"1733011200000,1.5,2.5,0.5,2.0,10.25,1733014799999,20.5,7,5.125,10.25,0\n"
MICROS = b"1735689600000000,1.5,2.5,0.5,2.0,10.25,1735693199999999,20.5,7,5.125,10.25,0\n"


def zipped(text, method=zipfile.ZIP_DEFLATED, names=("a.csv",)):
    """A zip and its SHA-256."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name in names:
            archive.writestr(name, text)
    return target.getvalue(), hashlib.sha256(target.getvalue()).hexdigest()


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
@pytest.mark.parametrize("text", [MILLIS, b"", MILLIS * 5000])
def test_the_member_comes_out_as_it_went_in(method, text):
    """Deflated or stored, empty or long."""
    packed, sha256 = zipped(text, method)
    prove(packed, sha256, "url")

    assert text == inflate(packed, "url")


def test_another_file_than_the_checksum_describes_is_refused():
    """The error names both checksums."""
    packed, _ = zipped(MILLIS)

    with pytest.raises(ChecksumMismatch, match=f"its .CHECKSUM says {'0' * 64}"):
        prove(packed, "0" * 64, "url")


@pytest.mark.parametrize(
    "damage",
    [
        lambda packed: packed[:-30],
        lambda _: b"not a zip at all",
        lambda packed: packed[:40] + b"\xff\xff\xff" + packed[43:],
        lambda _: zipped(MILLIS, names=("a.csv", "b.csv"))[0],
    ],
    ids=["cut short", "no zip", "damaged stream", "two members"],
)
def test_a_file_with_the_right_checksum_may_still_be_no_zip_of_one_csv(damage):
    """It is refused as corrupt, whatever is wrong inside."""
    packed = damage(zipped(MILLIS * 100)[0])

    with pytest.raises(CorruptArchive, match="url"):
        inflate(packed, "url")


def test_headers_units_and_line_ends_are_told_for_each_file_by_itself():
    """A file with a header in milliseconds, one without in microseconds, an empty one, one without a last line end."""
    bodies = [body_of(text) for text in (HEADER + MILLIS * 2, MICROS, b"", HEADER, MILLIS.rstrip())]
    rows = [body.rows for body in bodies]
    parsed = in_micros(parse_csv(bodies, LAYOUT), bodies, rows)

    assert [2, 1, 0, 0, 1] == rows
    assert [1_733_011_200_000_000, 1_735_689_600_000_000, None, None, 1_733_011_200_000_000] == [
        body.first for body in bodies
    ]
    assert [
        1_733_011_200_000_000,
        1_733_011_200_000_000,
        1_735_689_600_000_000,
        1_733_011_200_000_000,
    ] == parsed["open_time"].tolist()
    assert 1_733_014_799_999_000 == parsed["close_time"][1]
    assert 1_735_693_199_999_999 == parsed["close_time"][2]
    assert (1.5, 2.5, 0.5, 2.0, 10.25, 20.5, 7, 5.125, 10.25) == tuple(
        float(parsed[name][2])
        for name in (
            "open",
            "high",
            "low",
            "close",
            "volume",
            "quote_asset_volume",
            "count",
            "taker_buy_volume",
            "taker_buy_quote_volume",
        )
    )


@pytest.mark.parametrize(
    "line",
    [
        b"1" * 5000 + b",1.5\n",
        b"1733011200000,1.5\n",
        b"1733011200000,x,2,1,1,1,1,1,1,1,1,0\n",
        b"1" + b"," * 11 + b"\n",
    ],
)
def test_one_bad_file_is_an_error_of_all(line):
    """Who wants the others parses them without it."""
    with pytest.raises(CorruptArchive, match="not a CSV of candles"):
        parse_csv([body_of(text) for text in (MILLIS, MILLIS + line, MICROS)], LAYOUT)


def test_lines_that_are_no_rows_are_an_error():
    """A quote makes one row of two lines; then nobody knows which rows are of which file."""
    bodies = [body_of(text) for text in (MILLIS.replace(b",0\n", b',"0\n0"\n'), MICROS)]

    with pytest.raises(CorruptArchive, match="3 lines, 2 of them rows"):
        in_micros(parse_csv(bodies, LAYOUT), bodies, [body.rows for body in bodies])


def test_a_number_too_long_to_be_a_time_is_none():
    """Not even where it is too long for Python to read."""
    assert body_of(b"1" * 5000 + b",1.5\n").first is None


def test_a_file_whose_lines_have_grown_is_read():
    """A column more at the end of each changes nothing."""
    bodies = [body_of(MILLIS * 2), body_of(MILLIS.replace(b",0\n", b",0,new\n"))]
    for order in (bodies, bodies[::-1]):
        columns = parse_csv(order, LAYOUT)

        assert [10.25] * 3 == columns["volume"].tolist()
        assert [10.25] * 3 == columns["taker_buy_quote_volume"].tolist()
