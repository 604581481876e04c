"""``chandlery fetch`` against the offline exchange."""

from __future__ import annotations

import csv
import os
import pty
import subprocess
import termios

import pyarrow.parquet as pq
import pytest

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.provenance import EventKind, Provenance
from chandlery.core.time import DAY, HOUR, iso
from chandlery.sim.faults import Fault, FaultKind

JANUARY_1 = 1_704_067_200_000_000
DAY_1 = ("--start", "2024-01-01", "--end", "2024-01-02")


@pytest.fixture
def fetch(chandlery, exchange, tmp_path):
    """Runs ``chandlery fetch`` with a cache of its own."""

    def call(*args):
        return chandlery("fetch", *args, "--cache-dir", tmp_path / "cache")

    return call


def test_without_output_there_is_a_table_and_an_account(fetch):
    """First and last rows, sources, gaps and events on stdout; nothing on stderr."""
    code, out, err = fetch("BTCUSDT", "1h", *DAY_1)

    assert (0, "") == (code, err)
    assert "BTCUSDT 1h, BINANCE SPOT KLINES: 24 candles" in out
    assert "2024-01-01T00:00:00Z" in out
    assert "2024-01-01T23:00:00Z" in out
    assert "2024-01-02T00:00:00Z" not in out
    assert ["vision", "24", "1"] in [line.split() for line in out.splitlines()]
    assert "gaps: none\nevents: none\n" in out
    assert "\x1b" not in out


def test_volumes_in_another_unit(fetch, tmp_path):
    """They are converted; a unit that the exchange does not have is refused."""
    code, _, _ = fetch("BTCUSDT", "1h", *DAY_1, "--volume-unit", "quote", "-o", tmp_path / "quote.parquet")
    table = pq.read_table(tmp_path / "quote.parquet")
    refused, _, said = fetch("BTCUSDT", "1h", *DAY_1, "--volume-unit", "coins")

    assert 0 == code
    assert table.column("volume").to_pylist() == table.column("quote_asset_volume").to_pylist()
    assert (2, True) == (refused, "--volume-unit is 'coins'" in said)


def test_several_symbols(fetch):
    """One line a symbol, of each market that was taken; one progress, one report."""
    code, out, err = fetch("BTCUSDT", "ETH/USDT:USDT", "1h", *DAY_1)

    assert (0, "") == (code, err)
    assert "2 symbols 1h, binance_spot, binance_perpetual KLINES: 48 candles" in out
    assert [["BTCUSDT", "24", "0"], ["ETH/USDT:USDT", "24", "0"]] == [
        line.split() for line in out.splitlines() if "USDT" in line
    ]
    assert "gaps: none" in out


def test_symbols_of_a_file_and_of_a_search(fetch, tmp_path):
    """Into one file, with the column ``symbol``; the words of the command line come first."""
    listed = tmp_path / "symbols.txt"
    listed.write_text("# majors\nBTCUSDT, ETHUSDT\n\nBTCUSDT # again\n")

    first, _, said = fetch("1h", *DAY_1, "--symbols-file", listed, "-o", tmp_path / "two.parquet")
    second, _, _ = fetch("1d", *DAY_1, "--all", "linear ETH", "-o", tmp_path / "all.csv")

    assert (0, 0) == (first, second)
    assert "two.parquet: 48 rows of 2 symbols\n" in said
    two = pq.read_table(tmp_path / "two.parquet")
    assert [*["BTCUSDT"] * 24, *["ETHUSDT"] * 24] == two.column("symbol").to_pylist()
    rows = list(csv.DictReader((tmp_path / "all.csv").read_text().splitlines()))
    assert "ETH/USDT:USDT" in {row["symbol"] for row in rows}
    assert all("ETH" in row["symbol"] for row in rows)


def test_a_symbol_that_is_none_among_others(fetch, tmp_path):
    """Code 3, as for all data that cannot be fetched; the others are written if that is wanted."""
    words = ("BTCUSDT", "NOPEUSDT", "1h", *DAY_1, "-o", tmp_path / "some.csv")
    code, _, said = fetch(*words)

    assert (3, False) == (code, (tmp_path / "some.csv").exists())
    assert "NOPEUSDT: binance_spot does not know the symbol" in said
    assert (0, True) == (fetch(*words, "--on-missing", "report")[0], (tmp_path / "some.csv").exists())


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("1h",), "name at least one symbol, or use --symbols-file or --all"),
        (("--all", "zzz"), "--all 'zzz' matches no listed instrument of binance"),
        (("--symbols-file", "/nowhere"), "cannot read the symbols in /nowhere"),
    ],
)
def test_no_symbols(fetch, args, said):
    """One line, code 2."""
    code, _, err = fetch(*args, *DAY_1)

    assert 2 == code
    assert said in err


