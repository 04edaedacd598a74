"""What the analytics cost, and the map: `python benchmarks/analytics.py [--quick | --huge]`

Libraries of 10^3, 10^4 and 5·10^4 artifacts (--quick: the first two; --huge: 10^5, too) of one user each, read over two years, half of them in one space of 200
topics, written straight into a PostgreSQL of their own, vacuumed. The views are called in turns, the libraries interleaved, as the user, through the product's
pool, with the sums and turns that the worker keeps (and, where said, without any), and their answers are written as JSON as the routes do it. Rows are {name, value, unit, target, verdict}; p95 of the rounds, and medians to show the
growth. A busy machine makes everything dearer alike: each view is also given as a multiple of a bare count of the same library in the same rounds,
and as what it costs where a bare FastAPI route takes 90 µs, as on the machine that the targets are from; what one takes here is measured before each view.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import shutil
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import psycopg
from http_stack import BARE_US, bare_app, cpu_us
from pydantic import TypeAdapter
from sklearn.manifold import TSNE

from misir.analytics import series, topology, views
from misir.analytics.schemas import (
    ConfidencePoint,
    DriftPoint,
    FocusHistory,
    GlobalAnalytics,
    MarginDistribution,
    SpaceAnalytics,
    Topology,
    VelocityPoint,
)
from misir.analytics.sums import keep_sums, weigh_all
from misir.analytics.turns import keep_turns
from misir.embed.embedder import build_embedder
from misir.orient.layout import Layout, lay_out, place_around, target_distances
from misir.plumbing.embedded_postgres import EmbeddedPostgres
from misir.plumbing.migrate import migrate
from misir.resources import Resources, build_resources
from misir.settings import Settings

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
N_TOPICS = 200
ROUNDS = 30
TARGET_MS = 50.0
AT_SIZE = 50_000

Row = dict[str, Any]
Cost = tuple[float, float, float]
"""Milliseconds of a view by the clock, its CPU, and its CPU where a bare route takes 90 µs."""


def user_of(size: int) -> uuid.UUID:
    return uuid.UUID(int=size, version=4)


def fill(conn: psycopg.Connection[Any], size: int, model: str) -> int:
    """One user's library; the id of its large space. Every tenth artifact was read twice."""
    user = user_of(size)
    spaces = [
        row[0]
        for row in conn.execute(
            "insert into misir.space (user_id, name, intention, created_at) select %s, 'S' || n, 'x', '2020-01-01'"
            " from generate_series(1, 6) n returning id",
            [user],
        ).fetchall()
    ]
    conn.execute(
        "insert into misir.subspace (user_id, space_id, name, model, centroid, artifact_count, confidence, weight_sum, map_x, map_y, created_at)"
        " select %(user)s, (%(spaces)s::bigint[])[case when n <= %(half)s then 1 else 2 + n %% 5 end], 'T' || n, %(model)s,"
        " array(select (random() - 0.5 + n * 0)::real from generate_series(1, 384))::vector, greatest(%(size)s / %(n)s, 1), random(), 10,"
        " random() - 0.5, random() - 0.5, '2020-01-01' from generate_series(1, %(n)s) n",
        {"user": user, "spaces": spaces, "half": N_TOPICS, "n": 2 * N_TOPICS, "model": model, "size": size},
    )
    conn.execute(
        "insert into misir.artifact (user_id, space_id, subspace_id, url, normalized_url, url_hash, content_hash, title, domain, content, word_count,"
        " content_source, engagement_level, decay_rate, similarity, fit, captured_at, taught_weight, learned_seq)"
        " select t.user_id, t.space_id, case when random() < 0.9 then t.id end, 'https://b.example/' || n, 'https://b.example/' || n,"
        " sha256(n::text::bytea), sha256(n::text::bytea), 'Page ' || n, 'd' || (n %% 97) || '.example', repeat('word ', 200), 200,"
        " (array['web', 'web', 'pdf', 'note'])[1 + n %% 4]::misir.content_source,"
        " (array['latent', 'discovered', 'engaged', 'saturated'])[1 + floor(4 * random() * random())::int]::misir.engagement_level, 'high',"
        " 0.3 + 0.3 * random(), random(), %(now)s::timestamptz - random() * interval '730 days', 1, n"
        " from generate_series(1, %(size)s) n"
        " join (select id, user_id, space_id, row_number() over (order by id) - 1 as place from misir.subspace where user_id = %(user)s) t"
        " on t.place = n %% %(topics)s",
        {"user": user, "size": size, "now": NOW, "topics": 2 * N_TOPICS},
    )
    conn.execute(
        "insert into misir.signal (user_id, space_id, artifact_id, subspace_id, seq, event_hash, payload_hash, engagement_level, base_weight,"
        " config_version, occurred_at, similarity, fit, dwell_time_ms)"
        " select a.user_id, a.space_id, a.id, a.subspace_id, row_number() over (partition by a.space_id order by a.captured_at, visit), 'x', visit::text::bytea,"
        " a.engagement_level, 1, 1, a.captured_at - visit * interval '20 days', a.similarity, a.fit, case when a.id %% 3 = 0 then 90000 end"
        " from misir.artifact a cross join generate_series(0, 1) visit where a.user_id = %(user)s and (visit = 0 or a.id %% 10 = 0)",
        {"user": user},
    )
    conn.execute(
        "insert into misir.subspace_snapshot (subspace_id, day, user_id, model, centroid, artifact_count, signal_count, confidence, map_x, map_y)"
        " select distinct on (t.id, a.captured_at::date) t.id, a.captured_at::date, t.user_id, t.model, t.centroid, 3, 3, random(), t.map_x, t.map_y"
        " from misir.artifact a join misir.subspace t on t.id = a.subspace_id where a.user_id = %(user)s",
        {"user": user},
    )
    conn.execute(
        "insert into misir.map_layout (space_id, user_id, seq, topic_count, scale, stress, computed_at) values (%s, %s, 1, 1, 1, 0, %s)",
        [spaces[0], user, NOW],
    )
    return int(spaces[0])


