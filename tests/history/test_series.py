"""Series of different origins never meet: in the cache, in one frame, in a live feed."""

from __future__ import annotations

import pytest

from chandlery import ChartType, DataSourceManager, MarketType
from chandlery.core.errors import ChandleryError, IncompleteData, InvalidInput
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.feed.candles_feed import CandlesFeed
from chandlery.sim import SyntheticMarket, running
from chandlery.testing import no_waiting
from fixtures.support import SPOT, at

SPAN = ("BTCUSDT", at(2024, 1, 1), at(2024, 1, 3), "1h")
NOWHERE = {"rest": "http://127.0.0.1:9", "ws": "ws://127.0.0.1:9", "archive": "http://127.0.0.1:9"}


def asked(endpoints, cache, *span, **options):
    """A frame of one manager, and its account."""
    with DataSourceManager(cache_dir=cache, endpoints=endpoints, retry_count=0) as manager:
        frame = manager.get_data(*(span or SPAN), **options)
    return frame, frame.attrs["chandlery"]


def test_two_markets_in_one_folder_do_not_mix(tmp_path):
    """The second asks its own exchange for all of it, and both say whose data they are."""
    with running(SyntheticMarket(7)) as seven, running(SyntheticMarket(99)) as other:
        asked(seven.endpoints, tmp_path)
        frame, account = asked(other.endpoints, tmp_path, "BTCUSDT", at(2024, 1, 1), at(2024, 1, 5), "1h")
        again, cached = asked(seven.endpoints, tmp_path)
    truth = SyntheticMarket(99).candles(SPOT, "BTCUSDT", Interval.HOUR_1, _span(1, 5))

    assert truth["close"].tolist() == frame["close"].tolist()
    assert {(False, "offline-99")} == {(each.cached, each.origin) for each in account.spans}
    assert {(True, "offline-7")} == {(each.cached, each.origin) for each in cached.spans}
    assert 48 == len(again)
    assert {"@offline-7", "@offline-99"} == {path.name for path in tmp_path.iterdir() if path.is_dir()}


def test_the_real_exchange_gets_nothing_that_was_made_up(tmp_path):
    """The first example offline, then the same call without the offline exchange and without a network: no row."""
    with running() as exchange:
        frame, _ = asked(exchange.endpoints, tmp_path)
    with no_waiting(), pytest.raises(ChandleryError) as failed:
        asked({"binance_spot": {**NOWHERE, "mirror": True}}, tmp_path)

    assert 48 == len(frame)
    assert isinstance(failed.value, IncompleteData)
    assert 0 == len(failed.value.data)


def test_a_mirror_has_the_exchanges_place(tmp_path):
    """What comes from it lies where the exchange's own data lie, and names the host."""
    with running() as exchange:
        urls = {name: url for name, url in exchange.endpoints["binance_spot"].items() if name != "origin"}
        asked({"binance_spot": {**urls, "mirror": True}}, tmp_path)
    host = urls["rest"].split("/")[2]
    with no_waiting():
        frame, account = asked({"binance_spot": {**NOWHERE, "mirror": True}}, tmp_path)

    assert (tmp_path / "BINANCE/SPOT/KLINES/BTCUSDT/1h").is_dir()
    assert 48 == len(frame)
    assert {f"mirror {host}"} == {each.origin for each in account.spans}


def test_rest_and_archive_of_two_markets(tmp_path):
    """Such a series is refused before anything is sent; each source alone has a place of its own."""
    with running(SyntheticMarket(7)) as seven, running(SyntheticMarket(99)) as other:
        urls = {"rest": seven.endpoints["binance_spot"]["rest"], "archive": other.endpoints["binance_spot"]["archive"]}
        endpoints = {"binance_spot": urls}
        with pytest.raises(InvalidInput, match="different markets"):
            asked(endpoints, tmp_path)
        _, rest = asked(endpoints, tmp_path, enforce_source="rest")
        _, archive = asked(endpoints, tmp_path, enforce_source="vision")

    assert 1 == len({each.origin for each in rest.spans}) == len({each.origin for each in archive.spans})
    assert {False} == {each.cached for each in archive.spans}


def test_funding_rates_too(tmp_path):
    """Rates of two markets lie apart."""
    frames = []
    for seed in (7, 99):
        with (
            running(SyntheticMarket(seed)) as exchange,
            DataSourceManager(
                MarketType.FUTURES_USDT,
                chart_type=ChartType.FUNDING_RATE,
                cache_dir=tmp_path,
                endpoints=exchange.endpoints,
            ) as manager,
        ):
            frames.append(manager.get_data("BTCUSDT", at(2024, 1, 1), at(2024, 1, 3), "8h"))

    assert frames[0]["funding_rate"].tolist() != frames[1]["funding_rate"].tolist()
    assert {("offline-99", False)} == {(each.origin, each.cached) for each in frames[1].attrs["chandlery"].spans}


def test_a_live_series_has_one_market():
    """Its past comes from REST and what is new from sockets: both of one market, or it is refused."""
    with pytest.raises(InvalidInput, match="different markets"):
        CandlesFeed("binance_spot", "BTC-USDT", "1m", endpoints={"binance_spot": {"ws": NOWHERE["ws"]}})


def _span(first, last):
    return Span(to_micros(at(2024, 1, first)), to_micros(at(2024, 1, last)))
