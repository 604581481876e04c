"""An instrument that an exchange does not have is ``InvalidSymbol``, in its own words, by REST and on sockets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import ChandleryError, InvalidSymbol, RequestRejected
from chandlery.core.http import Response
from chandlery.sim.wires import wires

# As documented, recorded, or seen on the wire in September 2026.
BY_REST = [
    ("ascendex", 200, '{"code":100008,"reason":"SYMBOL_ERROR","message":"invalid symbol"}'),
    ("binance", 400, '{"code":-1121,"msg":"Invalid symbol."}'),
    ("bybit", 200, '{"retCode":10001,"retMsg":"Not supported symbols","result":{}}'),
    ("bybit", 200, '{"retCode":10001,"retMsg":"params error: Symbol Is Invalid"}'),
    ("coinbase", 404, '{"error":"NOT_FOUND","error_details":"product not found","message":"product not found"}'),
    ("cryptocom", 400, '{"code":40004,"message":"Invalid instrument_name"}'),
    ("gate", 400, '{"label":"INVALID_CURRENCY_PAIR","message":"Invalid currency pair NOPE_USDT"}'),
    ("gate", 400, '{"label":"CONTRACT_NOT_FOUND","message":""}'),
    (
        "htx",
        200,
        '{"ts":1,"status":"error","err-code":"invalid-parameter","err-msg":"contract_code data error or empty"}',
    ),
    ("htx", 200, '{"ts":1,"status":"error","err-code":"invalid-parameter","err-msg":"invalid  symbol"}'),
    ("htx", 200, '{"ts":1,"status":"error","err-code":"invalid-parameter","err-msg":"invalid symbol"}'),
    ("htx", 200, '{"status":"error","err_code":1014,"err_msg":"This contract doesnt exist.","ts":1}'),
    ("hyperliquid", 200, "null"),
    ("kraken", 200, '{"error":["EQuery:Unknown asset pair"]}'),
    ("kucoin", 200, '{"code":"400100","msg":"This pair is not provided at present"}'),
    ("kucoin", 200, '{"code":"900001","msg":"Unsupported trading pair."}'),
    ("mexc", 400, '{"code":-1121,"msg":"Invalid symbol."}'),
    ("mexc", 200, '{"success":false,"code":1001,"message":"contract not exists"}'),
    ("okx", 200, '{"code":"51001","msg":"Instrument ID, Instrument ID code, or Spread ID doesn\'t exist.","data":[]}'),
    ("tradestation", 404, '{"Error":"NotFound","Message":"Invalid Symbol"}'),
]
BY_SOCKET = [
    ("ascendex", '{"m":"error","id":"x","code":100008,"reason":"SYMBOL_ERROR","info":"invalid symbol"}'),
    (
        "bybit",
        '{"success":false,"ret_msg":"error:handler not found,topic:kline.1.NOPE","conn_id":"x","op":"subscribe"}',
    ),
    ("bybit", '{"success":false,"ret_msg":"Invalid symbol :[orderbook.50.NOPE]","conn_id":"x","op":"subscribe"}'),
    ("coinbase", '{"type":"error","message":"failure to subscribe","reason":"NOPE-USD is not a valid product"}'),
    (
        "cryptocom",
        '{"id":1,"method":"subscribe","code":40003,"channel":"book.NOPEUSD-PERP.50","message":"Unknown symbol"}',
    ),
    ("gate", '{"time":1,"channel":"x","event":"subscribe","error":{"code":2,"message":"unknown currency pair: X"}}'),
    ("htx", '{"status":"error","ts":1,"id":"e","err-code":"bad-request","err-msg":"invalid topic market.NOPE-USDT.x"}'),
    ("htx", '{"status":"error","ts":1,"id":"x","err-code":"bad-request","err-msg":"invalid symbol xx"}'),
    (
        "kraken",
        '{"error":"Currency pair not supported FOO/BAR","method":"subscribe","success":false,"symbol":"FOO/BAR"}',
    ),
    ("kucoin", '{"id":"1","code":404,"data":"topic /market/candles:XX-USDT_1min is not found","type":"error"}'),
    ("mexc_inverse", '{"channel":"rs.error","data":"Contract [NOPE_USDT] not exists","ts":1789498321790}'),
    ("mexc_perpetual", '{"channel":"rs.error","data":"Contract [NOPE_USDT] not exists","ts":1789498321790}'),
    ("okx", '{"event":"error","code":"60018","msg":"Wrong URL or channel:candle1m,instId:XX-USDT doesn\'t exist."}'),
]
SILENT = {"hyperliquid", "mexc_spot", "tradestation"}
"""Whose sockets say nothing of an unknown instrument that could be told from anything else, or have none."""
OTHERS_BY_REST = [
    ("binance", 400, '{"code":-1120,"msg":"Invalid interval."}'),
    ("bybit", 200, '{"retCode":10001,"retMsg":"params error: limit invalid"}'),
    ("cryptocom", 400, '{"code":40004,"message":"Invalid timeframe"}'),
    ("gate", 400, '{"label":"INVALID_PARAM_VALUE","message":"invalid interval"}'),
    ("htx", 200, '{"ts":1,"status":"error","err-code":"invalid-parameter","err-msg":"invalid period"}'),
    ("kraken", 200, '{"error":["EGeneral:Invalid arguments"]}'),
    ("kucoin", 200, '{"code":"400100","msg":"Parameter Error"}'),
    ("mexc", 400, '{"code":-1100,"msg":"Illegal characters"}'),
    ("okx", 200, '{"code":"51000","msg":"Parameter bar error","data":[]}'),
]


def of(exchange: str) -> list[str]:
    """The markets of an exchange, or the one that is named."""
    names = ExchangeRegistry.names()
    return [exchange] if exchange in names else [each for each in names if each.startswith(f"{exchange}_")]


def each_market(cases):
    """The cases for every market of their exchange."""
    return [(market, *rest) for exchange, *rest in cases for market in of(exchange)]


@pytest.mark.parametrize(("exchange", "status", "body"), each_market(BY_REST))
def test_by_rest(exchange, status, body):
    """Whatever the status; the error names the exchange and gives its words."""
    error = ExchangeRegistry.create(exchange).error(Response(status, {}, body.encode()))

    assert InvalidSymbol is type(error)
    assert exchange in str(error)


@pytest.mark.parametrize(("exchange", "message"), each_market(BY_SOCKET))
@pytest.mark.parametrize("read", ["live_rows", "book_updates"])
def test_on_sockets(exchange, message, read):
    """Of candles and of books."""
    adapter = ExchangeRegistry.create(exchange)
    with pytest.raises(InvalidSymbol, match=exchange):
        getattr(adapter, read)(message.encode())


@pytest.mark.parametrize(("exchange", "status", "body"), each_market(OTHERS_BY_REST))
def test_other_refusals_are_not_of_the_instrument(exchange, status, body):
    """Though they have the same code, or begin alike."""
    assert RequestRejected is type(ExchangeRegistry.create(exchange).error(Response(status, {}, body.encode())))


def written(exchange: str, kind: str) -> bool:
    """Whether one of its payloads is such a refusal."""
    files = (Path(__file__).parent / "synthetic" / exchange).glob(f"{kind}*.json")
    return any(json.loads(path.read_text())["expect"] == "InvalidSymbol" for path in files)


@pytest.mark.parametrize("exchange", ExchangeRegistry.names())
def test_every_exchange_takes_part(exchange):
    """By its words here or in its payloads, or because its sockets are silent."""
    adapter = ExchangeRegistry.get(exchange)
    wire = wires().get(exchange)
    silent = any(exchange in of(each) for each in SILENT) or (wire is not None and wire.takes_unknown)
    has_socket = bool(adapter.live_intervals or adapter.book_depths)

    assert any(exchange in of(each) for each, *_ in BY_REST) or written(exchange, "rest_error")
    assert not has_socket or silent != (
        any(exchange in of(each) for each, *_ in BY_SOCKET) or written(exchange, "live_error")
    )


def test_words_are_told_by_the_code_before_them():
    """The same code for another reason stays what it was."""
    adapter = ExchangeRegistry.create("cryptocom_spot")
    errors: list[ChandleryError] = [
        adapter.refused(words, code=40003) for words in ("Unknown symbol", "INVALID_REQUEST")
    ]

    assert [InvalidSymbol, RequestRejected] == list(map(type, errors))
