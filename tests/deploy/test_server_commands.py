"""The two documented server commands: they start, they refuse, they survive, and they leave nothing behind."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest

MINILM = "sentence-transformers/all-MiniLM-L6-v2"

UVICORN = "uvicorn main:app --host 127.0.0.1 --port {port} --workers 2"
GUNICORN = "gunicorn main:app -w 2 -k uvicorn.workers.UvicornWorker -b 127.0.0.1:{port}"
COMMANDS = {"uvicorn": UVICORN, "gunicorn": GUNICORN}

EXPORT = "export $(cat .env.production | xargs); exec "
SOURCE = "set -a; . ./.env.production; set +a; exec "
DOT_ENV = "cp .env.production .env; exec "  # gunicorn has no --env-file: the settings loader reads .env
WAYS = [
    ("dash", SOURCE, UVICORN),
    ("dash", SOURCE, GUNICORN),
    ("dash", "exec ", UVICORN + " --env-file .env.production"),
    ("dash", DOT_ENV, GUNICORN),
]
"""The `export` line is missing here: the longer tests below start their servers with it, in bash and in dash."""


def values(url: str, project: Any, **more: str) -> dict[str, str]:
    """What an operator fills into the template for the test's database and key server."""
    return {
        "DATABASE_URL": url,
        "SUPABASE_URL": project.url,
        "RATE_LIMIT_STORAGE": "memory",
        "EMBEDDING_MODEL": MINILM,
        **more,
    }


@pytest.fixture(params=COMMANDS)
def command(request: pytest.FixtureRequest) -> str:
    return COMMANDS[request.param]


@pytest.mark.parametrize(("shell", "load", "command"), WAYS)
def test_the_commands_serve_whichever_way_the_template_is_loaded(
    start: Callable[..., Any], relay: Any, project: Any, shell: str, load: str, command: str
) -> None:
    server = start(shell, load + command, values(relay.url, project))
    server.wait_for("/health", 200)
    assert server.get("/api/v1/capture").status_code == 401
    assert "Traceback" not in server.said
    server.stop()
    assert server.process.returncode in {0, -signal.SIGTERM}


def test_with_everything_down_it_starts_and_is_ready_soon_after_the_database_is_back(
    start: Callable[..., Any], relay: Any, project: Any, command: str
) -> None:
    relay.unplug()
    project.close()
    with socket.socket() as nobody:  # bound and not listening: whoever connects is refused
        nobody.bind(("127.0.0.1", 0))
        redis = f"redis://:password@127.0.0.1:{nobody.getsockname()[1]}/0"
        down = {"RATE_LIMIT_STORAGE": "redis", "REDIS_URL": redis}
        server = start("bash", EXPORT + command, values(relay.url, project, **down))
        server.wait_for("/health", 200)
        ready = server.get("/health/ready")
        assert (ready.status_code, ready.json()["database"]["status"]) == (503, "unavailable")
        assert server.get("/api/v1/capture").status_code == 401
        relay.plug_in()
        assert server.wait_until(lambda: _are_all_ready(server), "ready again") < 5
    server.stop()


def _are_all_ready(server: Any) -> bool:
    """Eight connections in a row: one worker of two is hardly missed."""
    return all(server.answers("/health/ready", 200) for _ in range(8))


def test_a_stop_answers_every_request_in_flight(
    start: Callable[..., Any], relay: Any, project: Any, owner: psycopg.Connection[Any], command: str
) -> None:
    """All 40 are held in the line for the space, the first of each worker at the row lock itself, so that the
    signal meets them in the middle of their work.
    """
    server = start(
        "dash", EXPORT + command, values(relay.url, project, DB_POOL_SIZE="40", RATE_LIMIT_ENABLED="False")
    )
    server.wait_for("/health/ready", 200)
    headers = {"Authorization": f"Bearer {project.token()}"}
    made = httpx.post(f"{server.url}/api/v1/spaces", json={"name": "Busy"}, headers=headers, timeout=30)
    space = made.json()["id"]

    def capture(number: int) -> int:
        page = {"space_id": space, "url": f"https://busy.example/{number}", "title": f"Page {number}"}
        answer = httpx.post(
            f"{server.url}/api/v1/capture", json=page, headers=headers, timeout=60, trust_env=False
        )
        return answer.status_code

    with ThreadPoolExecutor(40) as clients:
        with owner.transaction():
            owner.execute("select 1 from misir.space for update")
            answers = [clients.submit(capture, number) for number in range(40)]
            server.wait_until(lambda: _count_in_flight(server) == 40, "40 requests in flight", 12)
            server.wait_until(lambda: _count_waiting(owner) > 0, "one at the lock", 12)
            server.process.send_signal(signal.SIGTERM)
            assert not any(answer.done() for answer in answers)
        assert [answer.result() for answer in answers] == [201] * 40
    server.stop()
    assert owner.execute("select count(*) from misir.artifact").fetchone() == (40,)


def _count_in_flight(server: Any) -> int:
    """Captures that have not been answered, over all workers."""
    gauge = 'misir_http_requests_in_progress{endpoint="/api/v1/capture",method="POST"'
    lines = server.get("/metrics").text.splitlines()
    return int(sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(gauge)))


def _count_waiting(owner: psycopg.Connection[Any]) -> int:
    """Connections that wait for a lock now; a transaction keeps its first look at them otherwise."""
    owner.execute("select pg_stat_clear_snapshot()")
    row = owner.execute(
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    ).fetchone()
    return int(row[0]) if row else 0


def test_a_killed_worker_is_replaced_and_the_others_serve(
    start: Callable[..., Any], relay: Any, project: Any, command: str
) -> None:
    server = start("dash", EXPORT + command, values(relay.url, project))
    server.wait_for("/health/ready", 200)
    before = _two_workers(server)
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    assert [server.get("/health").status_code for _ in range(20)] == [200] * 20
    after = _two_workers(server, without=victim)
    assert len(after & before) == 1
    assert server.get("/api/v1/capture").status_code == 401
    server.stop()


def _two_workers(server: Any, without: int = 0) -> set[int]:
    server.wait_until(lambda: len(server.workers() - {without}) == 2, "two workers")
    return set(server.workers() - {without})
