"""The dashboard's figures: metric families in, one JSON document out. Pure but for the clock."""

from __future__ import annotations

import math
import platform
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:  # see metrics.start_metrics
    from prometheus_client.metrics_core import Metric

Labels = tuple[str, ...]
NOTE: Final = "p50, p95 and p99 are interpolated from histogram buckets; past the last one it is its bound."


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram's samples: `buckets` are (upper bound, how many up to it), ascending, the last one +Inf."""

    buckets: list[tuple[float, float]]
    total: float

    @property
    def count(self) -> float:
        return self.buckets[-1][1] if self.buckets else 0.0

    @property
    def mean(self) -> float | None:
        return self.total / self.count if self.count else None

    def quantile(self, q: float) -> float | None:
        """Where share `q` lies, assuming an even spread within a bucket; None for no samples.

        >>> Distribution([(1.0, 10), (2.0, 20), (math.inf, 20)], 25.0).quantile(0.75)
        1.5
        >>> Distribution([(1.0, 0), (math.inf, 4)], 25.0).quantile(0.5)
        1.0
        """
        if not self.count:
            return None
        rank, low, below = q * self.count, 0.0, 0.0
        for bound, upto in self.buckets:
            if upto >= rank and upto > below:
                return low if math.isinf(bound) else low + (bound - low) * (rank - below) / (upto - below)
            low, below = (low if math.isinf(bound) else bound), upto
        return low


class Figures:
    """Metric families by our names."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._samples: dict[str, list[tuple[dict[str, str], float]]] = defaultdict(list)
        for family in families:
            for sample in family.samples:
                self._samples[sample.name.removeprefix("misir_")].append((sample.labels, sample.value))

    def by(self, name: str, *labels: str) -> dict[Labels, float]:
        """Sums by the values of `labels`, in their order."""
        sums: dict[Labels, float] = defaultdict(float)
        for given, value in self._samples[name]:
            sums[tuple(given[label] for label in labels)] += value
        return dict(sorted(sums.items()))

    def sum(self, name: str) -> float:
        return sum(value for _, value in self._samples[name])

    def distributions(self, name: str, *labels: str) -> dict[Labels, Distribution]:
        bounds: dict[Labels, dict[float, float]] = defaultdict(lambda: defaultdict(float))
        for given, value in self._samples[f"{name}_bucket"]:
            bounds[tuple(given[label] for label in labels)][float(given["le"])] += value
        sums = self.by(f"{name}_sum", *labels)
        return {key: Distribution(sorted(found.items()), sums.get(key, 0.0)) for key, found in bounds.items()}

    def distribution(self, name: str) -> Distribution:
        """All of a histogram's samples, whatever their labels."""
        return self.distributions(name).get((), Distribution([], 0.0))


