"""Which client serves what; third parties add providers and kinds of data without a change to chandlery."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent

import pandas as pd
import pytest

from chandlery.core.errors import Closed, InvalidInput, InvalidSymbol, UnknownName
from chandlery.core.instrument import MarketType
from chandlery.core.interval import AnchoredGrid, Interval
from chandlery.core.query import ChartType, DataProvider, DataSource
from chandlery.core.time import DAY
from chandlery.history.factory import DataClientFactory
from chandlery.history.funding import BinanceFundingRateClient
from chandlery.history.interfaces import MOST_SERIES, DataClientInterface, Resources
from chandlery.history.manager import DataSourceManager
from chandlery.history.rest import RestDataClient
from chandlery.history.vision import VisionDataClient
from chandlery.net.clock import system_clock
from chandlery.net.http import HttpClient
from chandlery.sim import running
from fixtures.support import at

ACME = Path(__file__).parent / "third_party" / "acme"


def run_as_a_user(code, *arguments):
    """In a process of its own that has the third party's package installed; what it printed."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", dedent(code), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ACME)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout.splitlines()


def test_a_third_partys_provider_is_found_by_its_entry_point_cached_and_accounted_for(tmp_path):
    """Nobody imports the package: its provider is known by name, its candles are cached, its source is named."""
    said = run_as_a_user(
        """
        import sys
        from datetime import datetime, timezone
        from chandlery import DataSourceManager
        with DataSourceManager(provider="ACME", cache_dir=sys.argv[1]) as manager:
            span = (datetime(2024, 1, 1, tzinfo=timezone.utc), datetime(2024, 1, 3, 5, tzinfo=timezone.utc))
            for _ in range(2):
                frame = manager.get_data("any thing".replace(" ", ""), *span, "1h")
            import acme_data
            print(len(frame), frame["close"].tolist()[:3], len(acme_data.CALLS))
            print({each.source for each in frame.attrs["chandlery"].spans}, frame.attrs["chandlery"].gaps)
        """,
        tmp_path,
    )

    assert ["53 [0.0, 1.0, 2.0] 1", "{'acme'} ()"] == said
    assert 3 == len(list((tmp_path / "ACME/SPOT/KLINES/anything/1h").glob("*.arrow")))


def test_a_third_partys_kind_of_data_has_columns_of_its_own(tmp_path):
    """Its dtypes, text among them, come back exactly, from the source as from the cache."""
    said = run_as_a_user(
        """
        import sys
        from datetime import datetime, timezone
        from chandlery import DataSourceManager
        with DataSourceManager(provider="ACME", chart_type="openInterest", cache_dir=sys.argv[1]) as manager:
            span = (datetime(2024, 1, 1, tzinfo=timezone.utc), datetime(2024, 1, 2, tzinfo=timezone.utc))
            for _ in range(2):
                frame = manager.get_data("GOLD", *span, "1h")
                print(len(frame), {name: str(dtype) for name, dtype in frame.dtypes.items()}, frame["note"].iloc[-1])
            import acme_data
            print(len(acme_data.CALLS))
        """,
        tmp_path,
    )

    row = "24 {'open_interest': 'float64', 'note': 'string'} ok"
    assert [row, row, "1"] == said


@pytest.mark.parametrize(
    ("market_type", "chart_type", "source", "served_by"),
    [
        (MarketType.SPOT, ChartType.KLINES, DataSource.REST, RestDataClient),
        (MarketType.FUTURES_COIN, ChartType.KLINES, DataSource.VISION, VisionDataClient),
        (MarketType.FUTURES_USDT, ChartType.FUNDING_RATE, DataSource.REST, BinanceFundingRateClient),
        (MarketType.SPOT, ChartType.FUNDING_RATE, DataSource.REST, None),
        (MarketType.FUTURES_USDT, ChartType.FUNDING_RATE, DataSource.VISION, None),
    ],
)
def test_what_is_served_of_binance(market_type, chart_type, source, served_by):
    """Candles of every market by REST and archive, funding of the two futures markets by REST."""
    assert served_by is DataClientFactory.client_class(DataProvider.BINANCE, market_type, chart_type, source)


