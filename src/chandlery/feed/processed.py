"""The processor of a live series, which a user may replace."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from chandlery.core.candle import CandleData
from chandlery.core.errors import InvalidInput
from chandlery.core.interval import Interval
from chandlery.feed.network import NetworkClient
from chandlery.feed.provisional import Provisional
from chandlery.feed.resample import live_stream
from chandlery.feed.series import DataProcessor
from chandlery.feed.startup import Startup
from chandlery.feed.verdict import Verdict

ProcessorOf: TypeAlias = DataProcessor | Callable[..., DataProcessor]
"""A processor, or its class, which is called as ``DataProcessor(interval, max_records, history=history)``."""


class ProcessedStream(Startup):
    """
    The candles of a symbol and an interval, and the one processor that judges and stores them.

    ``live`` is the exchange's stream that feeds it, ``None`` if it is only polled.
    """

    def __init__(
        self,
        network: NetworkClient,
        symbol: str,
        interval: Interval,
        on_begun: Callable[[], object],
        publish: Callable[[CandleData], object],
        processor: DataProcessor,
        on_refused: Callable[[Verdict, CandleData], object],
    ) -> None:
        super().__init__(on_begun)
        adapter = network.adapter
        self.network = network
        self.symbol = symbol
        self.interval = interval
        self.grid = adapter.grid(interval)
        self.live = live_stream(adapter, symbol, interval)
        self._own = self.live is not None and self.live.interval is interval
        self.provisional = Provisional(self.grid, adapter.settle)
        """Closed candles that await a second read."""
        self._on_refused = on_refused
        self._use(processor)
        processor.on_followed = publish

    @property
    def processor(self) -> DataProcessor:
        """
        The processor, which may be replaced until it has received a candle.

        Raises:
            InvalidInput: It has received candles, or the new one belongs to another series or has candles.
        """
        return self._processor

    @processor.setter
    def processor(self, processor: DataProcessor) -> None:
        if self.began or len(self._processor):
            raise InvalidInput("the feed has candles already; replace its processor before the start")
        old = self._processor
        self._use(processor)
        processor.on_followed, processor.on_failed = old.on_followed, old.on_failed

    def _use(self, processor: DataProcessor) -> None:
        adapter = self.network.adapter
        processor.attach(
            self.grid,
            next_closes=self._own and not adapter.live_closes,
            provisional=self.provisional,
            clock=self.network.guess,
            on_refused=self._on_refused,
        )
        self._processor = processor
        self._process = processor.process
        self.follow = processor.follow if self._own and processor.has_shortcut("follow") else None
        """Faster equivalent of ``take`` for most candles; returns whether it accepted the candle."""


def processor_of(
    processor: ProcessorOf | None, interval: Interval, max_records: int, history: int | None
) -> DataProcessor:
    """
    Return the processor of a feed: the default one, the given one, or one of the given class.

    Raises:
        InvalidInput: It is no processor, or both it and ``history`` state what to request.
    """
    if isinstance(processor, DataProcessor):
        if history is not None:
            raise InvalidInput("the processor has a history of its own; pass history to it")
        return processor
    made = DataProcessor if processor is None else processor
    found = made(interval, max_records, history=history) if callable(made) else made
    if not isinstance(found, DataProcessor):
        raise InvalidInput(f"processor is {processor!r}; use a DataProcessor, or a class of them")
    return found
