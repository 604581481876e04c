from __future__ import annotations

import json

import pytest

from chandlery.cache.arrow_cache import UnifiedCacheManager
from chandlery.cache.index import NAME
from chandlery.core.time import DAY


def test_it_says_what_there_is_of_each_series(filled, make):
    """Days, rows, bytes, the first and the last day; by name."""
    filled.store(make.series("ADAUSDT"), make.day_rows(), [make.source(make.start, make.start + DAY)])
    ada, btc = filled.entries()
    assert ada.parts == ("BINANCE", "SPOT", "KLINES", "ADAUSDT", "1h")
    assert (btc.days, btc.rows, btc.first, btc.last) == (3, 72, make.start, make.start + 2 * DAY)
    assert btc.bytes == sum(path.stat().st_size for path in (filled.root / make.series().folder).glob("*.arrow"))


def test_it_is_kept_up_with_what_is_stored(filled, make):
    """Without looking at the files again; replaced and topped-up days count once."""
    filled.store(make.series(), make.day_rows(0, 5.0), [make.source(make.start, make.start + DAY)])
    written = json.loads((filled.root / NAME).read_bytes())
    assert written["series"][make.series().folder.as_posix()]["rows"] == 72
    by_index = filled.entries()
    (filled.root / NAME).unlink()
    assert by_index == filled.entries()


@pytest.mark.parametrize(
    "content", [None, b"", b"[", b"{}", b'{"version":99,"series":{}}', b'{"version":2,"series":{"x":1}}']
)
def test_a_missing_or_damaged_index_is_made_anew(filled, content):
    """From the files, which are the truth."""
    before = filled.entries()
    path = filled.root / NAME
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert UnifiedCacheManager(filled.root).entries() == before
    assert len(json.loads(path.read_bytes())["series"]) == 1


def test_a_stale_index_is_put_right(filled, make):
    """Files that came, went or changed behind its back; a damaged one counts without rows."""
    folder = filled.root / make.series().folder
    (folder / "2024-01-01.arrow").unlink()
    assert [(entry.days, entry.rows) for entry in filled.entries()] == [(2, 48)]
    (folder / "2024-01-02.arrow").write_bytes(b"damaged")
    assert [(entry.days, entry.rows) for entry in filled.entries()] == [(2, 24)]
    for path in folder.glob("*.arrow"):
        path.unlink()
    assert filled.entries() == []
