"""What the server counts, in the text format of Prometheus."""

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Where it is set, prometheus_client keeps counters in files there, and workers find each other's."""

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Measures:
    """Counters of one server, in a registry of their own so that several can be in a process.

    With several workers `text` has the sums over all of them; what a worker counted stays when it dies, and what it
    had open goes.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("limssr_requests", "Requests answered.", ["route", "status"], registry=self.registry)
        self.seconds = Histogram(
            "limssr_request_seconds", "From the head of a request to its answer.", ["route"],
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.samples = Counter("limssr_samples", "Samples scored.", ["model"], registry=self.registry)
        self.scoring = Histogram(
            "limssr_scoring_seconds", "In the scoring of one request, its share of a batch included.",
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.under_way = Gauge("limssr_requests_under_way", "Read, waiting or being scored.", registry=self.registry,
                               multiprocess_mode="livesum")  # fmt: skip
        self.sessions = Gauge("limssr_live_sessions", "Open live sessions.", registry=self.registry,
                              multiprocess_mode="livesum")  # fmt: skip

    def text(self) -> bytes:
        """In the format of Prometheus."""
        if FOLDER not in os.environ:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)
        return generate_latest(together)
