"""
Turn the bundle of a probe into payload files that the tests read.

    python scripts/record.py BUNDLE [FOLDER]

``BUNDLE`` is the ``probe.json`` of an exchange, or a folder below which there are some. What is written to
``FOLDER/<exchange>/``, by default ``tests/exchanges/recorded``, are files ``{source, payload, expect}``. ``expect`` is what
another client made of the payload where the bundle says so (``expect_by``); otherwise it is what our adapter makes of
it now, and has to be compared with the documentation by hand before it is committed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import ChandleryError
from chandlery.probe.findings import BUNDLE, Bundle, Recording, read_bundle
from chandlery.testing.exchanges import read_payload

PROJECT = Path(__file__).resolve().parent.parent
KINDS = ("rest_candles", "rest_error", "live_candle", "live_ack")
"""Those that a probe records, as payload files call them."""
MOST = 3
"""How many files of one kind there are; the shortest payloads are taken."""


def record(bundle: Bundle, folder: Path) -> list[Path]:
    """Write the payload files of a bundle; their paths."""
    adapter = ExchangeRegistry.create(bundle.exchange)
    written: list[Path] = []
    for kind in KINDS:
        of_kind = sorted((each for each in bundle.recordings if each.kind == kind), key=lambda each: len(each.body))
        held = [found for each in of_kind if (found := payload(adapter, bundle, each)) is not None and found["expect"]]
        for number, content in enumerate(held[:MOST]):
            path = folder / bundle.exchange / f"{kind}-{number}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
            written.append(path)
    return written


def payload(adapter: ExchangeAdapter, bundle: Bundle, recording: Recording) -> dict[str, Any] | None:
    """The content of a payload file; ``None`` where our adapter cannot read it."""
    held: dict[str, Any] = {"source": recording.source, "recorded": bundle.at, "status": recording.status}
    held |= {"binary": True, "payload": recording.content.hex()} if recording.encoded else {"payload": text(recording)}
    held |= {key: value for key, value in recording.about.items() if key == "interval"}
    try:
        read = read_payload(adapter, recording.kind, held)
    except ChandleryError:
        return None
    by = "chandlery" if recording.expect is None else "another client"
    return held | {"expect_by": by, "expect": read if recording.expect is None else recording.expect}


def text(recording: Recording) -> Any:
    """The payload as JSON where that loses nothing, or as text."""
    try:
        content = json.loads(recording.body)
    except ValueError:
        return recording.body
    return content if json.loads(json.dumps(content)) == content else recording.body


def main(args: list[str]) -> None:
    """Record every bundle that is named."""
    if not 1 <= len(args) <= 2:
        raise SystemExit(__doc__)
    given, folder = Path(args[0]), Path(args[1]) if len(args) > 1 else PROJECT / "tests" / "exchanges" / "recorded"
    for path in sorted(given.rglob(BUNDLE)) if given.is_dir() else [given]:
        for written in record(read_bundle(path), folder):
            print(written)


if __name__ == "__main__":
    main(sys.argv[1:])
