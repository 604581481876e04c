"""A year of candles in ArcticDB, by whichever interpreter has that: the median of some reads in seconds, as a frame."""

from __future__ import annotations

import gc
import statistics
import sys
import tempfile
import time

import arcticdb
import pyarrow as pa


def main(path: str, rounds: int) -> None:
    """Write what an Arrow file holds, then read it again and again."""
    frame = pa.ipc.open_file(pa.OSFile(path)).read_all().to_pandas().set_index("open_time")
    with tempfile.TemporaryDirectory(dir=path.rpartition("/")[0]) as folder:
        library = arcticdb.Arctic(f"lmdb://{folder}").get_library("bench", create_if_missing=True)
        library.write("year", frame)
        taken = []
        for _ in range(rounds + 1):
            gc.collect()
            began = time.perf_counter()
            read = library.read("year").data
            taken.append(time.perf_counter() - began)
            assert len(read) == len(frame)
            del read
    print(statistics.median(taken[1:]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
