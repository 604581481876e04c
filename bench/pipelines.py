"""What chandlery is compared with: the same work by hand, doing the bare minimum."""

from __future__ import annotations

import asyncio
import io
import struct
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import aiohttp
import pandas as pd
import polars as pl
import pyarrow as pa
import requests
from isal import isal_zlib

COLUMNS = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_asset_volume", "count",
    "taker_buy_volume", "taker_buy_quote_volume", "_ignore",
)  # fmt: skip
_INTEGERS = {"open_time", "close_time", "count"}
_SCHEMA = {name: pl.Int64 if name in _INTEGERS else pl.Float64 for name in COLUMNS[:-1]} | {"_ignore": pl.String}
_CONCURRENT = 16


def by_aiohttp_and_polars(urls: Sequence[str]) -> pd.DataFrame:
    """Concurrent downloads over kept connections, isal, one parse: nothing proved, nothing kept."""
    texts = asyncio.run(_fetched(urls))
    frame = pl.read_csv(b"".join(texts), has_header=False, schema=_SCHEMA, columns=list(range(len(COLUMNS) - 1)))
    frame = frame.with_columns(
        pl.from_epoch(name, "ms").dt.replace_time_zone("UTC") for name in ("open_time", "close_time")
    )
    return frame.to_pandas().set_index("open_time")


async def _fetched(urls: Sequence[str]) -> list[bytes]:
    gate = asyncio.Semaphore(_CONCURRENT)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=_CONCURRENT)) as session:

        async def fetch(url: str) -> bytes:
            async with gate, session.get(url) as answer:
                answer.raise_for_status()
                return _inflated(await answer.read())

        return await asyncio.gather(*map(fetch, urls))


def _inflated(zipped: bytes) -> bytes:
    name_length, extra_length = struct.unpack_from("<HH", zipped, 26)
    (packed,) = struct.unpack_from("<I", zipped, 18)
    begin = 30 + name_length + extra_length
    return isal_zlib.decompress(memoryview(zipped)[begin : begin + packed], -15)


def by_requests_session_and_pandas(urls: Sequence[str]) -> pd.DataFrame:
    """As ``by_requests_and_pandas``, over one kept connection."""
    with requests.Session() as session:
        return by_requests_and_pandas(urls, session.get)


def by_requests_and_pandas(urls: Sequence[str], get: Callable[..., requests.Response] = requests.get) -> pd.DataFrame:
    """What a script does: ``requests.get``, ``zipfile``, ``pandas.read_csv``, one file after the other, ``concat``."""
    frames = []
    for url in urls:
        answer = get(url, timeout=60)
        answer.raise_for_status()
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive, archive.open(archive.namelist()[0]) as text:
            frames.append(pd.read_csv(text, header=None, names=COLUMNS, usecols=COLUMNS[:-1]))
    frame = pd.concat(frames, ignore_index=True)
    for name in ("open_time", "close_time"):
        frame[name] = pd.to_datetime(frame[name], unit="ms", utc=True)
    return frame.set_index("open_time")


def write_arrow(frame: pd.DataFrame, path: Path) -> None:
    """All rows in one uncompressed Arrow file."""
    table = pa.Table.from_pandas(frame.reset_index(), preserve_index=False).combine_chunks()
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def by_one_arrow_file(path: Path) -> pd.DataFrame:
    """One file of all rows through pyarrow."""
    return pa.ipc.open_file(pa.OSFile(str(path))).read_all().to_pandas()


def by_mapped_file(path: Path) -> pd.DataFrame:
    """The same file mapped into memory: the least that can be had, since nothing is read before it is made a frame."""
    with pa.memory_map(str(path)) as mapped:
        return pa.ipc.open_file(mapped).read_all().to_pandas()


def write_feather(frame: pd.DataFrame, folder: Path) -> list[Path]:
    """A Feather file for each day, as pandas writes them."""
    folder.mkdir()
    written = []
    for day, rows in frame.groupby(frame.index.date):
        written.append(folder / f"{day}.feather")
        rows.reset_index().to_feather(written[-1])
    return written


def by_feather(paths: Sequence[Path]) -> pd.DataFrame:
    """A Feather file for each day through pandas, joined."""
    return pd.concat([pd.read_feather(path) for path in paths])
