"""Capability matrix of the exchanges."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.adapter.volume import turnover_unit
from chandlery.core.time import DAY


class Capabilities(Struct, frozen=True):
    """
    One row of the matrix.

    ``intervals`` are available by REST, ``live_intervals`` by socket. ``retention_days`` and
    ``retained_candles`` limit the history by REST, ``None`` for no limit. ``turnover_unit`` is that of
    ``quote_asset_volume``, ``None`` if it is not sent. ``book_depths`` are the
    levels a side of live books; ``book_check`` is how they are validated: ``sequence``, ``checksum``,
    ``sequence and checksum`` or ``snapshots``.
    """

    id: str
    aliases: tuple[str, ...]
    provider: str
    market: str
    intervals: tuple[str, ...]
    page_size: int
    retention_days: float | None
    retained_candles: int | None
    archive: bool
    volume_unit: str
    turnover_unit: str | None
    sends_empty_candles: bool
    live_intervals: tuple[str, ...]
    live_closes: bool
    rest_closes: bool
    funding: bool
    book_depths: tuple[int, ...]
    book_check: str | None
    unverified: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Convert to a dict for JSON."""
        return msgspec.structs.asdict(self)


def capabilities(exchange_id: str) -> Capabilities:
    """
    Return the capabilities of an exchange.

    Raises:
        UnknownName: No such exchange.
    """
    adapter = ExchangeRegistry.get(exchange_id)
    return Capabilities(
        id=adapter.id,
        aliases=ExchangeRegistry.aliases(adapter.id),
        provider=adapter.provider.value,
        market=adapter.market_type.value,
        intervals=tuple(each.value for each in adapter.intervals),
        page_size=adapter.page_size,
        retention_days=None if adapter.retention is None else adapter.retention / DAY,
        retained_candles=adapter.retained_candles,
        archive=adapter.archive_url is not None,
        volume_unit=adapter.volume_unit,
        turnover_unit=turnover_unit(adapter),
        sends_empty_candles=adapter.sends_empty_candles,
        live_intervals=tuple(each.value for each in adapter.live_intervals),
        live_closes=adapter.live_closes,
        rest_closes=adapter.rest_closes(),
        funding=adapter.funding_page_size > 0,
        book_depths=adapter.book_depths,
        book_check=_book_check(adapter),
        unverified=adapter.unverified,
    )


def all_capabilities() -> list[Capabilities]:
    """Return the whole matrix, by id."""
    return [capabilities(each) for each in ExchangeRegistry.names()]


def _book_check(adapter: type[ExchangeAdapter]) -> str | None:
    rule = adapter.book_rule
    if rule is None:
        return None
    ways = ["sequence"] * (rule.link.value != "none" or rule.per_connection) + ["checksum"] * (
        rule.checksum is not None
    )
    return " and ".join(ways) or "snapshots"