def read_dashboard(
    families: Iterable[Metric], version: str, database: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Everything the page and its JSON say; `database`: its sizes, which no metric has."""
    figures = Figures(families)
    read: dict[str, Any] = {
        "total_requests": int(figures.sum("http_requests_total")),
        "requests": requests(figures),
        "statuses": {key[0]: int(n) for key, n in figures.by("http_requests_total", "status").items()},
        "latency": latencies(figures),
        "latency_overall": milliseconds(figures.distribution("http_request_duration_seconds")),
        "latency_note": NOTE,
        "in_progress": {
            " ".join(key): int(n)
            for key, n in figures.by("http_requests_in_progress", "method", "endpoint").items()
            if n
        },
        "python_info": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
        },
        "version": version,
        "uptime_s": round(time.time() - figures.sum("start_time_seconds"), 1),
        "workers": int(figures.sum("workers")),
        "resident_memory_bytes": int(figures.sum("resident_memory_bytes")),
        "cpu_seconds": round(figures.sum("cpu_seconds_total"), 2),
        "captures": {key[0]: int(n) for key, n in figures.by("captures_total", "result").items()},
        "assignment_fit": summary(figures.distribution("assignment_fit")),
        "embedding": embedding(figures),
        "search": {
            key[0]: milliseconds(found)
            for key, found in sorted(figures.distributions("search_duration_seconds", "mode").items())
        },
        "auth_refusals": {key[0]: int(n) for key, n in figures.by("auth_refusals_total", "reason").items()},
        "limiter": limiter(figures),
        "jobs": jobs(figures),
        "webhook_deliveries": {
            key[0]: int(n) for key, n in figures.by("webhook_deliveries_total", "result").items()
        },
        "database": dict(database or {"tables": [], "problem": None}),
        "database_pool": {key[0]: int(n) for key, n in figures.by("db_pool_connections", "state").items()},
    }
    read["shown"] = show(read)
    return read


def requests(figures: Figures) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for (method, path, status), n in figures.by(
        "http_requests_total", "method", "endpoint", "status"
    ).items():
        one = found.setdefault(f"{method} {path}", {"total": 0, "by_status": {}})
        one["total"] += int(n)
        one["by_status"][status] = int(n)
    return found


def latencies(figures: Figures) -> dict[str, dict[str, Any]]:
    found = figures.distributions("http_request_duration_seconds", "method", "endpoint")
    return {" ".join(key): milliseconds(one) for key, one in sorted(found.items()) if one.count}


def milliseconds(found: Distribution) -> dict[str, Any]:
    """`sum` in seconds, as Prometheus has it; the rest in milliseconds."""
    quantiles = {f"p{q}_ms": _ms(found.quantile(q / 100)) for q in (50, 95, 99)}
    return {
        "sum": round(found.total, 6),
        "count": int(found.count),
        "avg_ms": _ms(found.mean),
        **quantiles,
    }


def summary(found: Distribution) -> dict[str, Any]:
    figures = {"avg": found.mean, **{f"p{q}": found.quantile(q / 100) for q in (50, 95, 99)}}
    rounded = {name: None if value is None else round(value, 3) for name, value in figures.items()}
    return {"count": int(found.count), **rounded}


def embedding(figures: Figures) -> dict[str, Any]:
    texts = {key[0]: int(n) for key, n in figures.by("embedding_texts_total", "cache").items()}
    dropped = figures.by("embedding_dropped_calls_total", "reason")
    return {
        "cache_hits": texts.get("hit", 0),
        "cache_misses": texts.get("miss", 0),
        "queued_texts": int(figures.sum("embedding_queue_texts")),
        "batch_texts": summary(figures.distribution("embedding_batch_texts")),
        "latency": milliseconds(figures.distribution("embedding_duration_seconds")),
        "queued_tokens": int(figures.sum("embedding_queue_tokens")),
        "run_texts": summary(figures.distribution("embedding_run_texts")),
        "run_latency": milliseconds(figures.distribution("embedding_run_duration_seconds")),
        "joined_texts": int(figures.sum("embedding_joined_texts_total")),
        "dropped_calls": {key[0]: int(n) for key, n in dropped.items()},
    }


def limiter(figures: Figures) -> dict[str, Any]:
    decisions: dict[str, dict[str, int]] = defaultdict(dict)
    for (policy, decision), n in figures.by("limit_decisions_total", "policy", "decision").items():
        decisions[policy][decision] = int(n)
    storage = {key[0]: int(n) for key, n in figures.by("limiter_storage_workers", "storage").items() if n}
    return {"decisions": dict(decisions), "storage_by_workers": storage}


def jobs(figures: Figures) -> dict[str, Any]:
    """By kind: how many in each state, and the seconds the oldest due one has waited."""
    found: dict[str, Any] = {
        kind: {"oldest_s": round(age_s, 1)}
        for (kind,), age_s in figures.by("job_oldest_age_seconds", "kind").items()
    }
    for (kind, state), n in figures.by("jobs", "kind", "state").items():
        found.setdefault(kind, {"oldest_s": 0.0})[state] = int(n)
    return found


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


# ---- as the page writes it -----------------------------------------------------------------------


def show(read: dict[str, Any]) -> dict[str, Any]:
    """Words and numbers ready to be put in place, so that the page's script formats nothing itself."""
    return {
        "cards": _cards(read),
        "tables": [
            *(_routes(read), _embedding(read), _searches(read), _jobs(read), _sizes(read), _limits(read)),
            *_lists(read),
        ],
    }


def _cards(read: dict[str, Any]) -> list[dict[str, str]]:
    fit = read["assignment_fit"]["p50"]
    embedded, pool, database = read["embedding"], read["database_pool"], read["database"]
    together = embedded["run_texts"]["avg"]
    looked = embedded["cache_hits"] + embedded["cache_misses"]
    figures = {
        "Requests": _n(read["total_requests"]),
        "In progress": _n(sum(read["in_progress"].values())),
        "All requests, p50": _shown_ms(read["latency_overall"]["p50_ms"]),
        "All requests, p95": _shown_ms(read["latency_overall"]["p95_ms"]),
        "All requests, p99": _shown_ms(read["latency_overall"]["p99_ms"]),
        "Up for": _span(read["uptime_s"]),
        "Workers": _n(read["workers"]),
        "Memory": f"{read['resident_memory_bytes'] / 2**20:,.0f} MiB",
        "CPU time": _span(read["cpu_seconds"]),
        "Embedding, p95": _shown_ms(embedded["latency"]["p95_ms"]),
        "Texts waiting": _n(embedded["queued_texts"]),
        "Tokens waiting": _n(embedded["queued_tokens"]),
        "Texts in a run": "–" if together is None else f"{together:.1f}",
        "A run, p95": _shown_ms(embedded["run_latency"]["p95_ms"]),
        "Computed once for several": _n(embedded["joined_texts"]),
        "Found in cache": f"{embedded['cache_hits'] / looked:.0%}" if looked else "–",
        "Fit, median": "–" if fit is None else f"{fit:.2f}",
        "Connections free": f"{pool.get('available', 0)} of {pool.get('size', 0)}",
        "Waiting for one": _n(pool.get("waiting", 0)),
        "Connections of the database": _of(database.get("connections"), database.get("max_connections")),
        "Database": _size(database.get("database_bytes")),
    }
    return [{"label": label, "value": value} for label, value in figures.items()]


TIMES: Final = ["Count", "Average", "p50", "p95", "p99"]


def _table(key: str, title: str, columns: list[str], rows: Iterable[list[str]]) -> dict[str, Any]:
    return {"key": key, "title": title, "columns": columns, "rows": list(rows)}


def _routes(read: dict[str, Any]) -> dict[str, Any]:
    rows = [
        [route, *_times(read["latency"].get(route)), _pairs(one["by_status"])]
        for route, one in read["requests"].items()
    ]
    return _table("routes", "Requests by route", ["Route", *TIMES, "Answers by status"], rows)


def _embedding(read: dict[str, Any]) -> dict[str, Any]:
    embedded = read["embedding"]
    counted = {"Texts in a call": embedded["batch_texts"], "Texts in a run": embedded["run_texts"]}
    timed = {"A call": embedded["latency"], "A run": embedded["run_latency"]}
    rows = [
        [name, _n(one["count"]), _plain(one["avg"]), *(_whole(one[key]) for key in ("p50", "p95", "p99"))]
        for name, one in counted.items()
    ]
    rows += [[name, *_times(one)] for name, one in timed.items()]
    return _table("embedding", "Embedding", ["", *TIMES], rows)


def _sizes(read: dict[str, Any]) -> dict[str, Any]:
    rows = [
        [one["name"], _n(one["estimated_rows"]), _size(one["total_bytes"]), _size(one["index_bytes"])]
        for one in read["database"]["tables"]
    ]
    problem = read["database"]["problem"]
    columns = ["Table", "Rows, about", "Size", "Of it indexes"]
    return _table("sizes", "Largest tables", columns, [[problem, "–", "–", "–"]] if problem else rows)


def _searches(read: dict[str, Any]) -> dict[str, Any]:
    rows = [[mode, *_times(one)] for mode, one in read["search"].items()]
    return _table("search", "Searches by mode", ["Mode", *TIMES], rows)


def _jobs(read: dict[str, Any]) -> dict[str, Any]:
    states = ("waiting", "due", "running", "failed", "cancelled")
    rows = [
        [kind, *(_n(one.get(state, 0)) for state in states), _span(one["oldest_s"])]
        for kind, one in read["jobs"].items()
    ]
    columns = ["Kind", *(state.capitalize() for state in states), "Oldest due for"]
    return _table("jobs", "Jobs", columns, rows)


def _limits(read: dict[str, Any]) -> dict[str, Any]:
    rows = [
        [policy, _n(one.get("admitted", 0)), _n(one.get("refused", 0))]
        for policy, one in read["limiter"]["decisions"].items()
    ]
    return _table("limits", "Rate limits", ["Limit", "Admitted", "Refused"], rows)


def _lists(read: dict[str, Any]) -> list[dict[str, Any]]:
    lists = {
        ("statuses", "Requests by status", "Status"): read["statuses"],
        ("captures", "Captures", "Result"): read["captures"],
        ("dropped", "Not embedded in time", "Calls, by reason"): read["embedding"]["dropped_calls"],
        ("refusals", "Refused tokens", "Kind"): read["auth_refusals"],
        ("deliveries", "Webhook deliveries", "Result"): read["webhook_deliveries"],
        ("storage", "Where limits are counted", "Storage, by workers"): read["limiter"]["storage_by_workers"],
    }
    return [
        _table(key, title, [column, "Count"], [[name, _n(n)] for name, n in counts.items()])
        for (key, title, column), counts in lists.items()
    ]


def _times(one: dict[str, Any] | None) -> list[str]:
    if one is None:
        return ["–"] * len(TIMES)
    return [_n(one["count"]), *(_shown_ms(one[name]) for name in ("avg_ms", "p50_ms", "p95_ms", "p99_ms"))]


def _n(number: int) -> str:
    return f"{number:,}"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}"


