"""Processes die in the middle; what was answered is there, once, with its event, which arrives; topics agree with the log."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import numpy as np

from misir.resources import build_resources
from misir.settings import Settings
from misir.spaces.replay import check_space
from misir.webhooks.deliver import N_OPEN
from misir.webhooks.sign import SCHEDULE_S

ME = Settings(_env_file=None).mock_user_id
RETRIED = {409, 503}
CHANCE = random.Random(7)  # noqa: S311


def insist(site: Any, path: str, body: dict[str, Any], key: str) -> dict[str, Any]:
    """As a client's offline queue: the same request until it is answered."""
    deadline = time.monotonic() + (600 if site.is_long else 60)
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


@dataclass(frozen=True)
class Moods:
    """How often a receiver does what it should not."""

    fails: float = 0.2
    resets: float = 0.1
    hangs: float = 0.0


class Moody:
    """A receiver that fails at random, hangs, hangs up, and remembers what it accepted and what it saw.

    An event is known by path and id: an endpoint has a path of its own.
    """

    def __init__(self, moods: Moods) -> None:
        self.seen: dict[str, set[bytes]] = {}
        self.accepted = Counter[str]()
        self.n_asked = Counter[str]()
        self.lock = threading.Lock()
        self.moods = moods
        moody = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if len(body) == int(self.headers["Content-Length"]):  # else whoever asked was killed
                    moody.meet(self, self.path + self.headers["webhook-id"], body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def meet(self, request: BaseHTTPRequestHandler, name: str, body: bytes) -> None:
        moods = self.moods
        with self.lock:
            self.seen.setdefault(name, set()).add(body)
            mood = CHANCE.random()
            does = "fails" if mood < moods.fails else "accepts"
            if mood > 1 - moods.resets - moods.hangs:
                does = "hangs" if mood > 1 - moods.hangs else "resets"
            self.n_asked[does] += 1
            self.accepted[name] += does == "accepts"
        if does == "hangs":
            time.sleep(3)  # whoever asks has given up by then
        if does in {"hangs", "resets"}:
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            request.close_connection = True
            return
        with suppress(OSError):  # whoever asked was killed
            request.send_response(500 if does == "fails" else 204)
            request.send_header("Content-Length", "0") if does == "fails" else None
            request.end_headers()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Sender:
    """Time passes quickly here: no delivery waits for its minutes.

    What was given up after its eight tries is sent again by hand, as its owner would.
    """

    def __init__(self, site: Any, endpoints: list[int]) -> None:
        self.site, self.endpoints = site, endpoints
        self.n_given_up = 0

    def hurry(self) -> None:
        soon = (
            "update misir.webhook_delivery set next_attempt_at = now() "
            "where state = 'pending' and next_attempt_at > now() returning 1"
        )
        self.site.rows(soon)
        self.site.rows(
            "update misir.job set run_at = now() "
            "where kind = 'deliver' and leased_until is null and run_at > now() returning 1"
        )
        for endpoint in self.endpoints:
            self.site.api.patch(f"/api/v1/webhooks/{endpoint}", json={"enabled": True})  # wakes the worker
        failed = "select endpoint_id, id, attempt_count from misir.webhook_delivery where state = 'failed'"
        for endpoint, delivery, n_tries in self.site.rows(failed):
            assert n_tries == len(SCHEDULE_S)
            again = f"/api/v1/webhooks/{endpoint}/deliveries/{delivery}/redeliver"
            assert self.site.api.post(again).status_code == 202
            self.n_given_up += 1

    def n_waiting(self) -> int:
        return int(
            self.site.rows("select count(*) from misir.webhook_delivery where state <> 'delivered'")[0][0]
        )

    def wait_until_at_most(self, n_left: int) -> None:
        """The deadline is for standing still."""
        n_before, deadline = self.n_waiting(), time.monotonic() + 60
        while (n_now := self.n_waiting()) > n_left:
            if n_now < n_before:
                n_before, deadline = n_now, time.monotonic() + 60
            assert time.monotonic() < deadline, f"{n_now} deliveries stand still"
            self.hurry()
            time.sleep(0.1)


def test_processes_and_the_database_die_and_nothing_is_lost_or_done_twice(site: Any) -> None:
    """Writers insist, servers (which send, too) and PostgreSQL are killed, receivers fail at random."""
    n_kills, n_writers, n_batches, n_each = (30, 4, 50, 200) if site.is_long else (2, 2, 4, 8)
    n_pages = n_writers * n_batches * (n_each + 1)
    started = time.monotonic()
    server = site.serve()
    moody = Moody(Moods())
    endpoint = listen(site, moody.url)
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
            at = (kill + CHANCE.random()) * n_pages / n_kills  # some time in its share of the work
            while len(acknowledged) < at and not all(one.done() for one in writing):
                time.sleep(0.01)
            if kill == n_kills // 2:
                site.restart_postgres()
            site.kill(server)
            site.end_leases()
            server = site.serve()
        for one in writing:
            one.result()
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

    site.note(
        "kills", servers_killed=n_kills, postgresql_restarted=1, batches=n_writers * n_batches, pages_a_batch=n_each,
        pages=n_pages, lost=0, doubled=0, events=len(told), events_lost=0, events_doubled=0, differences_from_log=0,
        seconds=round(time.monotonic() - started),
    )  # fmt: skip
    if not site.is_long:  # tens of thousands of deliveries take too long: the next test sends thousands
        Sender(site, [endpoint]).wait_until_at_most(0)
        expected = {f"/evt_{row[0].hex}" for row in site.rows("select uid from misir.webhook_event")}
        assert {*+moody.accepted} == set(moody.seen) == expected
    assert {len(bodies) for bodies in moody.seen.values()} == {1}
    site.kill(server)
    moody.close()


def test_whoever_sends_dies_and_everything_arrives_hardly_anything_twice(site: Any) -> None:
    """Receivers that fail, hang and hang up at half of all tries, and a dispatcher killed again and again."""
    n_kills, n_batches, n_each, n_endpoints = (20, 10, 200, 4) if site.is_long else (2, 2, 25, 2)
    started = time.monotonic()
    server = site.serve(JOBS="off")
    site.rows("delete from misir.webhook_endpoint returning 1")
    moody = Moody(Moods(fails=0.3, resets=0.1, hangs=0.1))
    endpoints = [listen(site, f"{moody.url}/{n}", "artifact.created") for n in range(n_endpoints)]
    space = insist(site, "/spaces", {"name": "Told"}, "told")["id"]
    centre = np.random.default_rng(2).normal(size=site.embedder.dimension)
    for batch in range(n_batches):
        items = [page(site, space, batch * n_each + n, centre) for n in range(n_each)]
        assert insist(site, "/artifacts/batch", {"artifacts": items}, f"told {batch}")["failed"] == []
    sender = Sender(site, endpoints)
    n_deliveries = sender.n_waiting()
    assert n_deliveries == n_batches * n_each * n_endpoints
    dispatcher = site.dispatch()
    for kill in range(1, n_kills + 1):
        sender.wait_until_at_most(n_deliveries - kill * n_deliveries // (n_kills + 2))
        time.sleep(CHANCE.random())
        site.kill(dispatcher)
        site.end_leases()
        dispatcher = site.dispatch()
    sender.wait_until_at_most(0)
    site.kill(dispatcher)
    site.kill(server)
    moody.close()
    expected = {
        f"/{number}evt_{uid.hex}"
        for number, endpoint in enumerate(endpoints)
        for (uid,) in site.rows(
            "select e.uid from misir.webhook_delivery d join misir.webhook_event e on e.id = d.event_id "
            "where d.endpoint_id = %s and d.state = 'delivered'", endpoint
        )
    }  # fmt: skip
    assert len(expected) == n_deliveries
    assert {*+moody.accepted} == set(moody.seen) == expected
    assert {len(bodies) for bodies in moody.seen.values()} == {1}
    n_twice = moody.accepted.total() - n_deliveries
    late = "select count(*) from misir.webhook_attempt where error = 'There was no answer in time.'"
    site.note(
        "dispatcher", dispatchers_killed=n_kills, endpoints=n_endpoints, deliveries=n_deliveries, lost=0,
        heard_twice=n_twice, heard_twice_percent=round(100 * n_twice / n_deliveries, 2), answers=dict(moody.n_asked),
        tries_without_answer_in_time=site.rows(late)[0][0], given_up_and_sent_by_hand=sender.n_given_up,
        seconds=round(time.monotonic() - started),
    )  # fmt: skip
    # An answer that comes too late for a busy dispatcher is heard twice as well, whoever dies or not.
    assert n_twice <= (n_deliveries // 100 if site.is_long else n_kills * n_endpoints * N_OPEN)


def listen(site: Any, url: str, *events: str) -> int:
    answer = site.api.post("/api/v1/webhooks", json={"url": url, "events": events})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])
