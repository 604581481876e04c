"""The readers of a candles feed: its iterations, and the function that it calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from weakref import ref

from chandlery.feed.callback import CallbackErrors
from chandlery.feed.conflating_queue import ConflatingQueue
from chandlery.feed.events import CandleUpdate
from chandlery.feed.processed import ProcessedStream
from chandlery.feed.recovery import Waits

MAX_UNREAD = 10_000
"""Number of unread updates per reader before the oldest are dropped."""


class Readers:
    """
    The readers of one feed, each of which gets all updates.

    An iteration ends once its queue is garbage-collected. Exceptions of ``on_update`` are counted in ``errors`` and
    published, no faster than ``waits``.
    """

    def __init__(self, name: str, on_update: Callable[[CandleUpdate], object] | None, waits: Waits) -> None:
        self.dropped = 0
        """Number of updates that slow readers have missed."""
        self.errors = CallbackErrors(name, waits, self._put)
        self._on_update = on_update
        self._queues: list[ref[ConflatingQueue]] = []
        self._stream: ProcessedStream | None = None
        self._closed = False

    def __len__(self) -> int:
        """Return the number of iterations."""
        return len(self._queues)

    def follow(self, stream: ProcessedStream) -> None:
        """Publish what the processor of ``stream`` accepts on its fast path."""
        self._stream = stream
        self._publish_directly()

    def join(self) -> ConflatingQueue:
        """Return the queue of a new iteration, of the updates from now on."""
        queue = ConflatingQueue(MAX_UNREAD)
        if self._closed:
            queue.close()
        # Leaving the loop does not notify us.
        self._queues.append(ref(queue, self._queues.remove))
        self._publish_directly()
        return queue

    def publish(self, update: CandleUpdate) -> None:
        """Publish an update."""
        if self._queues:
            self._put(update)
        if self._on_update is not None:
            try:
                self._on_update(update)
            except Exception as error:  # noqa: BLE001  # a user's function may raise anything
                self.errors(error)

    def publish_all(self, updates: Sequence[CandleUpdate]) -> None:
        """Publish closed candles and events, in order."""
        if self._on_update is None:
            for each in self._queues:
                if (queue := each()) is not None:
                    self.dropped += queue.put_all(updates)
        else:
            for update in updates:
                self.publish(update)

    def close(self) -> None:
        """End the iterations, after the updates still queued, and the calls."""
        self._closed = True
        self._on_update = None
        self._publish_directly()
        for each in self._queues:
            if (queue := each()) is not None:
                queue.close()

    def _publish_directly(self) -> None:
        """Let the processor call ``on_update`` if there is no other reader; the indirection costs a tenth of the throughput."""
        if self._stream is not None:
            called = self._on_update
            self._stream.processor.on_followed = self.publish if called is None or self._queues else called
            self._stream.processor.on_failed = self.errors

    def _put(self, update: CandleUpdate) -> None:
        for each in self._queues:
            if (queue := each()) is not None and not queue.put(update):
                self.dropped += 1
