"""Findings, recordings and bundles."""

import pytest

from chandlery.core.errors import InvalidInput
from chandlery.probe.findings import Bundle, Finding, Recording, Verdict, read_bundle, rows_of


@pytest.mark.parametrize(("agrees", "verdict"), [(True, "agrees"), (False, "differs"), (None, "unknown")])
def test_verdicts(agrees, verdict):
    """What could not be measured is neither right nor wrong."""
    assert Finding("page_size", "300", "100", Verdict(verdict)) == Finding.of("page_size", 300, 100, agrees=agrees)


@pytest.mark.parametrize("body", [b'{"a": 1}', b"\x1f\x8b\xff"])
def test_recordings_keep_bytes(body, tmp_path):
    """Text or not, through a file."""
    bundle = Bundle("okx_spot", "now", [], [Recording.of("live_candle", "wss://x", 101, body, interval="1m")])

    (held,) = read_bundle(bundle.write(tmp_path)).recordings

    assert body == held.content
    assert {"interval": "1m"} == held.about


def test_other_files_are_no_bundles(tmp_path):
    """They are refused by name."""
    (tmp_path / "x.json").write_text("[]")

    with pytest.raises(InvalidInput, match=r"x\.json is not the bundle of a probe"):
        read_bundle(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        (b"[[1, 2]]", [[1, 2]]),
        (b'{"code": 0, "data": {"list": [{"t": 1}]}}', [{"t": 1}]),
        (b'{"error": [], "result": {"X": [[1]], "last": 2}}', [[1]]),
        (b'{"data": []}', []),
        (b"{", []),
    ],
)
def test_rows_are_found(body, rows):
    """Wherever they lie."""
    assert rows == rows_of(body)