def test_again_it_comes_from_the_cache(fetch, exchange):
    """The second time nothing is downloaded, and the account says so."""
    fetch("BTCUSDT", "1h", *DAY_1)
    exchange.log.clear()

    _, out, _ = fetch("BTCUSDT", "1h", *DAY_1)

    assert "cache (vision)" in out
    assert [] == [path for _, path, _ in exchange.log if "klines" in path]


def test_csv_is_the_market(fetch, exchange, tmp_path):
    """Every number in the file is the exchange's, and stderr has one line."""
    code, out, err = fetch("BTC/USDT", "1h", *DAY_1, "-o", tmp_path / "out.csv", "--no-cache")

    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    market = exchange.market.candles(MarketType.SPOT, "BTCUSDT", Interval.HOUR_1, Span(JANUARY_1, JANUARY_1 + DAY))
    assert (0, "") == (code, out)
    assert f"{tmp_path / 'out.csv'}: 24 rows (24 from vision)\n" == err
    assert market["close"].tolist() == [float(row["close"]) for row in rows]
    assert market["count"].tolist() == [int(row["count"]) for row in rows]
    assert not (tmp_path / "cache").exists()


def test_funding(fetch, tmp_path):
    """Funding rates need no interval; they are those of the perpetual."""
    code, out, err = fetch("BTCUSDT", "--type", "funding", *DAY_1)

    assert (0, "") == (code, err)
    assert "BTCUSDT, BINANCE FUTURES_USDT FUNDING_RATE: 3 rows" in out


def test_dates_without_a_zone_are_utc_and_offsets_count(fetch, tmp_path):
    """One o'clock in +01:00 is midnight UTC."""
    _, out, _ = fetch("BTCUSDT", "1h", "--start", "2024-01-01T01:00+01:00", "--end", "2024-01-01T02:00")

    assert ": 2 candles" in out
    assert "2024-01-01T00:00:00Z" in out


def test_times_in_milliseconds(fetch):
    """An hour of minutes."""
    _, out, _ = fetch("BTCUSDT", "1m", "--start", "1704067200000", "--end", "1704070800000")

    assert "BTCUSDT 1m, BINANCE SPOT KLINES: 60 candles" in out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("BTC/USDT:USDT", "1h"), "BTC/USDT:USDT 1h, BINANCE FUTURES_USDT KLINES: 24 candles"),
        (
            ("BTCUSDT", "1h", "--exchange", "OKX", "--market", "futures"),
            "BTCUSDT 1h, OKX FUTURES_USDT KLINES: 24 candles",
        ),
        (("BTCUSDT", "1h", "-e", "Binance_Spot"), "BTCUSDT 1h, BINANCE SPOT KLINES: 24 candles"),
        (("BTCUSDT",), "BTCUSDT 1m, BINANCE SPOT KLINES: 1,440 candles"),
    ],
)
def test_exchange_market_and_symbol_in_any_spelling(fetch, args, said):
    """The first line names the market taken; a minute is the default."""
    code, out, _ = fetch(*args, *DAY_1)

    assert (0, said) == (code, out.splitlines()[0])


def test_the_last_hours(fetch):
    """``--last`` ends now and takes no other time."""
    code, out, _ = fetch("BTCUSDT", "1h", "--last", "5h", "--include-open")
    assert (0, True) == (code, ": 5 candles" in out)

    for wrong, says in (
        ((), "give --start"),
        (("--last", "5h", "--end", "2024-01-01"), "--last alone"),
        (("--last", "5h", "--start", "2024-01-01"), "--last alone"),
        (("--last", "five"), "--last 'five' is not a time"),
    ):
        code, _, err = fetch("BTCUSDT", "1h", *wrong)
        assert (2, True) == (code, says in err)


def test_end_defaults_to_now_and_the_running_candle_is_only_there_if_asked_for(fetch, exchange, tmp_path):
    """With ``--include-open`` a column marks it."""
    start = Interval.HOUR_1.floor(exchange.clock()) - HOUR
    text = ("--start", iso(start))

    _, without, _ = fetch("BTCUSDT", "1m", *text)
    _, with_it, _ = fetch("BTCUSDT", "1m", *text, "--include-open")

    assert "closed" not in without
    assert "closed" in with_it
    assert "False" in with_it