View = Callable[[Resources, uuid.UUID, int], Awaitable[Any]]


async def _global(res: Resources, user: uuid.UUID, _: int) -> Any:
    return await views.global_analytics(res, user, now=NOW)


BARE = "bare count"
COLD_GLOBAL, COLD_SPACE = "global, nothing kept", "space, nothing kept"


async def _bare(res: Resources, user: uuid.UUID, _: int) -> Any:
    """The least that one pass over a library costs, with the way there and back."""
    async with res.database.as_user(user) as tx:
        statement = (
            b"select count(*) as count from misir.artifact where user_id = %(user_id)s and deleted_at is null"
        )
        return (await (await tx.ask(statement)).fetchone() or {})["count"]


async def _space(res: Resources, user: uuid.UUID, space: int) -> Any:
    return await views.space_analytics(res, user, space, now=NOW)


def _cold(view: View) -> View:
    """Before the worker has come by, as after a large import."""

    async def look(res: Resources, user: uuid.UUID, space: int) -> Any:
        with patch.object(views, "weigh", weigh_all):
            return await view(res, user, space)

    return look


VIEWS: dict[str, View] = {
    BARE: _bare,
    "global": _global,
    COLD_GLOBAL: _cold(_global),
    COLD_SPACE: _cold(_space),
    "space": _space,
    "space as of a year ago": lambda res, user, space: views.space_analytics(
        res, user, space, now=NOW, as_of=NOW - timedelta(days=365)
    ),
    "focus": lambda res, user, space: views.focus_history(res, user, space, now=NOW),
    "fit": views.margin_distribution,
    "drift": series.drift_series,
    "velocity": lambda res, user, space: series.velocity_series(res, user, space, now=NOW),
    "confidence": lambda res, user, space: series.confidence_series(res, user, space, now=NOW),
    "topology": lambda res, user, space: topology.get_topology(res, user, space, now=NOW),
}
ANSWERS: dict[str, Any] = {
    BARE: int,
    "global": GlobalAnalytics,
    COLD_GLOBAL: GlobalAnalytics,
    COLD_SPACE: SpaceAnalytics,
    "space": SpaceAnalytics,
    "space as of a year ago": SpaceAnalytics,
    "focus": FocusHistory,
    "fit": MarginDistribution,
    "drift": list[DriftPoint],
    "velocity": list[VelocityPoint],
    "confidence": list[ConfidencePoint],
    "topology": Topology,
}
WRITERS = {view: TypeAdapter(answer) for view, answer in ANSWERS.items()}


