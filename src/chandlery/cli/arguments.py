"""Conversion of command-line arguments to values of the library."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import typer

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.cache.files import folder
from chandlery.core.errors import InvalidInput, UnknownName
from chandlery.core.query import ChartType, DataSource

if TYPE_CHECKING:
    from chandlery.sim.faults import Fault

_T = TypeVar("_T")

SOURCES: Mapping[str, DataSource] = {source.value: source for source in DataSource}
SUFFIXES = (".parquet", ".csv", ".arrow", ".feather")

CACHE_DIR = typer.Option(
    None, "--cache-dir", parser=partial(folder, name="--cache-dir"), metavar="DIRECTORY",
    help="Folder of the cached day files.", show_default="your cache folder",
)  # fmt: skip
DATA_DIR = typer.Option(
    None, "--data-dir", parser=partial(folder, name="--data-dir"), metavar="DIRECTORY", envvar="CHANDLERY_DATA_DIR",
    help="Data folder of the service.", show_default="your data folder",
)  # fmt: skip
PROXY = typer.Option(
    None, "--proxy", envvar="CHANDLERY_PROXY", metavar="URL", show_default=False, show_envvar=False,
    help="http://user:password@host:port or, with an extra, socks5://; defaults to HTTPS_PROXY and related variables.",
)  # fmt: skip

_URL = re.compile(r"(https?|wss?)://[^\s/]+\S*", re.ASCII)


def chart_type(text: str) -> ChartType:
    """Return the chart type of a name."""
    try:
        return ChartType(text)
    except UnknownName:
        known = ", ".join(each.value for each in ChartType)
        raise UnknownName(f"--type {text!r} is unknown; use one of funding, {known}") from None


def source(text: str) -> DataSource:
    """Return the data source of a name."""
    return _named(text, "--source", SOURCES)


def _named(text: str, option: str, known: Mapping[str, _T]) -> _T:
    try:
        return known[text.lower().replace("-", "")]
    except KeyError:
        raise UnknownName(f"{option} {text!r} is unknown; use one of {', '.join(known)}") from None


def unlike(text: str) -> dict[str, dict[str, Any]]:
    """
    Parse contradictions of offline exchanges, by exchange id, from JSON; empty for an empty text.

    Raises:
        InvalidInput: The text does not have that form.
    """
    try:
        return msgspec.json.decode(text, type=dict[str, dict[str, Any]]) if text.strip() else {}
    except msgspec.MsgspecError as error:
        raise InvalidInput(f'--unlike is not JSON like {{"okx_spot": {{"page_size": 100}}}}: {error}') from None


def endpoints(text: str | None) -> dict[str, dict[str, str | bool]]:
    """
    Parse base URLs by exchange id from JSON; empty for ``None`` and an empty text.

    Raises:
        InvalidInput: The text does not have that form, or names an unknown exchange, whose data would then silently
            come from elsewhere.
    """
    if not text or not text.strip():
        return {}
    example = '{"binance_spot": {"rest": "http://127.0.0.1:8080"}}'
    try:
        given = msgspec.json.decode(text, type=dict[str, dict[str, str | bool]])
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"the endpoints are not JSON like {example}: {error}") from None
    unknown = sorted(set(given) - set(ExchangeRegistry.names()))
    if unknown:
        raise UnknownName(
            f"the endpoints contain unknown exchanges: {', '.join(unknown)}; available: {', '.join(sorted(ExchangeRegistry.names()))}"
        )
    for name, urls in given.items():
        ExchangeRegistry.create(name, given)
        for kind, url in urls.items():
            if kind not in {"site", "proxy", "origin", "mirror"} and not _URL.fullmatch(str(url)):
                raise InvalidInput(
                    f"the endpoint {kind} of {name} is {url!r}, which is not a URL like http://127.0.0.1:8080"
                )
    return given


def output_file(path: Path) -> Path:
    """
    Check that a file can be written at ``path``, and return it.

    Raises:
        InvalidInput: The suffix is unknown, or the folder does not exist or is not writable.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InvalidInput(f"-o {path}: the suffix selects the format: {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise InvalidInput(f"-o {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise InvalidInput(f"-o {path} is a folder")
    if not os.access(path.parent, os.W_OK):
        raise InvalidInput(f"-o {path}: the folder {path.parent} is not writable")
    return path


def fault(text: str) -> Fault:
    """
    Parse a fault from ``KIND[:path-regex][:times|p=0.1]``.

    Without ``times`` it strikes once; with ``p=`` any number of requests, each with that probability.
    """
    from chandlery.sim.faults import Fault, FaultKind  # noqa: PLC0415  # only the offline exchange needs it

    name, _, rest = text.partition(":")
    kinds = {kind.value: kind for kind in FaultKind}
    kind = kinds.get(name.lower().replace("-", "_"))
    if kind is None:
        raise UnknownName(f"--fault {name!r} is not a kind of fault; available: {', '.join(kinds)}")
    path, _, last = rest.rpartition(":")
    times, probability = _how_often(last)
    if times is None and probability is None:
        path, times = rest, 1
    try:
        re.compile(path)
    except re.error as error:
        raise InvalidInput(f"--fault {text!r}: {path!r} is not a regular expression: {error}") from None
    return Fault(kind, path, times=times, probability=1.0 if probability is None else probability)


def _how_often(text: str) -> tuple[int | None, float | None]:
    """Parse the number of times, or the probability; ``None`` if absent."""
    if text.isascii() and text.isdigit():
        return int(text), None
    if not text.startswith("p="):
        return None, None
    try:
        probability = float(text.removeprefix("p="))
    except ValueError:
        probability = -1.0
    if not 0 < probability <= 1:
        raise InvalidInput(f"--fault …:{text}: a probability must be above 0 and at most 1, e.g. p=0.1")
    return None, probability
