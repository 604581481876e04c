"""``chandlery exchanges``: the capability matrix on the terminal and for programs."""

from __future__ import annotations

import json

from chandlery.adapter.capabilities import all_capabilities
from chandlery.adapter.registry import ExchangeRegistry


def test_the_matrix_has_a_line_for_each(chandlery):
    """With intervals, books, and how far back."""
    code, out, err = chandlery("exchanges")
    lines = {line.split()[0]: line for line in out.splitlines() if line.split()}

    assert (0, "") == (code, err)
    assert set(ExchangeRegistry.names()) <= set(lines)
    assert "1s-1M (16)" in lines["binance_spot"]
    assert "1000" in lines["binance_spot"]
    assert " all " in lines["binance_spot"]


def test_one_exchange_in_full(chandlery):
    """All that is declared, and what could not be verified."""
    code, out, _ = chandlery("exchanges", "binance_spot")

    assert 0 == code
    assert "1s 1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w 1M" in out
    for each in ExchangeRegistry.get("binance_spot").unverified:
        assert each in out


def test_an_exchange_whose_sockets_send_no_candles(chandlery):
    """Its candles are polled, so that no live one is ever closed by another."""
    code, out, _ = chandlery("exchanges", "bitstamp_spot")

    assert 0 == code
    assert "polled by REST" in out
    assert "the next candle" not in out


def test_json_for_programs(chandlery):
    """The whole matrix, or one row."""
    _, out, _ = chandlery("exchanges", "--json")
    _, one, _ = chandlery("exchanges", "binance_spot", "--json")

    assert [row.id for row in all_capabilities()] == [row["id"] for row in json.loads(out)]
    assert json.loads(one) == next(row for row in json.loads(out) if row["id"] == "binance_spot")


def test_an_unknown_exchange_is_a_mistake(chandlery):
    """One line, which lists what there is."""
    code, out, err = chandlery("exchanges", "nowhere")

    assert (2, "") == (code, out)
    assert "nowhere" in err
    assert "binance_spot" in err
    assert 1 == err.count("\n")
