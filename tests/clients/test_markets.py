"""Names of exchanges, markets and symbols in every unambiguous spelling."""

from __future__ import annotations

import pytest

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.clients.markets import Candidate, candidates, in_its_market, market_type, markets_of
from chandlery.core.errors import InvalidSymbol, UnknownName, UnsupportedRequest, WrongMarket
from chandlery.core.instrument import MarketType

SPOT, LINEAR, INVERSE = (ExchangeRegistry.get(f"binance_{each}") for each in ("spot", "perpetual", "inverse"))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("spot", "Spot", MarketType.SPOT), MarketType.SPOT),
        (
            ("um", "usdm", "usd-m", "linear", "futures", "perpetual", "PERP", "swap", "futures_usdt"),
            MarketType.FUTURES_USDT,
        ),
        (("cm", "coinm", "coin-m", "inverse", "futures_coin"), MarketType.FUTURES_COIN),
    ],
)
def test_markets(texts, expected):
    """Each market has its names, in any case."""
    assert {expected} == {market_type(text) for text in texts}


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        (("binance",), ["binance_spot", "binance_perpetual", "binance_inverse"]),
        (("BINANCE",), ["binance_spot", "binance_perpetual", "binance_inverse"]),
        ((" Huobi ",), ["htx_spot", "htx_perpetual", "htx_inverse"]),
        (("OKX_Perpetual",), ["okx_perpetual"]),
        (("gate_io_spot",), ["gate_spot"]),
        (("coinbase_advanced_trade",), ["coinbase_spot"]),
        (("okx", "futures"), ["okx_perpetual"]),
        (("okx_perpetual", "linear"), ["okx_perpetual"]),
    ],
)
def test_exchanges(spelling, expected):
    """In any case, with or without a market, spot first."""
    assert expected == [each.id for each in markets_of(*spelling)]


@pytest.mark.parametrize("exchange", ExchangeRegistry.names())
def test_every_market_is_found_by_its_id(exchange):
    """In capitals, too."""
    assert [exchange] == [each.id for each in markets_of(exchange.upper())]


@pytest.mark.parametrize(
    ("spelling", "says"),
    [
        (("binanec",), r"'binanec' is not an exchange; did you mean binance\? there is ascendex, binance"),
        (("okx_perpetal",), r"did you mean okx_perpetual\?"),
        (("hubi",), r"did you mean huobi\?"),
        (("zzz",), "'zzz' is not an exchange; there is ascendex"),
        (("binance", "lineer"), r"market 'lineer' is unknown; did you mean linear\?"),
        (("kraken", "perp"), "kraken has no market perp; it has kraken_spot"),
        (("okx_spot", "linear"), "okx_spot has no market linear; it has okx_spot"),
    ],
)
def test_what_is_unknown_is_refused_with_the_nearest_name(spelling, says):
    """And with all names."""
    with pytest.raises(UnknownName, match=says):
        markets_of(*spelling)


@pytest.mark.parametrize(
    ("exchange", "symbol", "expected"),
    [
        ("binance", "BTCUSDT", {"binance_spot": "BTCUSDT", "binance_perpetual": "BTCUSDT"}),
        ("binance", "btc-usdt", {"binance_spot": "BTCUSDT", "binance_perpetual": "BTCUSDT"}),
        ("binance", "BTC/USDT:USDT", {"binance_perpetual": "BTCUSDT"}),
        ("binance", "BTCUSD_PERP", {"binance_inverse": "BTCUSD_PERP"}),
        ("okx", "BTCUSDT", {"okx_spot": "BTC-USDT", "okx_perpetual": "BTC-USDT-SWAP"}),
        ("okx", "btcfdusd", {"okx_spot": "BTC-FDUSD", "okx_perpetual": "BTC-FDUSD-SWAP"}),
        ("okx", "BTC-USDT-SWAP", {"okx_perpetual": "BTC-USDT-SWAP"}),
        ("coinbase", "ETHBTC", {"coinbase_spot": "ETH-BTC"}),
    ],
)
def test_symbols(exchange, symbol, expected):
    """With and without a separator; the settlement currency selects the market."""
    assert expected == {each.adapter.id: each.symbol for each in candidates(exchange, symbol)}


def test_funding_rates_belong_to_perpetuals():
    """Spot is no candidate."""
    assert ["binance_perpetual"] == [each.adapter.id for each in candidates("binance", "BTCUSDT", funding=True)]
    with pytest.raises(UnsupportedRequest, match="kraken_spot has no funding rates; perpetuals have"):
        candidates("kraken", "BTC/USD", funding=True)


@pytest.mark.parametrize(
    ("exchange", "symbol", "says"),
    [
        ("binance", "??", "write e.g. BTC/USDT for spot"),
        ("kraken", "BTC/USD:USD", "kraken_spot|not of SPOT"),
        ("okx", "USDT", "is not"),
    ],
)
def test_what_is_no_symbol_is_refused(exchange, symbol, says):
    """With what to write."""
    with pytest.raises(InvalidSymbol, match=says):
        candidates(exchange, symbol)


class Exchange:
    """Markets of which some have the symbol, and some list it."""

    def __init__(self, *, known, listed):
        self.known = known
        self.listed = listed
        self.asked = []

    def __call__(self, *markets):
        found = [Candidate(each, "AUSDT") for each in markets]
        return in_its_market(found, self.fetch, lambda market: market.adapter in self.listed)

    def fetch(self, market):
        self.asked.append(market.adapter)
        if market.adapter not in self.known:
            raise InvalidSymbol("no such symbol")
        return market.adapter


def test_the_first_market_that_has_the_symbol_is_used():
    """Nothing else is asked."""
    exchange = Exchange(known=[SPOT, LINEAR], listed=[SPOT, LINEAR])
    assert SPOT is exchange(SPOT, LINEAR)
    assert [SPOT] == exchange.asked


def test_the_only_other_market_that_lists_a_symbol_is_used():
    """Where the first one does not know it."""
    assert LINEAR is Exchange(known=[LINEAR], listed=[LINEAR])(SPOT, LINEAR, INVERSE)


def test_several_other_markets_are_refused_with_their_names():
    """Nothing is guessed."""
    with pytest.raises(InvalidSymbol, match="'AUSDT' is listed by binance_perpetual, binance_inverse; name one"):
        Exchange(known=[LINEAR, INVERSE], listed=[LINEAR, INVERSE])(SPOT, LINEAR, INVERSE)


def test_a_symbol_that_no_market_knows_is_refused_by_the_first():
    """In its words."""
    with pytest.raises(InvalidSymbol, match="no such symbol"):
        Exchange(known=[], listed=[])(SPOT, LINEAR)
    with pytest.raises(InvalidSymbol, match="no such symbol"):
        Exchange(known=[], listed=[])(SPOT)


def test_a_symbol_of_another_market_is_not_looked_for():
    """The error names the market already."""

    def fetch(_):
        raise WrongMarket("of FUTURES_USDT")

    with pytest.raises(WrongMarket):
        in_its_market([Candidate(SPOT, "A"), Candidate(LINEAR, "A")], fetch, lambda _: True)
