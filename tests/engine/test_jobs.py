"""The queue: leased by one, seen and steered by administrators; and what is forgotten after a time."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest

from misir.jobs import worker
from misir.jobs.kinds import ALL, WORK, Job
from misir.jobs.queue import DEPLOYMENT, REFLECT, RETAIN, SWEEP
from misir.jobs.retention import sweep
from misir.resources import Resources
from misir.settings import Settings

ME = Settings(_env_file=None).mock_user_id
SERVICE_KEY = "service-role-key-of-the-project"


@pytest.fixture
def library(library_of: Callable[..., Any]) -> Any:
    return library_of(sea=(1,), wood=(0, 1))


@pytest.fixture
def admin(
    run_app: Callable[..., httpx.Client], server_url: Callable[..., str], database: str, library: Any
) -> httpx.Client:
    client = run_app(
        embedder=library.embedder,
        MOCK_AUTH=False,
        SUPABASE_SERVICE_KEY=SERVICE_KEY,
        DATABASE_SERVICE_URL=server_url(database, "misir_worker"),
    )
    client.headers["Authorization"] = f"Bearer {SERVICE_KEY}"
    return client


def jobs(admin: httpx.Client, **asked: Any) -> list[dict[str, Any]]:
    answer = admin.get("/api/v1/admin/jobs", params=asked)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["jobs"])


def test_administrators_see_the_queue_and_steer_it(
    library: Any, admin: httpx.Client, owner: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spaces = [library.declare(name, "sea") for name in ("A", "B")]
    for space in spaces:
        library.capture(space, "1", "sea")
    assert [(one["kind"], one["state"]) for one in jobs(admin)] == [
        (SWEEP, "waiting"), (REFLECT, "due"), (REFLECT, "due")
    ]  # fmt: skip
    assert [one["space_id"] for one in jobs(admin, kind=REFLECT, user_id=str(ME))] == spaces
    assert [one["user_id"] for one in jobs(admin, kind=SWEEP)] == [str(DEPLOYMENT)]
    page = admin.get("/api/v1/admin/jobs", params={"limit": 2}).json()
    assert len(jobs(admin, limit=2, cursor=page["next_cursor"])) == 1
    first, second = (one["id"] for one in jobs(admin, kind=REFLECT))
    assert admin.post(f"/api/v1/admin/jobs/{first}/cancel").json()["state"] == "cancelled"

    async def fail(*_: Any) -> datetime:
        raise RuntimeError("a page's text")

    with monkeypatch.context() as patch:
        patch.setitem(WORK, REFLECT, fail)
        assert library.work(may_fail=True) == 1
    assert [(one["id"], one["last_error"]) for one in jobs(admin, state="failed")] == [
        (second, "RuntimeError")
    ]
    assert library.work(may_fail=True) == 0
    assert admin.post(f"/api/v1/admin/jobs/{second}/retry").json()["state"] == "due"
    library.capture(spaces[0], "2", "sea")  # new work is left for the one that was cancelled
    assert jobs(admin, state="cancelled") == []
    assert library.work() == 2
    for wrong in ("987654321/retry", "987654321/cancel"):
        assert admin.post(f"/api/v1/admin/jobs/{wrong}").status_code == 404
    assert admin.get("/api/v1/admin/jobs", params={"kind": "x"}).status_code == 422
    audited = owner.execute(
        "select action, target from misir.admin_audit where action like 'POST%' order by id limit 2"
    ).fetchall()
    assert audited == [
        ("POST /admin/jobs/{job_id}/cancel", str(first)), ("POST /admin/jobs/{job_id}/retry", str(second))
    ]  # fmt: skip


def test_a_space_that_took_long_to_look_at_rests(library: Any, owner: psycopg.Connection[Any]) -> None:
    """Who captures without a pause leaves work without a pause."""
    space = library.declare("A", "sea")
    library.capture(space, "1", "sea")
    until = datetime.now(UTC) + timedelta(minutes=1)

    async def rest(res: Resources) -> None:
        job = await worker._lease(res, [REFLECT], datetime.now(UTC))
        assert job is not None
        await worker._finish(res, job, until + timedelta(days=1), datetime.now(UTC), until)

    library.in_process(rest, embedder=library.embedder)
    assert library.work() == 0
    library.capture(space, "2", "sea")
    assert library.work() == 0
    assert library.work(until) == 1
    library.capture(space, "3", "sea")
    assert library.work() == 1
    assert owner.execute("select rest_until from misir.job where kind = 'reflect'").fetchone() == (None,)


def test_a_worker_that_lost_its_lease_finishes_nothing(library: Any, owner: psycopg.Connection[Any]) -> None:
    library.capture(library.declare("A", "sea"), "1", "sea")

    async def lose_it(res: Resources) -> tuple[Job, Job]:
        now = datetime.now(UTC)
        slow = await worker._lease(res, ALL, now)
        quick = await worker._lease(res, ALL, now + timedelta(seconds=worker.LEASE_S + 1))
        assert slow is not None
        assert quick is not None
        await worker._finish(res, slow, now + timedelta(days=9), now)
        await worker._fail(res, slow, RuntimeError(), now)
        return slow, quick

    slow, quick = library.in_process(lose_it, embedder=library.embedder)
    assert (slow.id, slow.lease == quick.lease) == (quick.id, False)
    row = owner.execute(
        "select lease, attempts, last_error from misir.job where id = %s", [slow.id]
    ).fetchone()
    assert row == (quick.lease, 2, None)


def test_the_queue_is_measured(library: Any) -> None:
    library.capture(library.declare("A", "sea"), "1", "sea")

    async def measure(res: Resources) -> float | None:
        await worker.measure(res, datetime.now(UTC) + timedelta(seconds=60))
        return res.queue_age_s

    age_s = library.in_process(measure, embedder=library.embedder)
    assert 60 <= age_s < 120
    assert library.api.get("/health/ready").json()["queue"]["status"] == "not used"


def test_what_is_kept_for_a_time_is_forgotten_and_nothing_else(
    library: Any, owner: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each portion is smaller than what there is to forget."""
    for name in ("N_KEYS", "N_EVENTS", "N_ARTIFACTS", "N_SPACES"):
        monkeypatch.setattr(f"misir.jobs.retention.{name}", 2)
    space, gone, kept = (library.declare(name, "sea") for name in ("A", "Gone", "Kept"))
    ids = [library.capture(space, str(n), f"sea {n}")["artifact_id"] for n in range(5)]
    for n in range(5):
        library.capture(gone, str(n), f"sea {n}")
    library.capture(kept, "1", "sea")
    for artifact in ids[:4]:
        library.ask("DELETE", f"/artifacts/{artifact}")
    owner.execute(
        "update misir.artifact set deleted_at = now() - interval '31 days' where id = any(%s)", [ids[:3]]
    )
    owner.execute("update misir.space set deleted_at = now() - interval '31 days' where id = %s", [gone])
    owner.execute("update misir.space set deleted_at = now() - interval '29 days' where id = %s", [kept])
    for days in (0, 2, 2, 2):
        owner.execute(
            "insert into misir.idempotency_key (user_id, route, key, request_hash, status, body, created_at) "
            "values (%s, 'r', %s, '', 200, '', now() - %s * interval '1 day')", [ME, str(uuid.uuid4()), days]
        )  # fmt: skip
    for days in (29, 31, 31, 31):
        owner.execute(
            "insert into misir.webhook_event (user_id, type, data, created_at) "
            "values (%s, 'x', '{}', now() - %s * interval '1 day')", [ME, days]
        )  # fmt: skip

    async def forget(res: Resources) -> datetime:
        return await sweep(res, datetime.now(UTC))

    assert library.in_process(forget, embedder=library.embedder) > datetime.now(UTC)
    assert sorted(row[0] for row in owner.execute("select id from misir.space").fetchall()) == [space, kept]
    left = owner.execute("select id from misir.artifact where space_id = %s order by id", [space]).fetchall()
    assert [row[0] for row in left] == ids[3:]
    for table in ("idempotency_key", "webhook_event"):
        assert owner.execute(f"select count(*) from misir.{table}".encode()).fetchone() == (1,), table
    assert library.differences() == []
    library.ask("POST", f"/artifacts/{ids[3]}/restore")
    assert library.differences() == []


