"""What is counted, and how it is read: Prometheus metrics, exact over all workers of a service.

Every worker counts in memory-mapped files of its own; a scrape adds all of them up, whichever worker
answers it. A killed worker's totals stay in its files, what it had in progress leaves with it. Until
`start_metrics` is called, as in a command or a test, counting does nothing.
"""

from __future__ import annotations

import atexit
import os
import platform
import time
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal

from misir.errors import MisirError
from misir.plumbing.metrics_dir import VARIABLE, SharedDirectory, choose_directory

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
    from prometheus_client.metrics_core import Metric

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
REQUEST_SECONDS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
"""Fewer than others have: every route has a series for each."""

SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
TENTHS: Final = tuple(n / 10 for n in range(1, 11))
STORAGES: Final = ("memory", "redis", "fallback")
JOB_STATES: Final = ("waiting", "due", "running", "failed", "cancelled")

CaptureResult = Literal["new", "known", "repeated", "pending", "refused"]


class _Families:
    """Our metrics in the making: none is registered, since scrapes read the files and not this process."""

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        from prometheus_client import Counter  # noqa: PLC0415 - see start_metrics

        return Counter(f"misir_{name}", text, labels, registry=None)

    def histogram(
        self, name: str, text: str, *labels: str, buckets: tuple[float, ...] = SECONDS
    ) -> Histogram:
        from prometheus_client import Histogram  # noqa: PLC0415 - see start_metrics

        return Histogram(f"misir_{name}", text, labels, registry=None, buckets=buckets)

    def gauge(
        self,
        name: str,
        text: str,
        *labels: str,
        over_workers: Literal["livesum", "livemin", "livemax"] = "livesum",
    ) -> Gauge:
        from prometheus_client import Gauge  # noqa: PLC0415 - see start_metrics

        return Gauge(f"misir_{name}", text, labels, registry=None, multiprocess_mode=over_workers)


class Metrics:
    """Every metric of this worker. Label values come from small sets, never from a request's text."""

    def __init__(self, directory: SharedDirectory) -> None:
        make = _Families()
        self.directory = directory
        route = ("method", "endpoint")
        self.requests = make.counter("http_requests", "Answered requests.", *route, "status")
        self.durations = make.histogram(
            "http_request_duration_seconds",
            "Time to the last byte, HEAD in GET.",
            *route,
            buckets=REQUEST_SECONDS,
        )
        self.in_progress = make.gauge("http_requests_in_progress", "Requests being answered.", *route)
        self.captures = make.counter("captures", "Captures by what came of them.", "result")
        self.fits = make.histogram("assignment_fit", "Fit of assigned captures, 0..1.", buckets=TENTHS)
        self.texts = make.counter("embedding_texts", "Texts to embed, by cache hit or miss.", "cache")
        self.batches = make.histogram("embedding_batch_texts", "Texts per embedding call.", buckets=SIZES)
        self.embeddings = make.histogram("embedding_duration_seconds", "Time of an embedding call.")
        self.waiting_texts = make.gauge("embedding_queue_texts", "Texts that wait for a vector, or get one.")
        self.runs = make.histogram("embedding_run_texts", "Windows of text per run.", buckets=SIZES)
        self.run_seconds = make.histogram("embedding_run_duration_seconds", "Time of a run.")
        self.joined = make.counter("embedding_joined_texts", "Texts that joined the same text's computation.")
        self.dropped = make.counter("embedding_dropped_calls", "Calls not served, by reason.", "reason")
        self.queue_tokens = make.gauge("embedding_queue_tokens", "Tokens that wait, as estimated.")
        self.searches = make.histogram("search_duration_seconds", "Time of a search.", "mode")
        self.refusals = make.counter("auth_refusals", "Refused tokens and keys, by kind.", "reason")
        self.limits = make.counter("limit_decisions", "Rate-limit decisions.", "decision", "policy")
        self.storage = make.gauge("limiter_storage_workers", "Workers that count limits there.", "storage")
        self.pool = make.gauge("db_pool_connections", "Database pool, all workers together.", "state")
        self.jobs = make.gauge("jobs", "Jobs by kind and state.", "kind", "state", over_workers="livemax")
        self.job_age = make.gauge(
            "job_oldest_age_seconds",
            "How long the oldest due job has waited.",
            "kind",
            over_workers="livemax",
        )
        self.jobs_done = make.counter("jobs_done", "Jobs by what came of them.", "kind", "result")
        self.deliveries = make.counter("webhook_deliveries", "Tries to deliver an event.", "result")
        self.workers = make.gauge("workers", "Live worker processes.")
        self.memory = make.gauge("resident_memory_bytes", "Resident memory of all workers.")
        self.cpu = make.counter("cpu_seconds", "CPU time of all workers.")
        self.info = make.gauge("info", "Always 1.", "version", "python", over_workers="livemax")
        self.started = make.gauge("start_time_seconds", "Unix time of the start.", over_workers="livemin")
        self._routes: dict[tuple[str, str], Route] = {}

    def route(self, method: str, endpoint: str) -> Route:
        """One route's metrics, found once: looking labels up costs more than counting."""
        found = self._routes.get((method, endpoint))
        if found is None:
            found = self._routes[method, endpoint] = Route(self, method, endpoint)
        return found


class Route:
    """What is counted for one method and route template."""

    def __init__(self, metrics: Metrics, method: str, endpoint: str) -> None:
        self._labels = (method, endpoint)
        self._requests = metrics.requests
        self._by_status: dict[int, Counter] = {}
        self.in_progress = metrics.in_progress.labels(*self._labels)
        # HEAD is the same work as GET: a histogram of its own would double the number of series.
        self.durations = metrics.durations.labels("GET" if method == "HEAD" else method, endpoint)

    def begin(self) -> None:
        self.in_progress.inc()

    def end(self, status: int, seconds: float) -> None:
        counter = self._by_status.get(status)
        if counter is None:
            counter = self._by_status[status] = self._requests.labels(*self._labels, str(status))
        counter.inc()
        self.durations.observe(seconds)
        self.in_progress.dec()