def _whole(value: float | None) -> str:
    """A quantile of counts: where it lies within a bucket is no count, so the next one up."""
    return "–" if value is None else _n(math.ceil(value))


def _of(number: int | None, most: int | None) -> str:
    return "–" if number is None else f"{_n(number)} of {_n(most or 0)}"


def _size(n_bytes: int | None) -> str:
    """Bytes in the largest unit that they fill.

    >>> _size(None), _size(20_480), _size(20 * 2**20), _size(3 * 2**30)
    ('–', '20 KiB', '20.0 MiB', '3.0 GiB')
    """
    if n_bytes is None:
        return "–"
    if n_bytes < 2**20:
        return f"{n_bytes / 2**10:,.0f} KiB"
    return f"{n_bytes / 2**20:,.1f} MiB" if n_bytes < 2**30 else f"{n_bytes / 2**30:,.1f} GiB"


def _pairs(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {_n(n)}" for name, n in counts.items())


def _shown_ms(ms: float | None) -> str:
    return "–" if ms is None else f"{ms:,.1f} ms" if ms < 1000 else f"{ms / 1000:,.2f} s"


def _span(seconds: float) -> str:
    """Seconds in the two largest units.

    >>> _span(59.2), _span(3700), _span(200_000)
    ('59 s', '1 h 1 min', '2 d 7 h')
    """
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
