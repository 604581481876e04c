"""Exit codes, one-line errors, broken pipes and the time to start."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

import chandlery as library

DAY = ("--start", "2024-01-01", "--end", "2024-01-02")


def one_line(text):
    """The one line that a text has."""
    assert text.startswith("chandlery: ")
    assert text.endswith("\n")
    assert 1 == text.count("\n")
    return text


def test_version(chandlery):
    """``--version`` prints name and version."""
    assert (0, f"chandlery {library.__version__}\n", "") == chandlery("--version")


@pytest.mark.parametrize("args", [(), ("--help",), ("fetch", "--help"), ("cache", "--help"), ("sim", "--help")])
def test_help(chandlery, args):
    """Help, also where nothing is asked, goes to stdout and is no failure."""
    code, out, err = chandlery(*args)

    assert (0, "") == (code, err)
    assert "Usage: chandlery" in out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("bogus",), "No such command 'bogus'"),
        (("cache",), "Missing command"),
        (("fetch", "BTCUSDT", "1h", *DAY, "--bogus"), "No such option"),
        (("sim", "--port", "x"), "Invalid value for '--port'"),
        (("sim", "--port", "70000"), "Invalid value for '--port'"),
    ],
)
def test_what_the_parser_refuses_is_one_line_and_code_2(chandlery, args, said):
    """Wrong options and commands are told in one line, without a usage box."""
    code, out, err = chandlery(*args)

    assert (2, "") == (code, out)
    assert said in one_line(err)
    assert "see chandlery --help" in err


def test_help_is_quick_and_loads_nothing_heavy():
    """No frame library, no Arrow and no HTTP client is loaded for the help."""
    heavy = "{'aiohttp', 'numpy', 'pandas', 'polars', 'pyarrow'}"
    code = f"import sys; from chandlery.cli.app import run; run(['--help']); sys.exit(str({heavy} & set(sys.modules) or ''))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)

    assert "" == done.stderr.strip()


def test_a_reader_that_stops_early_is_no_failure(process, exchange, tmp_path):
    """With stdout closed by the reader, as ``head`` does, nothing is said and the code is 0."""
    child = process(
        "fetch", "BTCUSDT", "1h", *DAY, "--cache-dir", tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    child.stdout.close()

    assert b"" == child.stderr.read()
    assert 0 == child.wait(30)


def test_ctrl_c_ends_a_fetch_quietly(process, exchange, tmp_path):
    """An interrupted fetch has the code 130, no traceback, and leaves no file."""
    from chandlery.sim.faults import Fault, FaultKind

    exchange.faults.append(Fault(FaultKind.SERVER_ERROR, times=None))
    child = process(
        "fetch", "BTCUSDT", "1h", *DAY, "--cache-dir", tmp_path / "cache", "-o", tmp_path / "out.csv",
        stderr=subprocess.PIPE,
    )  # fmt: skip
    pause = threading.Event()
    while not exchange.log and child.poll() is None:  # it is under way once it has asked
        pause.wait(0.01)
    child.send_signal(signal.SIGINT)

    assert b"" == child.stderr.read()
    assert 130 == child.wait(30)
    assert [] == [path.name for path in tmp_path.iterdir() if "out" in path.name]


def test_a_failure_of_the_disk_is_code_1(chandlery, exchange, tmp_path):
    """A cache folder that is a file is a failure in one line."""
    (tmp_path / "file").write_text("x")

    code, out, err = chandlery("fetch", "BTCUSDT", "1h", *DAY, "--cache-dir", tmp_path / "file")

    assert (1, "") == (code, out)
    assert "cannot be" in one_line(err)


@pytest.mark.parametrize("wrong", ["", " ", "a\0b"], ids=["empty", "blank", "NUL"])
@pytest.mark.parametrize(
    ("args", "option"),
    [
        (("fetch", "BTCUSDT", "1h", *DAY, "--cache-dir"), "--cache-dir"),
        (("cache", "ls", "--cache-dir"), "--cache-dir"),
        (("cache", "info", "--cache-dir"), "--cache-dir"),
        (("cache", "verify", "--cache-dir"), "--cache-dir"),
        (("cache", "clean", "--cache-dir"), "--cache-dir"),
        (("cache", "adopt"), "DIR"),
        (("db", "check", "--data-dir"), "--data-dir"),
        (("auth", "list", "--data-dir"), "--data-dir"),
        (("serve", "--no-auth", "--data-dir"), "--data-dir"),
        (("mcp", "--data-dir"), "--data-dir"),
    ],
    ids=lambda each: " ".join(each[:2]) if isinstance(each, tuple) else "",
)
def test_what_is_no_folder_is_refused(chandlery, tmp_path, monkeypatch, args, option, wrong):
    """In one line; empty text is not the folder that one happens to be in."""
    monkeypatch.chdir(tmp_path)
    code, out, err = chandlery(*args, wrong)

    assert (2, "") == (code, out)
    assert f"{option} is {wrong!r}, which is not a folder" in one_line(err)
    assert [] == list(tmp_path.iterdir())


def test_the_home_folder_is_meant_by_its_sign(chandlery, exchange, tmp_path, monkeypatch):
    """Also where no shell has replaced it, as in a script or after ``=``."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert 0 == chandlery("fetch", "BTCUSDT", "1h", *DAY, "--cache-dir=~/candles")[0]
    assert 0 == chandlery("db", "migrate", "--data-dir=~/data")[0]

    assert "BTCUSDT" in chandlery("cache", "ls", "--cache-dir", "~/candles")[1]
    assert {"candles", "data"} == {each.name for each in tmp_path.iterdir()}
