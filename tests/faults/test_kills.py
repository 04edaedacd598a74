"""Processes die in the middle; what was answered is there, once, with its event, which arrives; topics agree with the log."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import numpy as np

from misir.resources import build_resources
from misir.settings import Settings
from misir.spaces.replay import check_space

ME = Settings(_env_file=None).mock_user_id
RETRIED = {409, 503}
CHANCE = random.Random(7)  # noqa: S311


def insist(site: Any, path: str, body: dict[str, Any], key: str) -> dict[str, Any]:
    """As a client's offline queue: the same request until it is answered."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(httpx.HTTPError):
            answer = site.api.post(f"/api/v1{path}", json=body, headers={"Idempotency-Key": key})
            if answer.is_success:
                return dict(answer.json())
            assert answer.status_code in RETRIED, answer.text
        time.sleep(0.05)
    raise AssertionError("it was never answered")


def page(site: Any, space: int, number: int, centre: np.ndarray) -> dict[str, Any]:
    """With a vector of its own near one of two centres, so that no model is asked."""
    noise = np.random.default_rng(number).normal(size=centre.size, scale=0.02)
    return {
        "space_id": space,
        "url": f"https://x.example/{number}",
        "title": f"page {number}",
        "embedding": [float(one) for one in centre + noise],
        "embedding_model": site.embedder.fingerprint,
        "captured_at": "2026-01-01T10:00:00Z",
        "engagement_level": "engaged",
    }


def differences(site: Any, space: int) -> list[Any]:
    async def check() -> list[Any]:
        res = build_resources(
            Settings(_env_file=None, MOCK_AUTH=True, DATABASE_URL=site.settings["DATABASE_URL"]),
            embedder=site.embedder,
        )
        await res.start()
        try:
            return list((await check_space(res, ME, space)).differences)
        finally:
            await res.close()

    return asyncio.run(check())


class Moody:
    """A receiver that fails at random, hangs up, and remembers what it accepted and what it saw."""

    def __init__(self) -> None:
        self.seen: dict[str, set[bytes]] = {}
        self.accepted = set[str]()
        self.lock = threading.Lock()
        moody = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                name = self.headers["webhook-id"]
                with moody.lock:
                    moody.seen.setdefault(name, set()).add(body)
                    mood = CHANCE.random()
                if mood < 0.1:
                    self.close_connection = True
                    return
                status = 500 if mood < 0.3 else 204
                if status == 204:
                    with moody.lock:
                        moody.accepted.add(name)
                self.send_response(status)
                self.send_header("Content-Length", "0") if status != 204 else None
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def wait_for(condition: Callable[[], bool], site: Any, endpoint: int) -> None:
    """Time passes quickly here: no delivery, and no lease of a dead worker, waits for its minutes."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        site.rows(
            "update misir.webhook_delivery set next_attempt_at = now() where state = 'pending' returning 1"
        )
        site.rows(
            "update misir.job set leased_until = least(leased_until, now() + interval '2 seconds') "
            "where kind = 'deliver' returning 1"
        )
        site.api.patch(f"/api/v1/webhooks/{endpoint}", json={"enabled": True})  # wakes the worker
        time.sleep(0.1)


def test_processes_and_the_database_die_and_nothing_is_lost_or_done_twice(site: Any) -> None:
    """Writers insist, servers (which send, too) and PostgreSQL are killed, receivers fail at random."""
    n_kills, n_writers, n_batches, n_each = (20, 4, 60, 25) if site.is_long else (2, 2, 4, 8)
    server = site.serve()
    moody = Moody()
    endpoint = insist_on_listening(site, f"http://127.0.0.1:{moody.server.server_port}/")["id"]
    space = insist(site, "/spaces", {"name": "S"}, "space")["id"]
    centres = np.random.default_rng(1).normal(size=(2, site.embedder.dimension))
    acknowledged = list[int]()

    def write(writer: int) -> None:
        for batch in range(n_batches):
            first = (writer * n_batches + batch) * (n_each + 1)
            items = [page(site, space, first + n, centres[n % 2]) for n in range(n_each)]
            done = insist(site, "/artifacts/batch", {"artifacts": items}, f"batch {first}")
            assert done["failed"] == []
            acknowledged.extend(one["artifact_id"] for one in done["successful"])
            alone = page(site, space, first + n_each, centres[0])
            acknowledged.append(insist(site, "/capture", alone, f"capture {first}")["artifact_id"])

    with ThreadPoolExecutor(n_writers) as pool:
        writing = [pool.submit(write, writer) for writer in range(n_writers)]
        for kill in range(n_kills):
            n_before = len(acknowledged)
            while len(acknowledged) <= n_before and not all(one.done() for one in writing):
                time.sleep(0.01)
            time.sleep(CHANCE.random() * 0.1)
            if kill == n_kills // 2:
                site.restart_postgres()
            site.kill(server)
            server = site.serve()
        for one in writing:
            one.result()
    n_pages = n_writers * n_batches * (n_each + 1)
    assert len(acknowledged) == len(set(acknowledged)) == n_pages
    stored = {row[0] for row in site.rows("select id from misir.artifact where deleted_at is null")}
    assert stored == set(acknowledged)
    once = [(one, 1) for one in sorted(stored)]
    assert site.rows("select artifact_id, count(*) from misir.signal group by 1 order by 1") == once
    told = site.rows(
        "select (data ->> 'artifact_id')::bigint, count(*) from misir.webhook_event "
        "where type = 'artifact.created' group by 1 order by 1"
    )
    assert told == once
    assert differences(site, space) == []

    pending = "select 1 from misir.webhook_delivery where state = 'pending' limit 1"
    wait_for(lambda: not site.rows(pending), site, endpoint)
    site.kill(server)
    moody.server.shutdown()
    moody.server.server_close()
    expected = {f"evt_{row[0].hex}" for row in site.rows("select uid from misir.webhook_event")}
    assert moody.accepted == set(moody.seen) == expected
    assert {len(bodies) for bodies in moody.seen.values()} == {1}
    states = site.rows("select state, count(*) from misir.webhook_delivery group by 1")
    assert states == [("delivered", len(expected))]


def insist_on_listening(site: Any, url: str) -> dict[str, Any]:
    answer = site.api.post("/api/v1/webhooks", json={"url": url})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())
