"""Probe of one exchange: all measurements, each independent of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec import Struct

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import ChandleryError
from chandlery.core.time import SECOND, Clock, iso
from chandlery.feed.network import NetworkClient
from chandlery.net.clock import system_clock
from chandlery.net.http import HttpClient
from chandlery.net.tokens import Accounts, Credentials
from chandlery.probe import live, past
from chandlery.probe.findings import Bundle, Finding
from chandlery.probe.requests import Requester

Peer = Callable[[Requester], Awaitable[list[Finding]]]
"""Comparison with another client."""


class Options(Struct, frozen=True):
    """
    Options of a probe: ``close_s`` and ``book_s`` are the durations of receiving candles and a book; 0 skips them.

    ``tolerance_s`` is the precision of measured delays. ``peers`` are comparisons with other clients, by name.
    """

    endpoints: Mapping[str, Mapping[str, Any]] = {}
    credentials: Credentials | None = None
    close_s: float = 180.0
    book_s: float = 60.0
    tolerance_s: float = 0.5
    peers: Mapping[str, Peer] = {}


class Probed(Struct, frozen=True):
    """Findings, and the bundle with their recordings."""

    findings: list[Finding]
    bundle: Bundle

    @property
    def differences(self) -> list[Finding]:
        """Findings that contradict a declaration."""
        return [each for each in self.findings if each.verdict.value == "differs"]


async def probe(
    exchange: str,
    http: HttpClient,
    options: Options = Options(),  # noqa: B008  # a frozen value
    *,
    clock: Clock = system_clock,
    sleep: live.Sleep = asyncio.sleep,
) -> Probed:
    """
    Measure an exchange and compare it with its adapter's declarations.

    ``clock`` and ``sleep`` run at the same speed, which may differ from that of the wall clock.

    Raises:
        UnknownName: There is no such exchange.
        MissingCredentials: The exchange needs sign-in.
    """
    adapter = ExchangeRegistry.create(exchange, options.endpoints)
    client = Accounts(http, options.credentials).client(adapter)
    ask = Requester(adapter, client, clock, adapter.symbol(_example(adapter)))
    ask.allowed = round(options.tolerance_s * SECOND)
    findings: list[Finding] = []
    for name, measure in {**past.MEASURES, **options.peers}.items():
        findings += await _attempted(name, measure(ask))
    findings.append(Finding.of("empty_once", "no answer is", f"{ask.empties} answers", agrees=not ask.empties))
    network = NetworkClient(adapter, options.credentials, http=http, clock=clock)
    if options.close_s:
        findings += await _attempted("candles by socket", live.candles(ask, network, options.close_s, sleep))
    if options.book_s:
        findings += await _attempted("book", live.books(ask, network, options.book_s, sleep))
    return Probed(findings, Bundle(exchange, iso(clock()), findings, ask.recordings))


async def _attempted(name: str, measuring: Awaitable[list[Finding]]) -> list[Finding]:
    """Run a measurement; a failure becomes a finding, too."""
    try:
        return await measuring
    except ChandleryError as error:
        return [Finding.of(name, "answers", f"{type(error).__name__}: {error}", agrees=False)]


def _example(adapter: ExchangeAdapter) -> str:
    return adapter.example.split(",", maxsplit=1)[0].split(" or ", maxsplit=1)[0].strip()
