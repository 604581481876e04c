"""What Prometheus is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from chandlery.core.time import SECOND
from chandlery.service.refusals import Refusals

if TYPE_CHECKING:
    from chandlery.service.app import Service

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_STREAM = ("exchange", "symbol", "channel")


class Metrics(Collector):
    """Counts what passes the doors, and reads the rest from the parts when it is asked for."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Histogram(
            "chandlery_request_seconds",
            "How long requests took",
            ("method", "path", "status"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.loop_lag = Histogram(
            "chandlery_loop_lag_seconds",
            "How late the event loop calls back, measured ten times a second",
            buckets=_SECONDS,
            registry=self.registry,
        )
        # Plain numbers: these are counted thousands of times a second, in one thread.
        self.messages_sent = 0
        self.messages_replaced = 0
        self.slow_clients = 0
        self.clients = 0
        self.queued = 0
        self.refusals = Refusals()
        self.service: Service | None = None
        self.registry.register(self)

    def describe(self) -> list[Metric]:
        """Nothing before it is asked for."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The state of the parts."""
        yield GaugeMetricFamily("chandlery_clients", "Clients of sockets", value=self.clients)
        yield GaugeMetricFamily("chandlery_queued_messages", "Messages that wait for clients", value=self.queued)
        for name, text, count in (
            ("messages_sent", "Messages sent to the clients of sockets", self.messages_sent),
            ("messages_replaced", "Books and running candles that a later one replaced unsent", self.messages_replaced),
            ("slow_clients_closed", "Clients that were closed because they were too slow", self.slow_clients),
        ):
            yield CounterMetricFamily(f"chandlery_{name}", text, value=count)
        refused = CounterMetricFamily("chandlery_refused", "What exceeded a limit", labels=("limit",))
        for limit, count in self.refusals.counts.items():
            refused.add_metric((limit,), count)
        yield refused
        if self.service is None:
            return
        readiness = self.service.readiness
        yield GaugeMetricFamily("chandlery_ready", "Whether it is ready", value=float(not readiness.faults()))
        restarts = CounterMetricFamily(
            "chandlery_task_restarts", "Tasks started again after they ended", labels=("task",)
        )
        for task, count in self.service.supervisor.restarts.items():
            restarts.add_metric((task,), count)
        yield restarts
        workload = self.service.workload
        yield GaugeMetricFamily("chandlery_heavy_requests", "Heavy requests under way", value=workload.under_way)
        yield CounterMetricFamily("chandlery_heavy_requests_refused", "That were refused", value=workload.refused)
        yield GaugeMetricFamily("chandlery_writes_waiting", "Writes that wait", value=self.service.database.waiting)
        yield GaugeMetricFamily("chandlery_subscriptions", "Subscriptions", value=self.service.broadcaster.count())
        limiter = self.service.limiter
        yield CounterMetricFamily("chandlery_limiter_waits", "Requests that waited for a limit", value=limiter.waits)
        yield CounterMetricFamily("chandlery_limiter_wait_seconds", "For how long, together", value=limiter.waited_s)
        rows = CounterMetricFamily("chandlery_history_rows", "Rows of the past by their source", labels=("source",))
        for source, count in self.service.historical.rows.items():
            rows.add_metric((source,), count)
        yield rows
        yield from self._streams(self.service)

    def _streams(self, service: Service) -> Iterator[Metric]:
        counters = {
            name: CounterMetricFamily(f"chandlery_stream_{name}", text, labels=_STREAM)
            for name, text in {
                "messages": "Messages of streams",
                "gaps": "Gaps of streams",
                "resyncs": "Order books that were founded anew",
                "restated": "Stored candles that were replaced by better ones",
            }.items()
        }
        lag = GaugeMetricFamily("chandlery_stream_lag_seconds", "How old the last message was", labels=_STREAM)
        failures = GaugeMetricFamily(
            "chandlery_stream_failures", "How often in a row a stream has failed", labels=_STREAM
        )
        age = GaugeMetricFamily(
            "chandlery_snapshot_age_seconds", "Age of the last order book that is stored", labels=_STREAM[:2]
        )
        unsettled = GaugeMetricFamily(
            "chandlery_stream_unsettled_seconds", "For how long a candle waits for its second read", labels=_STREAM
        )
        running = GaugeMetricFamily("chandlery_stream_running", "Whether it runs", labels=_STREAM)
        for stream_supervisor in service.collection.stream_supervisors():
            labels = (
                stream_supervisor.series.exchange,
                stream_supervisor.series.symbol,
                stream_supervisor.series.channel,
            )
            status = stream_supervisor.status()
            for name, family in counters.items():
                family.add_metric(labels, getattr(stream_supervisor, name))
            unsettled.add_metric(labels, stream_supervisor.unsettled_s)
            if status.lag_ms is not None:
                lag.add_metric(labels, status.lag_ms / 1000)
            running.add_metric(labels, float(status.state == "running"))
            failures.add_metric(labels, status.failures)
            if stream_supervisor.last_snapshot is not None:
                age.add_metric(labels[:2], (service.clock() - stream_supervisor.last_snapshot) / SECOND)
        yield from (*counters.values(), lag, running, failures, age, unsettled)

    def text(self) -> bytes:
        """All of it in Prometheus' own format."""
        return generate_latest(self.registry)