_running: list[Metrics] = []


def start_metrics(version: str) -> Metrics:
    """The metrics of this worker, made once per process. Raises MisirError when there is no safe place.

    prometheus_client decides when it is first imported whether it counts in files, by the environment:
    that is why it is imported nowhere at the top of a module.
    """
    if not _running:
        directory = SharedDirectory(choose_directory(os.environ))
        directory.join()
        atexit.register(directory.leave)
        os.environ[VARIABLE] = str(directory.path)
        metrics = Metrics(directory)
        metrics.workers.set(1)
        metrics.started.set(directory.started_s)
        metrics.info.labels(version, platform.python_version()).set(1)
        _running.append(metrics)
    return _running[0]


def running_metrics() -> Metrics | None:
    return _running[0] if _running else None


# ---- counting ------------------------------------------------------------------------------------


def count_capture(result: CaptureResult, fit: float | None = None) -> None:
    for metrics in _running:
        metrics.captures.labels(result).inc()
        if fit is not None:
            metrics.fits.observe(fit)


@contextmanager
def counted_refusals() -> Iterator[None]:
    """A capture that ends in a refusal of ours is counted as refused."""
    try:
        yield
    except MisirError:
        count_capture("refused")
        raise


def count_cache(hits: int, misses: int) -> None:
    for metrics in _running:
        metrics.texts.labels("hit").inc(hits)
        metrics.texts.labels("miss").inc(misses)


@contextmanager
def timed_embedding(n_texts: int) -> Iterator[None]:
    """The call's size and duration; its texts count as waiting while it runs."""
    if not _running:
        yield
        return
    metrics, started = _running[0], time.perf_counter()
    metrics.batches.observe(n_texts)
    metrics.waiting_texts.inc(n_texts)
    try:
        yield
    finally:
        metrics.waiting_texts.dec(n_texts)
        metrics.embeddings.observe(time.perf_counter() - started)


def count_run(n_windows: int, seconds: float) -> None:
    for metrics in _running:
        metrics.runs.observe(n_windows)
        metrics.run_seconds.observe(seconds)


def count_joined(n: int) -> None:
    for metrics in _running:
        metrics.joined.inc(n)


def count_dropped(reason: str) -> None:
    """`reason` is refused, deadline or caller gone."""
    for metrics in _running:
        metrics.dropped.labels(reason).inc()


def set_queue_tokens(tokens: int) -> None:
    for metrics in _running:
        metrics.queue_tokens.set(tokens)


def observe_search(mode: str, seconds: float) -> None:
    for metrics in _running:
        metrics.searches.labels(mode).observe(seconds)


REASONS: Final = {
    "no bearer token": "missing",
    "token too long": "malformed",
    "shape": "malformed",
    "header": "malformed",
    "algorithm": "algorithm",
    "algorithm or key id": "algorithm",
    "key id": "key",
    "unknown key": "key",
    "expired": "expired",
    "signature": "signature",
    "signature: no base64": "malformed",
    "API key: shape": "api key",
    "API key: unknown or revoked": "api key",
}
"""Kinds of refusal; what is not listed is about the token's claims."""


def count_auth_refusal(reason: str) -> None:
    kind = "malformed" if reason.startswith("header:") else REASONS.get(reason, "claims")
    for metrics in _running:
        metrics.refusals.labels(kind).inc()


def count_limits(decided: MutableMapping[tuple[str, str], int]) -> None:
    """Take over what was counted by decision (admitted, refused) and policy, of which there are a dozen."""
    for metrics in _running:
        for labels, n in decided.items():
            metrics.limits.labels(*labels).inc(n)
    decided.clear()


def set_limiter_storage(state: str) -> None:
    """Where this worker counts limits now: one of STORAGES."""
    for metrics in _running:
        for storage in STORAGES:
            metrics.storage.labels(storage).set(storage == state)


def count_job(kind: str, result: Literal["done", "failed"]) -> None:
    for metrics in _running:
        metrics.jobs_done.labels(kind, result).inc()


def count_deliveries(results: Iterable[Literal["delivered", "failed", "given up"]]) -> None:
    for metrics in _running:
        for result in results:
            metrics.deliveries.labels(result).inc()


def set_queue(counts: Mapping[tuple[str, str], int], ages: Mapping[str, float]) -> None:
    """Jobs by (kind, state), and the seconds that the oldest due one of each kind has waited."""
    for metrics in _running:
        for kind, age_s in ages.items():
            metrics.job_age.labels(kind).set(age_s)
            for state in JOB_STATES:
                metrics.jobs.labels(kind, state).set(counts.get((kind, state), 0))


# ---- reading -------------------------------------------------------------------------------------


def _registry(metrics: Metrics) -> CollectorRegistry:
    from prometheus_client import CollectorRegistry  # noqa: PLC0415 - see start_metrics
    from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415

    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(metrics.directory.path))  # type: ignore[no-untyped-call]
    return registry


def read_exposition() -> bytes:
    """The Prometheus text of all workers together. Reads files: not for the event loop."""
    from prometheus_client import generate_latest  # noqa: PLC0415 - see start_metrics

    metrics = _running[0]
    with metrics.directory.settled():
        return generate_latest(_registry(metrics))


def read_families() -> Iterable[Metric]:
    """The same as objects."""
    metrics = _running[0]
    with metrics.directory.settled():
        return list(_registry(metrics).collect())