def test_a_fault_that_is_survived_is_an_event(fetch, exchange, tmp_path):
    """A bad checksum sends the day to REST; the line on stderr and the file tell."""
    exchange.faults.append(Fault(FaultKind.BAD_CHECKSUM, times=2))

    code, _, err = fetch("BTCUSDT", "1h", *DAY_1, "-o", tmp_path / "out.parquet")

    account = Provenance.from_json(pq.read_schema(tmp_path / "out.parquet").metadata[b"chandlery"])
    assert 0 == code
    assert "24 from rest" in err
    assert "1 bad_checksum" in err
    assert {EventKind.BAD_CHECKSUM} == {event.kind for event in account.events}


def test_incomplete_data_is_code_3_and_writes_nothing(fetch, exchange, tmp_path):
    """With ``--on-missing report`` the rest is taken, and the gap told."""
    exchange.faults.append(Fault(FaultKind.MISSING_DAY, "2024-01-02", times=None))
    range_ = ("--start", "2024-01-01", "--end", "2024-01-03", "--source", "vision", "-o", tmp_path / "out.csv")

    code, out, err = fetch("BTCUSDT", "1h", *range_)

    assert (3, "") == (code, out)
    assert err.startswith("chandlery: incomplete: [2024-01-02T00:00:00Z, 2024-01-03T00:00:00Z)")
    assert 1 == err.count("\n")
    assert not (tmp_path / "out.csv").exists()

    code, _, err = fetch("BTCUSDT", "1h", *range_, "--on-missing", "report")

    assert 0 == code
    assert "24 rows" in err
    assert "1 gap (1 not_in_archive)" in err
    assert 25 == len((tmp_path / "out.csv").read_text().splitlines())


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("BTCUSDT", "7m", *DAY_1), "'7m' is not an interval"),
        (("BTCUSDT", "1mo", *DAY_1), "1m is a minute, 1M a month"),
        (("BTCUSDT", "1s", *DAY_1, "--market", "um"), "binance_perpetual has no 1s candles"),
        (("BTCUSDT", "1h", "--start", "yesterday"), "--start 'yesterday' is not a time"),
        (("BTCUSDT", "1h", "--start", "2024-01-02", "--end", "2024-01-01"), "not after its start"),
        (("BTCUSDT", "1h", "--start", "2024-01-01", "--end", "2024-01-01"), "not after its start"),
        (("BTCUSDT", "1h", "--start", "2999-01-01", "--end", "2999-01-02"), "in the future"),
        (("BTCUSDT", "1h", "--start", "1969-01-01", "--end", "2024-01-01"), "before 1970"),
        (("BTCUSDT", "1h", *DAY_1, "--market", "margin"), "--market 'margin' is unknown"),
        (("BTCUSDT", "1h", *DAY_1, "--source", "magic"), "--source 'magic' is unknown"),
        (("BTCUSDT", "1h", *DAY_1, "--type", "trades"), "--type 'trades' is unknown"),
        (("BTCUSDT", "1h", *DAY_1, "--on-missing", "panic"), "--on-missing 'panic' is unknown"),
        (("../x", "1h", *DAY_1), "is not"),
        (("..", "1h", *DAY_1), "is not"),
        (("", "1h", *DAY_1), "the symbol is empty"),
        (("BTCUSDT", *DAY_1, "--type", "funding", "--market", "spot"), "has no funding rates"),
        (("BTCUSDT", *DAY_1, "--exchange", "binanec"), "did you mean binance?"),
        (("BTCUSDT", *DAY_1, "--exchange", "binance_spot", "--market", "um"), "binance_spot has no market"),
        (("BTCUSDT", "1h", *DAY_1, "--endpoints", "{"), "not JSON like"),
        (("BTCUSDT", "1h", *DAY_1, "-o", "out.xlsx"), "the suffix selects the format"),
        (("BTCUSDT", "1h", *DAY_1, "-o", "missing/out.csv"), "there is no folder"),
    ],
)
def test_mistakes_are_one_line_code_2_and_ask_the_exchange_nothing(fetch, exchange, tmp_path, args, said):
    """Whatever is typed wrongly is told in one line before anything is sent; only what time it is, the exchange says."""
    code, out, err = fetch(*args)

    assert (2, "") == (code, out)
    assert err.startswith("chandlery: ")
    assert said in err
    assert 1 == err.count("\n")
    assert [] == [path for _, path, _ in exchange.log if not path.endswith("/time")]
    assert not (tmp_path / "cache").exists()