def test_a_client_is_made_as_documented():
    """With the series; it knows what it is."""
    client = DataClientFactory.create_data_client(
        provider=DataProvider.BINANCE,
        market_type=MarketType.FUTURES_USDT,
        chart_type=ChartType.FUNDING_RATE,
        symbol="BTC/USDT",
        interval=Interval.HOUR_8,
    )

    assert isinstance(client, BinanceFundingRateClient)
    assert (DataProvider.BINANCE, MarketType.FUTURES_USDT, ChartType.FUNDING_RATE, "BTCUSDT", Interval.HOUR_8) == (
        client.provider,
        client.market_type,
        client.chart_type,
        client.symbol,
        client.interval,
    )


def test_what_nothing_serves_is_an_error_that_lists_what_is_served():
    """Among other things, spot has no funding."""
    with pytest.raises(
        UnknownName, match=r"BINANCE SPOT FUNDING_RATE by REST; available: .*BINANCE SPOT KLINES by REST"
    ):
        DataClientFactory.create_data_client(
            DataProvider.BINANCE, MarketType.SPOT, ChartType.FUNDING_RATE, "BTCUSDT", Interval.HOUR_8
        )


def test_an_empty_symbol_is_refused():
    """Before an adapter is asked."""
    with pytest.raises(InvalidSymbol, match="the symbol is empty"):
        DataClientFactory.create_data_client(
            DataProvider.BINANCE, MarketType.SPOT, ChartType.KLINES, "", Interval.HOUR_1
        )


def test_what_is_served_already_is_not_taken_over_in_silence():
    """Nor is something registered that is no client."""
    key = (DataProvider.BINANCE, MarketType.SPOT, ChartType.KLINES)
    DataClientFactory.discover()

    with pytest.raises(InvalidInput, match="is served by RestDataClient already"):
        DataClientFactory.register_client(*key, VisionDataClient)
    with pytest.raises(InvalidInput, match="only a VisionDataClient serves an archive"):
        DataClientFactory.register_client(*key, RestDataClient, source=DataSource.VISION)
    with pytest.raises(InvalidInput, match="not a subclass of DataClientInterface"):
        DataClientFactory.register_client(*key, dict)


async def test_what_rows_have_shown_is_remembered_of_so_many_series():
    """Of those that were used last; one that was forgotten is begun anew, and the grid that its rows show is shared again."""
    async with HttpClient() as http:
        resources = Resources(http, system_clock)

        def client(symbol):
            return RestDataClient(symbol=symbol, interval=Interval.DAY_3, resources=resources)

        used, idle = client("BTCUSDT"), client("ETHUSDT")
        for number in range(MOST_SERIES):
            resources.facts(used.adapter, f"A{number}USDT", Interval.DAY_3)
            assert client("BTCUSDT").facts is used.facts

        assert MOST_SERIES == len(resources.series)
        assert client("ETHUSDT").facts is not idle.facts
        grid = AnchoredGrid(Interval.DAY_3, DAY)
        idle.adopt(grid)
        assert grid == client("ETHUSDT").grid == idle.grid


async def test_series_share_an_adapter_that_learns_no_list():
    """A symbol is read the same before and after the exchange's list was."""
    async with HttpClient() as http:
        resources = Resources(http, system_clock)
        first, second = (
            RestDataClient(symbol=each, interval=Interval.HOUR_1, resources=resources)
            for each in ("BTCUSDT", "ETHUSDT")
        )
        archive = VisionDataClient(symbol="BTCUSDT", interval=Interval.HOUR_1, resources=resources)

        assert first.adapter is second.adapter is archive.adapter
        assert first.exchange is second.exchange
        assert first.exchange.adapter is not first.adapter


def counting(price):
    """A third party's class of hourly candles of one price, and a list with an entry for each client created."""
    made = []

    class Counting(DataClientInterface):
        source = "counting"
        provider = DataProvider("COUNTING")
        market_type = MarketType.SPOT
        chart_type = ChartType.KLINES
        page_size = 5

        def __init__(self, **options):
            super().__init__(**options)
            made.append((self.symbol, self.interval))

        def fetch(self, start_time, end_time, **kwargs):
            opens = pd.date_range(start_time, end_time, freq="1h", inclusive="left", unit="ns")
            ends = opens + pd.Timedelta("1h")
            columns = {
                name: pd.Series(price, opens, dtype)
                for name, dtype in ChartType.KLINES.dtypes.items()
                if name != "close_time"
            }
            return pd.DataFrame({**columns, "close_time": ends}, index=opens)

    return Counting, made


