"""What is written on the command line, right and wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from chandlery.cli import arguments
from chandlery.core.errors import InvalidInput, UnknownName
from chandlery.sim.faults import FaultKind


@pytest.mark.parametrize("parse", [arguments.chart_type, arguments.source])
def test_unknown_names_are_refused_with_the_known(parse):
    """The message lists what there is."""
    with pytest.raises(UnknownName, match="'swap' is unknown; use one of"):
        parse("swap")


def test_endpoints():
    """JSON by exchange; nothing is no endpoints."""
    url = "http://127.0.0.1:8080"

    assert {"binance_spot": {"rest": url}} == arguments.endpoints(f'{{"binance_spot": {{"rest": "{url}"}}}}')
    assert {"okx_spot": {"site": "eea"}} == arguments.endpoints('{"okx_spot": {"site": "eea"}}')
    assert {} == arguments.endpoints("") == arguments.endpoints(None) == arguments.endpoints(" ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"binance_spot"', "not JSON like"),
        ('["binance_spot"]', "not JSON like"),
        ('{"binance_spot": {"rest": 1}}', "not JSON like"),
        ('{"binance_spt": {}}', "binance_spt; available: "),
        ('{"binance_spot": {"rest": "localhost:80"}}', "not a URL"),
    ],
)
def test_wrong_endpoints_are_refused(text, said):
    """Also names that are misspelt: the data would come from elsewhere."""
    with pytest.raises(InvalidInput, match=said):
        arguments.endpoints(text)


@pytest.mark.parametrize(
    ("name", "said"),
    [("out.xlsx", "suffix"), ("out", "suffix"), ("no/out.csv", "no folder"), ("folder.csv", "is a folder")],
)
def test_output_that_cannot_be_is_refused(tmp_path, name, said):
    """Before anything is fetched."""
    (tmp_path / "folder.csv").mkdir()

    with pytest.raises(InvalidInput, match=said):
        arguments.output_file(tmp_path / name)


def test_output_in_the_working_folder(tmp_path, monkeypatch):
    """A bare name, in any case of its suffix, is a file here."""
    monkeypatch.chdir(tmp_path)

    assert Path("out.CSV") == arguments.output_file(Path("out.CSV"))


@pytest.mark.parametrize(
    ("text", "kind", "path", "times", "probability"),
    [
        ("slow", FaultKind.SLOW, "", 1, 1.0),
        ("too-many-requests:klines", FaultKind.TOO_MANY_REQUESTS, "klines", 1, 1.0),
        ("reset:/api/v3:3", FaultKind.RESET, "/api/v3", 3, 1.0),
        ("reset:a:b:p=0.25", FaultKind.RESET, "a:b", None, 0.25),
        ("reset:(?:a|b)", FaultKind.RESET, "(?:a|b)", 1, 1.0),
        ("MISSING_ROW::2", FaultKind.MISSING_ROW, "", 2, 1.0),
        ("bad_json:p=1", FaultKind.BAD_JSON, "", None, 1.0),
    ],
)
def test_faults(text, kind, path, times, probability):
    """Kind, then perhaps a pattern, which may hold colons, then perhaps how often."""
    fault = arguments.fault(text)

    assert (kind, path, times, probability) == (fault.kind, fault.path, fault.times, fault.probability)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nope", "available: too_many_requests"),
        ("slow:(", "regular expression"),
        ("slow:p=2", "0.1"),
        ("slow::p=x", "0.1"),
    ],
)
def test_wrong_faults_are_refused(text, said):
    """An unknown kind is told the known ones."""
    with pytest.raises(InvalidInput, match=said):
        arguments.fault(text)
