"""The market of an exchange that a caller means."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple, TypeVar

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.clients.names import canonical, other_names
from chandlery.core.errors import InvalidSymbol, UnknownName, UnsupportedRequest, WrongMarket
from chandlery.core.instrument import Instrument, MarketType, capitals, require_symbol

_T = TypeVar("_T")

MARKETS: Mapping[str, MarketType] = {
    "spot": MarketType.SPOT,
    **dict.fromkeys(
        ("linear", "perpetual", "perp", "swap", "futures", "um", "usdm", "futures_usdt"), MarketType.FUTURES_USDT
    ),
    **dict.fromkeys(("inverse", "cm", "coinm", "futures_coin"), MarketType.FUTURES_COIN),
}
"""The names of a market, in small letters."""

_ORDER = list(MarketType)


_QUOTES = (
    "FDUSD",
    "USDT",
    "USDC",
    "USDE",
    "TUSD",
    "BUSD",
    "USD",
    "EUR",
    "GBP",
    "JPY",
    "TRY",
    "BRL",
    "KRW",
    "BTC",
    "ETH",
    "BNB",
)
"""Quote assets by which a text without a separator is split, longer ones first."""


class Candidate(NamedTuple):
    """A market and the spelling of a symbol in it."""

    adapter: type[ExchangeAdapter]
    symbol: str


def market_type(text: MarketType | str, *, name: str = "market") -> MarketType:
    """
    Return the market of a name, in any case: ``spot``, ``linear``, ``perpetual``, ``um``, ``inverse``, ``cm`` and so on.

    Raises:
        UnknownName: It is none of them.
    """
    if isinstance(text, MarketType):
        return text
    found = MARKETS.get(text.strip().lower().replace("-", ""))
    if found is None:
        raise UnknownName(f"{name} {text!r} is unknown; {_nearest(text, MARKETS)}use one of {', '.join(MARKETS)}")
    return found


def markets_of(exchange: str, market: MarketType | str | None = None) -> list[type[ExchangeAdapter]]:
    """
    Return the markets of an exchange, spot first; with ``market``, that one.

    ``exchange`` is a name in any case, with or without a market: ``binance``, ``Huobi``, ``OKX_perpetual``.

    Raises:
        UnknownName: The exchange has no adapter, or no such market, or names another one; the message has the nearest.
    """
    wanted = None if market is None else market_type(market)
    name = canonical(exchange)
    found = [each for each in ExchangeRegistry.adapters() if name in {_exchange(each), each.id}]
    if not found:
        try:
            found = [ExchangeRegistry.get(exchange.strip().lower())]
        except UnknownName:
            known = {_exchange(each) for each in ExchangeRegistry.adapters()}
            spelled = [*known, *ExchangeRegistry.names(), *(other for each in known for other in other_names(each))]
            raise UnknownName(
                f"{exchange!r} is not an exchange; {_nearest(name, spelled)}there is {', '.join(sorted(known))}"
            ) from None
    fitting = [each for each in found if wanted in {None, each.market_type}]
    if not fitting:
        has = ", ".join(each.id for each in found)
        raise UnknownName(f"{exchange} has no market {market}; it has {has}")
    return sorted(fitting, key=lambda each: _ORDER.index(each.market_type))


def candidates(
    exchange: str, symbol: str, market: MarketType | str | None = None, *, funding: bool = False
) -> list[Candidate]:
    """
    Return the markets whose symbols can be spelled like this one, spot first; with ``funding``, those that have rates.

    There is at least one. ``BTCUSDT`` is also a spelling where an exchange writes ``BTC-USDT``.

    Raises:
        UnknownName: As ``markets_of``.
        UnsupportedRequest: None of these markets has funding rates.
        InvalidSymbol: It is a symbol of none of the markets.
    """
    require_symbol(symbol)
    markets = markets_of(exchange, market)
    if funding:
        names = ", ".join(each.id for each in markets)
        markets = [each for each in markets if each.funding_page_size]
        if not markets:
            raise UnsupportedRequest(f"{names} has no funding rates; perpetuals have, e.g. BTC/USDT:USDT")
    refused: list[InvalidSymbol] = []
    found = []
    for each in markets:
        try:
            found.append(Candidate(each, _spelled(each(), symbol)))
        except InvalidSymbol as error:
            refused.append(error)
    if found:
        return found
    if len(refused) == 1:
        raise refused[0]
    raise InvalidSymbol(
        f"{symbol!r} is not a symbol of {exchange}; write e.g. BTC/USDT for spot, BTC/USDT:USDT for linear, BTC/USD:BTC for inverse"
    )


def in_its_market(markets: list[Candidate], fetch: Callable[[Candidate], _T], lists: Callable[[Candidate], bool]) -> _T:
    """
    Fetch from the first of the markets; if it does not know the symbol, from the only other one that lists it.

    Raises:
        InvalidSymbol: No market knows it, or several of the others list it; the message names them.
    """
    first, *others = markets
    try:
        return fetch(first)
    except WrongMarket:
        raise
    except InvalidSymbol:
        other = _only(first, others, lists)
        if other is None:
            raise
    return fetch(other)


def market_of(markets: list[Candidate], listed: Callable[[type[ExchangeAdapter]], Collection[str] | None]) -> Candidate:
    """
    Return the first of the markets if it lists the symbol, otherwise the only other one that does.

    ``listed`` returns the exchange's spellings of what a market lists; ``None`` if that is unknown, when the first is
    taken, as it is if none lists the symbol.

    Raises:
        InvalidSymbol: Several of the others list it; the message names them.
    """
    first, *others = markets
    if not others:
        return first
    known = listed(first.adapter)
    if known is None or first.symbol in known:
        return first
    return _only(first, others, lambda each: each.symbol in (listed(each.adapter) or ())) or first


def known_market(adapters: Iterable[ExchangeAdapter], symbol: str) -> tuple[ExchangeAdapter, str, Instrument] | None:
    """
    Return the market of a symbol without a separator, its spelling there and its instrument.

    As ``market_of`` chooses, by the lists that the adapters have read: the first market, spot before others, if it lists
    the symbol or no other one does, otherwise the only other one that does; ``None`` if none can spell it.

    Raises:
        InvalidSymbol: Several besides the first list it; the message names them.
    """
    found: dict[Candidate, tuple[ExchangeAdapter, str, Instrument]] = {}
    for each in sorted(adapters, key=lambda each: _ORDER.index(each.market_type)):
        with suppress(InvalidSymbol):
            spelled = _spelled(each, symbol)
            text = each.names.text_of(spelled) or separated(symbol)
            instrument = None if text is None else each.instrument(text)
            if instrument is not None:
                found[Candidate(type(each), spelled)] = each, spelled, instrument
    if not found:
        return None

    def lists(market: Candidate) -> bool:
        return found[market][0].names.lists(market.symbol)

    first, *others = found
    return found[first if lists(first) else _only(first, others, lists) or first]


def separated(symbol: str) -> str | None:
    """Return ``BTC-USDT`` for ``BTCUSDT`` and ``BTC_USDT``; ``None`` if it ends with no known quote asset."""
    text = capitals(symbol)
    quote = next((each for each in _QUOTES if text.endswith(each)), "")
    base = text.removesuffix(quote).removesuffix("_")
    return f"{base}-{quote}" if quote and base.isalnum() else None


def in_market(exchange: str, symbol: str, market: MarketType | str) -> str:
    """
    Return a symbol of one market in ccxt's notation, which names the market, or in the exchange's own spelling.

    Raises:
        UnknownName: As ``markets_of``.
        InvalidSymbol: It is not a symbol of the market.
    """
    (found,) = candidates(exchange, symbol, market)
    adapter = found.adapter()
    text = separated(symbol)
    instrument = adapter.instrument(symbol) or (None if text is None else adapter.instrument(text))
    return found.symbol if instrument is None else str(instrument)


def _only(first: Candidate, others: Iterable[Candidate], lists: Callable[[Candidate], bool]) -> Candidate | None:
    """
    Return the only one of the other markets that lists the symbol; ``None`` if none does.

    Raises:
        InvalidSymbol: Several list it; the message names them.
    """
    listed = [each for each in others if lists(each)]
    if len(listed) > 1:
        names = ", ".join(each.adapter.id for each in listed)
        raise InvalidSymbol(f"{first.symbol!r} is listed by {names}; name one of them as exchange")
    return listed[0] if listed else None


def _spelled(adapter: ExchangeAdapter, symbol: str) -> str:
    try:
        return adapter.symbol(symbol)
    except WrongMarket:
        raise
    except InvalidSymbol:
        text = separated(symbol)
        if text is None:
            raise
        return adapter.symbol(text)


def _exchange(adapter: type[ExchangeAdapter]) -> str:
    return adapter.provider.value.lower()


def _nearest(text: str, known: Iterable[str]) -> str:
    """Return ``did you mean …? ``, or nothing if no known name is near."""
    found = difflib.get_close_matches(text.strip().lower(), list(known), n=1)
    return f"did you mean {found[0]}? " if found else ""