def cpu_ns(backends: list[int]) -> int:
    """Of this process and of PostgreSQL's backends: what a view costs, however busy the machine is."""
    theirs = sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in backends)
    return time.process_time_ns() + theirs


async def measure_views(
    res: Resources, spaces: dict[int, int], rounds: int, backends: list[int]
) -> dict[tuple[str, int], list[Cost]]:
    """What each view costs on each library, in turns, every second round backwards."""
    found: dict[tuple[str, int], list[Cost]] = {(view, size): [] for view in VIEWS for size in spaces}
    app = bare_app()
    for number in range(-2, rounds):
        for view, size in list(found)[:: 1 if number % 2 else -1]:
            route_us = await cpu_us(app, "")
            began, spent = time.perf_counter(), cpu_ns(backends)
            answer = await VIEWS[view](res, user_of(size), spaces[size])
            WRITERS[view].dump_json(WRITERS[view].validate_python(answer))
            if number >= 0:
                wall, cpu = (time.perf_counter() - began) * 1e3, (cpu_ns(backends) - spent) / 1e6
                found[view, size].append((wall, cpu, cpu * BARE_US / route_us))
    return found


def p95(times: list[float]) -> float:
    return sorted(times)[min(len(times) - 1, int(0.95 * len(times)))]


def row(name: str, value: float, unit: str, target: str, *, is_met: bool) -> Row:
    return {
        "name": name,
        "value": round(value, 3),
        "unit": unit,
        "target": target,
        "verdict": "met" if is_met else "missed",
    }