def test_bad_json_in_the_environment(chandlery, monkeypatch):
    """``CHANDLERY_ENDPOINTS`` is checked as the option is."""
    monkeypatch.setenv("CHANDLERY_ENDPOINTS", "{nonsense")

    code, _, err = chandlery("fetch", "BTCUSDT", "1h", *DAY_1)

    assert 2 == code
    assert "the endpoints are not JSON" in err


def test_a_pipe_gets_no_progress_bar(process, exchange, tmp_path):
    """Neither stdout nor stderr has anything but the result."""
    child = process(
        "fetch", "BTCUSDT", "1h", *DAY_1, "--cache-dir", tmp_path / "cache",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, err = child.communicate(timeout=30)

    assert (0, b"") == (child.returncode, err)
    assert b"\x1b" not in out
    assert b"24 candles" in out


def test_a_terminal_gets_a_progress_bar_and_a_table_that_fits(process, exchange, tmp_path, monkeypatch):
    """The bar goes to stderr and is gone afterwards; no line is wider than the terminal."""
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    bar_end, bar = pty.openpty()
    table_end, table = pty.openpty()
    for terminal in (bar, table):
        termios.tcsetwinsize(terminal, (24, 80))
    child = process(
        "fetch", "BTCUSDT", "1m", *DAY_1, "--cache-dir", tmp_path,
        stdin=table, stdout=table, stderr=bar,
    )  # fmt: skip
    os.close(bar)
    os.close(table)
    drawn, printed = _read_all(bar_end), _read_all(table_end)

    assert 0 == child.wait(30)
    assert "1440/1440" in drawn
    assert "\x1b[2K" in drawn
    assert "1,440 candles" in printed
    rows = [line for line in printed.splitlines() if line.startswith("2024-")]
    assert 10 == len(rows)
    assert max(map(len, rows)) <= 80
    assert "not shown: " in printed
    assert "…" not in printed


def test_a_terminal_shows_what_is_waited_for(process, exchange, tmp_path, monkeypatch):
    """The request, the reason and the attempt, above the bar."""
    monkeypatch.setenv("TERM", "xterm")
    end, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 200))
    exchange.faults.append(Fault(FaultKind.SERVER_ERROR, path="klines", times=2))
    child = process(
        "fetch", "BTCUSDT", "1h", *DAY_1, "--source", "rest", "--cache-dir", tmp_path,
        stdout=subprocess.DEVNULL, stderr=terminal,
    )  # fmt: skip
    os.close(terminal)
    drawn = _read_all(end)

    assert 0 == child.wait(30)
    assert 2 == drawn.count("waiting: GET 127.0.0.1/")
    assert "/klines" in drawn
    assert "; attempt 1 of " in drawn


def _read_all(end):
    """All that a terminal was sent until the other side closed it."""
    parts = []
    try:
        while part := os.read(end, 65536):
            parts.append(part)
    except OSError:  # how a terminal says that it is over
        pass
    os.close(end)
    return b"".join(parts).decode()


def test_any_exchange(chandlery, exchange, tmp_path):
    """``--exchange`` takes any id; the rows of one market are the same wherever they come from."""
    rows = {}
    for name, symbol in (("binance_spot", "BTCUSDT"), ("okx_spot", "BTC-USDT"), ("htx_spot", "BTC-USDT")):
        path = tmp_path / f"{name}.csv"
        span = ("--start", "2025-01-01", "--end", "2025-01-01T03:00", "--cache-dir", tmp_path)
        code, _, err = chandlery("fetch", symbol, "1h", "--exchange", name, *span, "-o", path)
        assert 0 == code, err
        rows[name] = [line.split(",")[:6] for line in path.read_text().splitlines()[1:]]

    assert 3 == len(rows["binance_spot"])
    assert rows["binance_spot"] == rows["okx_spot"] == rows["htx_spot"]


def test_what_is_signed_in_with_comes_from_the_environment(fetch, monkeypatch):
    """An exchange that answers only to who has signed in takes what the environment says; without it, it is said what lacks."""
    question = ("MSFT", "1h", "--exchange", "tradestation", *DAY_1)
    for name in ("CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN"):
        monkeypatch.delenv(f"TRADESTATION_{name}", raising=False)
    code, _, err = fetch(*question)

    assert 2 == code
    assert "client_id" in err

    for name in ("CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN"):
        monkeypatch.setenv(f"TRADESTATION_{name}", "x")
    code, out, _ = fetch(*question)

    assert 0 == code
    assert "MSFT 1h, TRADESTATION SPOT KLINES: 24 candles" in out
