"""What the server counts, in the text format of Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Measures:
    """Counters of one server, in a registry of their own so that several can be in a process."""

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
        self.under_way = Gauge("limssr_requests_under_way", "Read, waiting or being scored.", registry=self.registry)
        self.sessions = Gauge("limssr_live_sessions", "Open live sessions.", registry=self.registry)