def view_rows(found: dict[tuple[str, int], list[Cost]], sizes: list[int]) -> list[Row]:
    """The time of a view on a machine with nothing else to do is its CPU; the wall's is printed beside it."""
    rows, judged = [], max(size for size in sizes if size <= AT_SIZE)
    bare = statistics.median(one[1] for one in found[BARE, judged])
    for view in VIEWS:
        wall, cpu, there = (p95([one[at] for one in found[view, judged]]) for at in (0, 1, 2))
        growth = " → ".join(f"{statistics.median(one[1] for one in found[view, size]):.1f}" for size in sizes)
        among = ", ".join(f"{size:,}" for size in sizes)
        times = statistics.median(one[1] for one in found[view, judged]) / bare
        name = f"{view}: CPU, p95 at {judged:,} artifacts (wall {wall:.0f}; {times:.1f} bare counts; median CPU at {among}: {growth})"
        rows.append(row(name, cpu, "ms", f"≤ {TARGET_MS:.0f}", is_met=cpu <= TARGET_MS))
        name = f"{view}: the same, where a bare FastAPI route takes {BARE_US:.0f} µs"
        rows.append(row(name, there, "ms", f"≤ {TARGET_MS:.0f}", is_met=there <= TARGET_MS))
    return rows


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def texts(n_topics: int, n_items: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(seed)
    fields = unit(chance.normal(size=(6, 384)))
    topics = unit(fields[np.arange(n_topics) % 6] + chance.normal(size=(n_topics, 384)) / 384**0.5)
    of = np.repeat(np.arange(n_topics), n_items)
    return unit(topics[of] + 1.5 * chance.normal(size=(len(of), 384)) / 384**0.5), of


def centroids(items: np.ndarray, of: np.ndarray) -> np.ndarray:
    return unit(np.array([items[of == topic].mean(axis=0) for topic in np.unique(of)]))


def trustworthiness(apart: np.ndarray, points: np.ndarray, k: int = 5) -> float:
    n = len(points)
    ranks = np.argsort(np.argsort(apart - np.eye(n), axis=1), axis=1)
    nearest = np.argsort(np.linalg.norm(points[:, None] - points[None], axis=-1) - np.eye(n), axis=1)[
        :, 1 : k + 1
    ]
    excess = np.maximum(np.take_along_axis(ranks, nearest, axis=1) - k, 0).sum()
    return float(1 - 2 / (n * k * (2 * n - 3 * k - 1)) * excess)


def against_tsne(first: np.ndarray, second: np.ndarray, before: Layout) -> tuple[float, float, float]:
    """Milliseconds of a map drawn again, ours and t-SNE's, in turns; and how far t-SNE moves what did not change."""
    taken: dict[str, list[float]] = {"ours": [], "t-SNE": []}

    def tsne(vectors: np.ndarray) -> np.ndarray:
        return np.asarray(
            TSNE(perplexity=15, metric="cosine", init="random", random_state=1).fit_transform(vectors)
        )

    works: dict[str, Callable[[], Any]] = {
        "ours": lambda: lay_out(second, before.places, before.scale),
        "t-SNE": lambda: tsne(second),
    }
    for number in range(6):
        for name, work in list(works.items())[:: -1 if number % 2 else 1]:
            began = time.perf_counter()
            work()
            if number:
                taken[name].append((time.perf_counter() - began) * 1e3)
    old, new = tsne(first), tsne(second)
    diameter = np.linalg.norm(old[:, None] - old[None], axis=-1).max()
    moved = np.linalg.norm(new[25:] - old[25:], axis=1).mean() / diameter
    return float(np.median(taken["ours"])), float(np.median(taken["t-SNE"])), float(moved)


def map_rows() -> list[Row]:
    items, of = texts(50, 20, 1)
    first = centroids(items, of)
    before = lay_out(first, np.full((50, 2), np.nan))
    chance = np.random.default_rng(2)
    more_of = chance.integers(0, 25, 50)
    more = unit(first[more_of] + texts(50, 1, 3)[0])
    second = centroids(np.vstack([items, more]), np.concatenate([of, more_of]))
    after = lay_out(second, before.places, before.scale)
    ours_ms, tsne_ms, tsne_moved = against_tsne(first, second, before)
    diameter = np.linalg.norm(before.places[:, None] - before.places[None], axis=-1).max()
    moved = np.linalg.norm(after.places[25:] - before.places[25:], axis=1).mean() / diameter
    trusted = trustworthiness(target_distances(second), after.places)
    big, big_of = texts(200, 50, 4)
    began = time.perf_counter()
    large = lay_out(centroids(big, big_of), np.full((200, 2), np.nan))
    placed = place_around(big, big_of, centroids(big, big_of), large.places, np.full((len(big), 2), np.nan))
    seconds = time.perf_counter() - began
    sample = np.random.default_rng(5).permutation(len(big))[:2000]
    near = trustworthiness(np.square(1 - big[sample] @ big[sample].T), placed[sample])
    return [
        row("map of 50 topics: trustworthiness at 5", trusted, "", "≥ 0.95", is_met=trusted >= 0.95),
        row(
            "map of 50 topics, 5 % more items: mean movement of unchanged topics",
            moved,
            "diameters",
            "≤ 0.05",
            is_met=moved <= 0.05,
        ),
        row("map of 50 topics: drawn again", ours_ms, "ms", "printed", is_met=True),
        row(
            "map of 50 topics: t-SNE (scikit-learn) over ours",
            tsne_ms / ours_ms,
            "times",
            "≥ 20",
            is_met=tsne_ms >= 20 * ours_ms,
        ),
        row(
            "map of 50 topics: t-SNE's movement of unchanged topics",
            tsne_moved,
            "diameters",
            "printed",
            is_met=True,
        ),
        row(
            "map of 200 topics and 10,000 artifacts: drawn from nothing",
            seconds,
            "s",
            "≤ 60",
            is_met=seconds <= 60,
        ),
        row("artifacts of that map: trustworthiness at 5 (2,000 of them)", near, "", "printed", is_met=True),
        *others_rows(big, sample, seconds),
    ]


def others_rows(items: np.ndarray, sample: np.ndarray, ours_s: float) -> list[Row]:
    """The same 10,000 artifacts by UMAP and PaCMAP (the extra `peers`), from nothing; the first run compiles."""
    rows = []
    for name, lay in others().items():
        lay(items[:500])
        began = time.perf_counter()
        places = np.asarray(lay(items))
        taken = time.perf_counter() - began
        near = trustworthiness(np.square(1 - items[sample] @ items[sample].T), places[sample])
        what = f"map of 10,000 artifacts: {name}"
        rows += [
            row(f"{what} over ours, which has topics, too", taken / ours_s, "times", "printed", is_met=True),
            row(f"{what}: trustworthiness at 5 (2,000 of them)", near, "", "printed", is_met=True),
        ]
    return rows


def others() -> dict[str, Callable[[np.ndarray], Any]]:
    """What else lays out points, as far as it is installed."""
    try:
        from pacmap import PaCMAP  # noqa: PLC0415 - an extra
        from umap import UMAP  # noqa: PLC0415
    except ImportError:
        sys.stderr.write("UMAP and PaCMAP are not installed: pip install 'misir[peers]'\n")
        return {}
    return {
        "UMAP": lambda vectors: UMAP(metric="cosine", random_state=1).fit_transform(vectors),
        "PaCMAP": lambda vectors: PaCMAP(distance="angular", random_state=1).fit_transform(vectors),
    }


async def keep_all(res: Resources, url: str, sizes: Iterable[int]) -> None:
    """As the worker does after it has looked at a space."""
    with psycopg.connect(url, autocommit=True) as conn:
        for user in map(user_of, sizes):
            for (space,) in conn.execute("select id from misir.space where user_id = %s", [user]).fetchall():
                await keep_sums(res, user, space, NOW - timedelta(days=1))
                await keep_turns(res, user, space, NOW - timedelta(days=1))
        conn.execute("vacuum analyze misir.topic_sum, misir.topic_turns")


async def run(url: str, spaces: dict[int, int], rounds: int) -> dict[tuple[str, int], list[Cost]]:
    settings: Any = Settings(
        _env_file=None, MOCK_AUTH=True, DATABASE_URL=url, DATABASE_SERVICE_URL=url, DB_POOL_SIZE=1, JOBS="off",
        RATE_LIMIT_ENABLED=False,
    )  # fmt: skip
    res = build_resources(settings)
    await res.start()
    try:
        await keep_all(res, url, spaces)
        async with res.database.as_nobody() as tx:
            row = await (await tx.ask(b"select pg_backend_pid() as pid")).fetchone() or {}
        gc.freeze()  # as a server's worker does
        return await measure_views(res, spaces, rounds, [row["pid"]])
    finally:
        await res.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--huge", action="store_true")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    sizes = [1_000, 10_000] if chosen.quick else [1_000, 10_000, 50_000]
    sizes += [100_000] if chosen.huge else []
    root = Path(tempfile.mkdtemp(prefix="misir-bench-"))
    root.chmod(0o755)
    postgres = EmbeddedPostgres(root)  # as it runs for people: durable, and vacuumed
    postgres.start()
    try:
        spec = build_embedder(Settings(_env_file=None)).spec
        migrate(postgres.url("postgres"), app_login="postgres", service_login="postgres", model=spec)
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as conn:
            spaces = {size: fill(conn, size, spec.fingerprint) for size in sizes}
            conn.execute("vacuum analyze")
        found = asyncio.run(run(postgres.url("postgres"), spaces, 5 if chosen.quick else ROUNDS))
    finally:
        postgres.stop()
        shutil.rmtree(root, ignore_errors=True)
    rows = view_rows(found, sizes) + map_rows()
    for one in rows:
        sys.stdout.write(
            f"{one['verdict']:>7}  {one['value']:>9} {one['unit']:<9} {one['target']:<8} {one['name']}\n"
        )
    if chosen.json:
        chosen.json.write_text(
            json.dumps({"measured_at": datetime.now(UTC).isoformat(), "rows": rows}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
