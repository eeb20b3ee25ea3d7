"""What Prometheus is told. Labels have few values: never a path, a picture or a caller."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

METHODS = ("GET", "HEAD", "POST", "OPTIONS")
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
BATCHES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The numbers of one server."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._requests = Counter(
            "sam_export_requests", "Answers by route and status", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "sam_export_request_seconds",
            "From a request's header to the end of its answer",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self._batches = Histogram(
            "sam_export_batch_size", "Jobs that ran together", ["queue"], buckets=BATCHES, registry=registry
        )
        self._work = Histogram(
            "sam_export_batch_seconds", "Time of a batch on its engine", ["queue"], buckets=SECONDS, registry=registry
        )
        self._lookups = Counter(
            "sam_export_embedding_lookups", "Pictures that were encoded already, or not", ["kept"], registry=registry
        )

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(method if method in METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def batch_observer(self, queue: str) -> Callable[[int, float], None]:
        size, seconds = self._batches.labels(queue), self._work.labels(queue)

        def observe(jobs: int, taken: float) -> None:
            size.observe(jobs)
            seconds.observe(taken)

        return observe

    def looked_up(self, kept: bool) -> None:
        self._lookups.labels("yes" if kept else "no").inc()

    def watch(self, name: str, help_text: str, value: Callable[[], float]) -> None:
        """Show a number that is asked for whenever the metrics are read."""
        Gauge(name, help_text, registry=self._registry).set_function(value)

    def text(self) -> bytes:
        return generate_latest(self._registry)