def test_a_manager_creates_the_client_of_a_series_once():
    """Later calls use it again; another series, or a class that is registered anew, gets a client of its own."""
    provider = DataProvider.register("COUNTING")
    kind = (provider, MarketType.SPOT, ChartType.KLINES)
    first, made = counting(1)
    second, later = counting(2)
    DataClientFactory.register_client(*kind, first)
    day = (at(2024, 5, 1), at(2024, 5, 2))

    with DataSourceManager(provider=provider, use_cache=False) as manager:
        frames = [manager.get_data(symbol, *day, "1h") for symbol in ("GOLD", "GOLD", "TIN", "GOLD")]
        DataClientFactory.register_client(*kind, second)
        frames.append(manager.get_data("GOLD", *day, "1h"))

    assert [24.0, 24.0, 24.0, 24.0, 48.0] == [frame["close"].sum() for frame in frames]
    assert [("GOLD", Interval.HOUR_1), ("TIN", Interval.HOUR_1)] == made
    assert made[:1] == later


def test_names_of_third_parties_are_found_at_their_first_use():
    """By call, attribute, or ``--type`` of a command, before anything else of the package is used."""
    uses = ['DataProvider("ACME")', "ChartType.OPEN_INTEREST", 'arguments.chart_type("open-interest")']
    code = (
        "from chandlery import ChartType, DataProvider\nfrom chandlery.cli import arguments\n"
        "print(repr({}), DataProvider['ACME'] in list(DataProvider))"
    )

    said = [run_as_a_user(code.format(use)) for use in uses]

    assert [["DataProvider.ACME True"], *[["ChartType.OPEN_INTEREST True"]] * 2] == said


def test_classes_that_cannot_work_are_refused():
    """At registration, with what to do."""

    class Unfinished(DataClientInterface):
        """Lacks the method that fetches."""

        provider = DataProvider.BINANCE
        market_type = MarketType.SPOT
        chart_type = ChartType.KLINES

    class Finished(Unfinished):
        """Has it."""

        def fetch(self, start_time, end_time, **kwargs):
            """Fetch nothing."""
            return pd.DataFrame()

    kind = (DataProvider.TRADESTATION, MarketType.SPOT, ChartType.FUNDING_RATE)
    with pytest.raises(InvalidInput, match="Unfinished lacks fetch; define what it lacks"):
        DataClientFactory.register_client(*kind, Unfinished)
    with pytest.raises(InvalidInput, match=r"use DataSource.REST, or DataSource.VISION"):
        DataClientFactory.register_client(*kind, Finished, source=DataSource.AUTO)
    with pytest.raises(InvalidInput, match="'spot' is not a MarketType"):
        DataClientFactory.register_client(kind[0], "spot", kind[2], Finished)
    with pytest.raises(UnknownName, match="'NOBODY_AT_ALL' is not a DataProvider"):
        DataClientFactory.register_client("NOBODY_AT_ALL", *kind[1:], Finished)


def test_a_client_is_a_context_manager_and_takes_endpoints():
    """It closes its connections at the end of the block."""
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    start = end - timedelta(hours=3)
    with (
        running() as sim,
        DataClientFactory.create_data_client(
            DataProvider.BINANCE, MarketType.SPOT, ChartType.KLINES, "BTCUSDT", Interval.HOUR_1, endpoints=sim.endpoints
        ) as client,
    ):
        assert 3 == len(client.fetch(start, end))

    with pytest.raises(Closed):
        client.fetch(start, end)
    with pytest.raises(InvalidInput, match="give endpoints or resources"):
        RestDataClient(
            symbol="BTCUSDT",
            interval=Interval.HOUR_1,
            resources=Resources(HttpClient(), system_clock),
            endpoints=sim.endpoints,
        )
