"""How far the peak of memory grows for a warm read, in multiples of the frame; run in a process of its own."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from exchange import INTERVAL, SYMBOL, clock

from chandlery.history.manager import DataSourceManager


def main(cache_dir: str, endpoints: str, start: str, end: str) -> None:
    """Read a day, then all of it; print the growth over the size of the frame."""
    begin, finish = (datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (start, end))
    with DataSourceManager(cache_dir=Path(cache_dir), endpoints=json.loads(endpoints), clock=clock) as manager:
        manager.get_data(SYMBOL, begin, begin + timedelta(days=1), INTERVAL)
        before = _status("VmRSS")
        frame = manager.get_data(SYMBOL, begin, finish, INTERVAL)
        peak = _status("VmHWM")
    size = int(frame.memory_usage(deep=True, index=True).sum())
    print((peak - before) / size, size)


def _status(name: str) -> int:
    """In bytes; unlike ``ru_maxrss`` the peak does not begin with that of the parent process."""
    return int(re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