def test_what_is_restored_while_the_sweep_looks_at_it_stays(
    library: Any, owner: psycopg.Connection[Any]
) -> None:
    space = library.declare("A", "sea")
    library.capture(space, "1", "sea")
    owner.execute("update misir.artifact set deleted_at = now() - interval '31 days'")

    async def forget(res: Resources) -> None:
        await sweep(res, datetime.now(UTC))

    sweeping = threading.Thread(target=lambda: library.in_process(forget, embedder=library.embedder))
    with owner.transaction():
        owner.execute("update misir.artifact set deleted_at = null")
        sweeping.start()
        while owner.execute("select 1 from pg_locks where not granted").fetchone() is None:
            assert sweeping.is_alive()
            time.sleep(0.02)
    sweeping.join(30)
    assert owner.execute("select count(*) from misir.artifact").fetchone() == (1,)


def test_retention_acts_only_for_who_asks_for_it(
    library: Any, owner: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("misir.jobs.retention.N_OUTLIVED", 2)
    space = library.declare("A", "sea", "wood")
    for n in range(5):
        library.capture(
            space, f"old {n}", f"sea {n}", captured_at="2026-01-01T10:00:00Z", engagement_level="engaged"
        )
    library.capture(space, "new", "wood")
    set_settings = "insert into misir.profile (user_id, settings) values (%s, %s) on conflict (user_id) do update set settings = excluded.settings"
    hours = iter(range(1, 99))

    def live(settings: str) -> int:
        owner.execute(set_settings, [ME, settings])
        library.work(datetime.now(UTC) + timedelta(hours=26 * next(hours)))
        row = owner.execute("select count(*) from misir.artifact where deleted_at is null").fetchone()
        assert row is not None
        return int(row[0])

    assert live('{"retention_days": 30}') == 6
    assert live('{"retention_days": "all", "retention_enabled": true}') == 6
    assert live('{"retention_days": 30, "retention_enabled": true}') == 1
    assert library.topics(space)["sea"]["artifact_count"] == 0
    assert library.differences() == []
    newest = library.corrections(space)[0]
    assert (newest["kind"], newest["actor"]) == ("delete", "engine")
    library.undo(newest["id"])
    assert library.differences() == []
    assert live('{"retention_days": 30, "retention_enabled": false}') > 1
    assert owner.execute("select count(*) from misir.job where kind = %s", [RETAIN]).fetchone() == (0,)
