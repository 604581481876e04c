"""``chandlery probe`` against the offline exchange."""

from __future__ import annotations

import json

from chandlery.probe.findings import read_bundle
from chandlery.sim import SyntheticMarket, running
from fixtures.support import SPOT


def test_it_prints_what_it_measured(chandlery, tmp_path):
    """Declared, measured, verdict; 1 where anything differs; a bundle of what was recorded."""
    with running(SyntheticMarket(symbols={SPOT: ["BTCUSDT"]}), exchanges=["binance_spot"]) as exchange:
        asked = ("probe", "binance_spot", "--seconds", 0, "--endpoints", json.dumps(exchange.endpoints))
        code, out, _ = chandlery(*asked)

        assert 0 == code, out
        assert "page_size" in out
        assert "differs" not in out

        exchange.differ({"binance_spot": {"page_size": 100}})
        code, out, err = chandlery(*asked, "--bundle", tmp_path)

    assert 1 == code
    assert ["page_size 1000 100 differs"] == [" ".join(line.split()) for line in out.splitlines() if "differs" in line]
    bundle = read_bundle(tmp_path / "binance_spot" / "probe.json")
    assert str(tmp_path) in err
    assert {"rest_candles", "rest_error", "server_time", "instruments"} == {each.kind for each in bundle.recordings}


def test_mistakes_are_one_line(chandlery):
    """No exchange, or one that there is not."""
    for args, said in (((), "give an exchange, or --all"), (("nowhere",), "nowhere")):
        code, out, err = chandlery("probe", *args)

        assert (2, "") == (code, out)
        assert said in err
        assert 1 == err.count("\n")
