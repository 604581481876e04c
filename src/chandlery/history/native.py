"""Base of the clients over our own exchange adapters."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.endpoints import Endpoints
from chandlery.core.errors import InvalidInput
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Grid, Interval
from chandlery.core.moment import TimeLike, range_of
from chandlery.core.provenance import Provenance
from chandlery.core.query import ChartType, DataProvider, DataSource
from chandlery.history.interfaces import DataClientInterface, Resources, incomplete
from chandlery.net.clock import system_clock
from chandlery.net.http import HttpClient
from chandlery.net.portal import shared_portal
from chandlery.tables.frame import to_output

if TYPE_CHECKING:
    import pandas as pd


class NativeClient(DataClientInterface):
    """
    A client of one series of an exchange that has an adapter.

    Used by itself it opens its own connections: use it as a context manager, or call ``close`` (or ``close_sync``) when
    done. ``endpoints`` are base URLs by exchange id; a client with shared ``resources`` uses theirs.
    """

    kind: ClassVar[ChartType]
    data_source: ClassVar[DataSource] = DataSource.REST
    role: ClassVar[str] = "rest"
    """The endpoint role that it uses."""

    def __init__(
        self,
        *,
        symbol: str,
        interval: Interval,
        market_type: MarketType = MarketType.SPOT,
        provider: DataProvider | None = None,
        resources: Resources | None = None,
        endpoints: Endpoints | None = None,
    ) -> None:
        """Refuse symbols and intervals that the exchange does not have; the default provider is Binance."""
        super().__init__(symbol=symbol, interval=interval, resources=resources)
        if resources is not None and endpoints is not None:
            raise InvalidInput("give endpoints or resources, which have their own endpoints")
        self.shared = resources or Resources(HttpClient(), system_clock, endpoints or {})
        self.adapter = self.shared.adapter(ExchangeRegistry.of_market(provider or DataProvider.BINANCE, market_type))
        self.settle = self.adapter.settle
        self.origin = self.adapter.origin(self.role)
        self.symbol = self.adapter.symbol(symbol)
        self.facts = self.shared.facts(self.adapter, self.symbol, interval)
        if self.kind.interval is None:
            self.adapter.interval_name(interval)

    @classmethod
    @abstractmethod
    def serves(cls, adapter: type[ExchangeAdapter]) -> bool:
        """Return whether an exchange supports what this client fetches."""

    @property
    def grid(self) -> Grid:
        """The grid of the series' open times; for events, the interval under which they are stored."""
        return self.kind.interval or self.facts.grid

    def adopt(self, grid: Grid) -> None:
        """Use the grid that rows have shown, for all clients of the series."""
        self.facts = self.shared.facts(self.adapter, self.symbol, self.interval)
        self.facts.grid = grid

    @property
    def provider(self) -> DataProvider:
        """The exchange."""
        return self.adapter.provider

    @property
    def market_type(self) -> MarketType:
        """The market."""
        return self.adapter.market_type

    @property
    def chart_type(self) -> ChartType:
        """The kind of data."""
        return self.kind

    def fetch(self, start_time: TimeLike, end_time: TimeLike, **kwargs: Any) -> pd.DataFrame:
        """
        Fetch the rows that open in ``[start_time, end_time)`` as a frame; gaps and sources in ``attrs["chandlery"]``.

        Raises:
            InvalidRange: A value is not a ``TimeLike``, or the end is not after the start.
            IncompleteData: Part of it could not be fetched; it carries the rest.
        """
        del kwargs
        span = range_of(start_time, end_time, self.shared.clock())
        got = shared_portal().run(self.fetch_span(span))
        frame: pd.DataFrame = to_output(got.table, "pandas", Provenance.of(got.spans, got.gaps, got.events))
        missing = [gap for gap in got.gaps if gap.kind.is_failure]
        if missing:
            raise incomplete(frame, missing, span)
        return frame

    async def close(self) -> None:
        """Close the connections that the client opened itself."""
        if self.resources is None:
            await self.shared.http.close()

    def close_sync(self) -> None:
        """``close`` for synchronous users."""
        if self.resources is None:
            shared_portal().run(self.close())
