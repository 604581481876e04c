"""Prometheus metrics of the service."""

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
    """Collector that counts requests and reads the other metrics from the parts on each scrape."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Histogram(
            "chandlery_request_seconds",
            "Duration of requests",
            ("method", "path", "status"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.loop_lag = Histogram(
            "chandlery_loop_lag_seconds",
            "Delay of event loop callbacks, measured ten times a second",
            buckets=_SECONDS,
            registry=self.registry,
        )
        # Plain numbers: they are incremented thousands of times a second, in one thread.
        self.messages_sent = 0
        self.messages_replaced = 0
        self.slow_clients = 0
        self.clients = 0
        self.queued = 0
        self.refusals = Refusals()
        self.service: Service | None = None
        self.registry.register(self)

    def describe(self) -> list[Metric]:
        """Return no descriptions; all metrics are collected on scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Collect the state of the parts."""
        yield GaugeMetricFamily("chandlery_clients", "Connected WebSocket clients", value=self.clients)
        yield GaugeMetricFamily("chandlery_queued_messages", "Messages queued for clients", value=self.queued)
        for name, text, count in (
            ("messages_sent", "Messages sent to WebSocket clients", self.messages_sent),
            (
                "messages_replaced",
                "Books and running candles replaced by a later one before they were sent",
                self.messages_replaced,
            ),
            ("slow_clients_closed", "Clients disconnected because they were too slow", self.slow_clients),
        ):
            yield CounterMetricFamily(f"chandlery_{name}", text, value=count)
        refused = CounterMetricFamily("chandlery_refused", "Refusals by limit", labels=("limit",))
        for limit, count in self.refusals.counts.items():
            refused.add_metric((limit,), count)
        yield refused
        if self.service is None:
            return
        readiness = self.service.readiness
        yield GaugeMetricFamily("chandlery_ready", "1 if the service is ready", value=float(not readiness.faults()))
        restarts = CounterMetricFamily("chandlery_task_restarts", "Restarts of tasks", labels=("task",))
        for task, count in self.service.supervisor.restarts.items():
            restarts.add_metric((task,), count)
        yield restarts
        workload = self.service.workload
        yield GaugeMetricFamily("chandlery_heavy_requests", "Heavy requests running", value=workload.under_way)
        yield CounterMetricFamily("chandlery_heavy_requests_refused", "Heavy requests refused", value=workload.refused)
        yield GaugeMetricFamily("chandlery_writes_waiting", "Queued writes", value=self.service.database.waiting)
        yield GaugeMetricFamily("chandlery_subscriptions", "Subscriptions", value=self.service.broadcaster.count())
        limiter = self.service.limiter
        yield CounterMetricFamily("chandlery_limiter_waits", "Requests delayed by a rate limit", value=limiter.waits)
        yield CounterMetricFamily(
            "chandlery_limiter_wait_seconds", "Total delay by rate limits", value=limiter.waited_s
        )
        reader = self.service.listing_reader
        for name, text, counts in (
            ("reads", "Lists of instruments that were read", reader.reads),
            ("failures", "Lists of instruments that could not be read", reader.failures),
        ):
            lists = CounterMetricFamily(f"chandlery_instrument_list_{name}", text, labels=("exchange",))
            for market, count in counts.items():
                lists.add_metric((market,), count)
            yield lists
        rows = CounterMetricFamily("chandlery_history_rows", "Historical rows by source", labels=("source",))
        for source, count in self.service.historical.rows.items():
            rows.add_metric((source,), count)
        yield rows
        yield from self._streams(self.service)

    def _streams(self, service: Service) -> Iterator[Metric]:
        counters = {
            name: CounterMetricFamily(f"chandlery_stream_{name}", text, labels=_STREAM)
            for name, text in {
                "messages": "Messages received by streams",
                "gaps": "Gaps detected in streams",
                "resyncs": "Order book resyncs",
                "restated": "Stored candles replaced by corrected ones",
            }.items()
        }
        lag = GaugeMetricFamily("chandlery_stream_lag_seconds", "Delay of the last message", labels=_STREAM)
        failures = GaugeMetricFamily("chandlery_stream_failures", "Consecutive failures of a stream", labels=_STREAM)
        age = GaugeMetricFamily(
            "chandlery_snapshot_age_seconds", "Age of the last stored order book", labels=_STREAM[:2]
        )
        unsettled = GaugeMetricFamily(
            "chandlery_stream_unsettled_seconds", "Time that a candle has been due for its second read", labels=_STREAM
        )
        running = GaugeMetricFamily("chandlery_stream_running", "1 if the stream runs", labels=_STREAM)
        for stream_supervisor in service.collection.stream_supervisors():
            labels = (
                stream_supervisor.series.exchange,
                stream_supervisor.series.symbol,
                stream_supervisor.series.channel_text,
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
        """Return all metrics in the Prometheus text format."""
        return generate_latest(self.registry)
