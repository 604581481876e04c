from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.cache.series import SeriesKey, day_of_name, safe_name
from chandlery.core.errors import CacheError, InvalidSymbol
from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.query import CandleQuery, ChartType, DataProvider
from chandlery.core.time import DAY, HOUR

UNSAFE = [
    "", ".", "..", "../x", "a\\b", "a\0b", "a\nb", "a b", " a", "a.", ".hidden", "CON", "nul", "COM1.X",
    "BTC/USDT:USDT", "a:b", "a*", "x" * 121, "é" * 61, "\ud800", "a\u202eb", "a\u00a0b", None, 7,
]  # fmt: skip


@pytest.mark.parametrize("symbol", UNSAFE)
def test_a_symbol_can_never_escape_the_cache_folder(make, cache, symbol):
    """It is refused before the disk is touched."""
    with pytest.raises(InvalidSymbol):
        cache.load(make.series(symbol), Span(0, DAY))
    with pytest.raises(InvalidSymbol):
        cache.store(make.series(symbol), make.rows([]), [make.source(0, DAY)])
    assert not cache.root.exists()


@pytest.mark.parametrize(
    "symbol",
    ["BTCUSDT", "BTCUSD_PERP", "BTCUSDT_240329", "BRK.B", "1000SHIBUSDT", "BTC-USD-260327", "btcusdt", "kPEPE", "@107"],
)
def test_a_plain_symbol_is_the_name_of_its_folder(make, symbol):
    """In capitals, in small letters, or with the small k of thousands."""
    assert safe_name(symbol) == symbol
    assert make.series(symbol).folder.parts[3] == symbol


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("BTC/USD", "BTC%2FUSD"),
        ("AAPLx/USD", "AAPL%78%2FUSD"),
        ("AAPLX/USD", "AAPLX%2FUSD"),
        ("币安人生USDT", "%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT"),
        ("éUSDT", "%C3%A9USDT"),
        ("ÉUSDT", "%C3%89USDT"),
        ("e\u0301USDT", "%65%CC%81USDT"),
        ("LPT¹", "LPT%C2%B9"),
    ],
)
def test_other_symbols_are_escaped_as_in_urls(make, symbol, name):
    """Letters beyond ASCII, and small letters beside capitals."""
    key = make.series(symbol)
    assert name == key.folder.parts[3]
    assert key == SeriesKey.of_folder(key.folder.as_posix())


SYMBOLS = st.text(st.sampled_from("ABab1/_.-%éÉe\u0301ßẞ\u0131İ币安\u017fk\u212a"), min_size=1, max_size=8) | st.text(
    min_size=1, max_size=12
)
CASED = re.compile("k[A-Z0-9]+|[^A-Z]*")
"""The two forms with small letters that keep their folders; an exchange has one form or the other."""


@given(SYMBOLS, SYMBOLS)
def test_no_two_symbols_share_a_folder_on_a_disk_that_folds_names(one, other):
    """Neither by case nor by Unicode's composition; and each folder gives its symbol back."""
    keys = [
        SeriesKey(DataProvider.BINANCE, MarketType.SPOT, ChartType.KLINES, each, Interval.HOUR_1)
        for each in (one, other)
    ]
    try:
        folders = [key.folder.as_posix() for key in keys]
    except InvalidSymbol:
        return

    assert keys == [SeriesKey.of_folder(folder) for folder in folders]
    assert all(folder.isascii() for folder in folders)
    if one != other and not any(CASED.fullmatch(each) for each in (one, other)):
        assert folders[0].casefold() != folders[1].casefold()


@pytest.mark.parametrize("name", ["币安人生USDT", "AAPLx%2FUSD", "%e5%b8%81", "%41BC", "%FF", "%", "a%2"])
def test_a_folder_that_no_symbol_has_is_none_of_a_series(name):
    """Each symbol has one folder, so that no other name may stand for it."""
    assert SeriesKey.of_folder(f"BINANCE/SPOT/KLINES/{name}/1m") is None


@given(st.text("AB/%2F5.-_", min_size=1, max_size=12))
def test_slashes_become_part_of_one_folder_and_come_back(text):
    """``BTC/USD`` is a symbol of some exchanges; no two symbols share a folder."""
    key = SeriesKey(DataProvider.BINANCE, MarketType.SPOT, ChartType.KLINES, text, Interval.HOUR_1)
    try:
        folder = key.folder
    except InvalidSymbol:
        return

    assert 5 == len(folder.parts)
    assert key == SeriesKey.of_folder(folder.as_posix())


@given(st.text())
def test_any_text_is_a_single_folder_or_refused(text):
    """Nothing else can come of it."""
    try:
        name = safe_name(text)
    except InvalidSymbol:
        return
    assert "/" not in name
    assert name not in {"", ".", ".."}


def test_a_symbolic_link_out_of_the_cache_is_refused(make, cache, tmp_path):
    """Also where the name is harmless."""
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = cache.root / make.series().folder
    folder.parent.parent.mkdir(parents=True)
    folder.parent.symlink_to(outside)
    with pytest.raises(CacheError, match="symbolic link"):
        cache.store(make.series(), make.day_rows(), [make.source(make.start, make.start + DAY)])
    assert list(outside.iterdir()) == []


def test_markets_and_intervals_never_meet_on_a_disk_that_ignores_case(make):
    """Spot and futures of one symbol, a minute and a month."""
    folders = {
        str(make.series(interval=interval, market=market).folder).lower()
        for interval in Interval
        for market in MarketType
    }
    assert len(folders) == len(Interval) * len(MarketType)


def test_a_folder_names_its_series(make):
    """And a folder of names that are not known here names none."""
    for key in (make.series(), make.series(interval=Interval.MONTH_1, chart_type=ChartType.FUNDING_RATE)):
        assert SeriesKey.of_folder(key.folder.as_posix()) == key
    for folder in ("a", "BINANCE/SPOT/KLINES/X/9m", "register/SPOT/KLINES/X/1m", "BINANCE/SPOT/OTHER/X/1m"):
        assert SeriesKey.of_folder(folder) is None


def test_the_series_of_a_query_is_filed_under_the_interval_of_its_chart_type():
    """Funding rates have one interval, whatever is asked for."""
    query = CandleQuery("BTCUSDT", Interval.MINUTE_1, Span(0, 1), chart_type=ChartType.FUNDING_RATE)
    assert SeriesKey.of(query).interval is Interval.HOUR_8


@pytest.mark.parametrize("interval", list(Interval))
@given(moment=st.integers(0, 30_000 * DAY))
def test_each_moment_is_in_one_file_that_begins_a_day(make_key, interval, moment):
    """A day, or one candle where that is longer; files touch and do not overlap."""
    key = make_key(interval)
    span = key.file_span(moment)
    assert span.holds(moment)
    assert span.start % DAY == 0
    assert key.file_span(span.end).start == span.end
    assert span == (Span(moment - moment % DAY, moment - moment % DAY + DAY) if interval.longest <= DAY else span)
    assert day_of_name(key.file_name(span)) == span.start


@pytest.fixture(scope="module")
def make_key():
    """A series of an interval."""
    query = CandleQuery("BTCUSDT", Interval.MINUTE_1, Span(0, HOUR))
    return lambda interval: SeriesKey(query.provider, query.market_type, query.chart_type, query.symbol, interval)


@pytest.mark.parametrize("name", ["2024-13-01.arrow", "2024-01-01.arrow.damaged", ".2024-01-01.arrow.1.tmp", "x.arrow"])
def test_other_names_are_no_cache_files(name):
    """They are never read."""
    assert day_of_name(name) is None
