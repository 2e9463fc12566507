"""Figures of one service for Prometheus. They belong to the service, not to the process."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from graft.core.version import __version__

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LATENCY_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
GROUP_IMAGES = (1, 2, 4, 8, 16, 32)


class Metrics:
    """What is counted."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter("graft_requests", "Requests that were answered", ("route", "status"), registry=registry)
        self.seconds = Histogram(
            "graft_request_seconds",
            "Time from a request's head to the end of its answer",
            ("route",),
            buckets=LATENCY_SECONDS,
            registry=registry,
        )
        self.images = Counter("graft_images", "Images that were answered", ("outcome",), registry=registry)
        self.groups = Histogram(
            "graft_group_images", "Images that the worker answered together", buckets=GROUP_IMAGES, registry=registry
        )
        self.waiting = Gauge(
            "graft_waiting_images", "Images that were accepted and have no answer yet", registry=registry
        )
        self.body_bytes = Gauge("graft_body_bytes", "Bytes of requests' bodies in memory", registry=registry)
        self.restarts = Counter("graft_worker_restarts", "Times the worker was started again", registry=registry)
        self.reloads = Counter(
            "graft_reloads", "Times the classifier's file was replaced", ("outcome",), registry=registry
        )
        self.ready = Gauge("graft_ready", "1 while the classifier answers", registry=registry)
        self.version = Gauge("graft_version", "1, with the version as label", ("version",), registry=registry)
        self.version.labels(__version__).set(1)

    def text(self) -> bytes:
        """All figures as Prometheus reads them."""
        return generate_latest(self._registry)
