"""``chandlery instruments``."""

from __future__ import annotations

import json


def test_a_table_of_what_matches_best(chandlery, exchange):
    """The perpetuals of Bitcoin."""
    code, out, _ = chandlery("instruments", "Binance", "btc", "perp")

    rows = [line.split() for line in out.splitlines()[2:-1]]
    assert 0 == code
    assert ["BTC/USDT:USDT", "BTCUSDT", "perpetual", "listed"] in [row[:4] for row in rows]
    assert {"perpetual"} == {row[2] for row in rows}
    assert f"{len(rows)} instruments of" in out


def test_the_table_says_what_it_leaves_out(chandlery, exchange):
    """And how to see it."""
    _, out, _ = chandlery("instruments", "okx_spot", "--limit", "2")

    assert 2 + 2 + 1 == len(out.splitlines())
    assert "the first 2 are shown, --limit shows more" in out


def test_json_has_all(chandlery, exchange):
    """Each with market, both spellings, steps and the unit of volume."""
    code, out, _ = chandlery("instruments", "binance", "--market", "linear", "--status", "all", "--json")
    rows = json.loads(out)
    (bitcoin,) = [each for each in rows if each["symbol"] == "BTC/USDT:USDT"]

    assert (0, {"binance_perpetual"}) == (code, {each["exchange"] for each in rows})
    assert ("BTCUSDT", "USDT", "perpetual", "base") == (
        bitcoin["exchange_symbol"],
        bitcoin["settle"],
        bitcoin["kind"],
        bitcoin["volume_unit"],
    )
    assert bitcoin["tick_size"] > 0


def test_nothing_found(chandlery, exchange):
    """It is a result, not an error."""
    code, out, _ = chandlery("instruments", "binance", "doesnotexist")
    assert (0, True) == (code, out.startswith("0 instruments of"))


def test_mistakes(chandlery, exchange):
    """One line that names what there is."""
    for args, said in (
        (("binance", "--market", "lineer"), "--market 'lineer' is unknown; did you mean linear?"),
        (("binance", "--status", "gone"), "use one of listed, upcoming, halted, delisted, all"),
        (("binanec",), "did you mean binance"),
    ):
        code, out, err = chandlery("instruments", *args)
        assert (2, "", True) == (code, out, said in " ".join(err.split()))
