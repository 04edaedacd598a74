"""Numbers over four real workers: true, steady, bounded, and silent about what was submitted."""

from __future__ import annotations

import asyncio
import os
import random
import re
import select
import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import httpx

N_REQUESTS = int(os.environ.get("MISIR_METRICS_REQUESTS", "2000"))  # 10,000 in the long form
N_FUZZED = 3000
MAX_SERIES = 2000
HEALTH = {"endpoint": "/health", "method": "GET"}
ARTIFACT = {"endpoint": "/api/v1/artifacts/{artifact_id}", "method": "GET"}
CAPTURE = {"endpoint": "/api/v1/capture", "method": "POST"}


async def flood(url: str, asked: list[tuple[str, str]], clients: int = 16) -> list[tuple[str, str, int]]:
    """Method, path and status of each; many connections, so that every worker gets some."""
    waiting, answers = iter(asked), []

    async def ask() -> None:
        for method, path in waiting:
            async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as client:
                some = [(method, path), *_next(waiting, 24)]
                answers.extend([(*one, (await client.request(*one)).status_code) for one in some])

    await asyncio.gather(*(ask() for _ in range(clients)))
    return answers


def _next(waiting: Any, n: int) -> list[tuple[str, str]]:
    return [one for _ in range(n) if (one := next(waiting, None)) is not None]


def test_every_scrape_tells_the_truth_and_deaths_change_nothing(
    service: Any, summed: Callable[..., float]
) -> None:
    asked = [("GET", "/health")] * (N_REQUESTS // 2) + [
        ("GET", f"/api/v1/artifacts/{n + 1}") for n in range(N_REQUESTS // 2)
    ]
    random.Random(1).shuffle(asked)  # noqa: S311 - repeatable
    assert len(asyncio.run(flood(service.url, asked))) == N_REQUESTS

    for _ in range(12):
        with httpx.Client(base_url=service.url, trust_env=False) as client:  # a new connection: any worker
            seen = service.scrape(client)
        assert summed(seen, "http_requests_total", **HEALTH, status="200") == N_REQUESTS / 2
        assert summed(seen, "http_requests_total", **ARTIFACT, status="404") == N_REQUESTS / 2
        assert summed(seen, "http_request_duration_seconds_count", **HEALTH) == N_REQUESTS / 2
        assert summed(seen, "http_request_duration_seconds_bucket", **HEALTH, le="+Inf") == N_REQUESTS / 2
        assert summed(seen, "workers") == 4

    with ExitStack() as lines:
        hung = [lines.enter_context(hang(service.port)) for _ in range(8)]
        eventually(lambda: service.value("http_requests_in_progress", **CAPTURE) == 8)
        victim = service.worker_pids()[0]
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: victim not in service.worker_pids() and reached(service, 4))
        n_cut, _, _ = select.select(hung, [], [], 0)
        assert service.value("http_requests_in_progress", **CAPTURE) == 8 - len(n_cut)
        assert service.value("http_requests_total", **HEALTH, status="200") == N_REQUESTS / 2
    eventually(lambda: service.value("http_requests_in_progress", **CAPTURE) == 0)
    assert service.value("http_requests_total", **HEALTH, status="200") == N_REQUESTS / 2

    read = service.client.get("/dashboard/api").json()
    assert read["requests"]["GET /health"] == {"total": N_REQUESTS / 2, "by_status": {"200": N_REQUESTS / 2}}
    latency = read["latency"]["GET /health"]
    assert latency["count"] == N_REQUESTS / 2
    assert 0 < latency["p50_ms"] <= latency["p95_ms"] <= latency["p99_ms"]
    assert read["in_progress"] == {"GET /dashboard/api": 1}
    assert read["python_info"]["implementation"] == "CPython"


def hang(port: int) -> socket.socket:
    """A capture whose body never ends."""
    line = socket.create_connection(("127.0.0.1", port))
    head = b"POST /api/v1/capture HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99"
    line.sendall(head + b"\r\n\r\n{")
    return line


def reached(service: Any, workers: int) -> bool:
    try:
        return bool(service.value("workers") == workers)
    except httpx.TransportError:
        return False


def eventually(is_true: Callable[[], bool], within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not is_true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.1)


SCRIPT = "<script>alert(1)</script>"


def test_labels_stay_few_whatever_is_asked(start_service: Callable[..., Any]) -> None:
    service = start_service(workers=2, MISIR_SECRET_KEY="s" * 32, DB_POOL_SIZE="16")
    service.until_ready()
    chance = random.Random(7)  # noqa: S311 - repeatable
    words = [
        "api",
        "v1",
        "spaces",
        "artifacts",
        "capture",
        "%3Cscript%3E",
        "..",
        "search",
        "7",
        "app",
        "static",
    ]
    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "X" * 30, "get"]

    def path() -> str:
        start = chance.choice(["", "/api/v1", "/api/v1/spaces", "/static", "/problems"])
        n_parts = chance.randint(0, 4)
        return "/".join(
            [start or "/x", *(chance.choice([*words, f"{chance.random():.12f}"]) for _ in range(n_parts))]
        )

    known = [
        re.sub(r"{[^}]*}", "1", one) for one in service.client.get("/api/v1/openapi.json").json()["paths"]
    ]
    asked = [(method, one) for one in known for method in methods]
    asked += [(chance.choice(methods), path()) for _ in range(N_FUZZED - len(asked))]
    answers = asyncio.run(flood(service.url, asked))
    assert [one for one in answers if one[2] >= 500] == []
    text = service.client.get("/metrics").text
    series = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(series) <= MAX_SERIES
    assert "script" not in text
    assert 'method="OTHER"' in text
    assert 'endpoint="unmatched"' in text
    service.client.get("/" + SCRIPT)
    page = service.client.get("/dashboard")
    assert SCRIPT not in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    assert "script>" not in service.client.get("/dashboard/api").text


CANARY = "canary7f3a"
N_ROUNDS = 200
"""Of five requests each."""


def test_nothing_submitted_is_in_log_metrics_errors_or_dashboard(start_service: Callable[..., Any]) -> None:
    service = start_service(workers=2, LOG_LEVEL="DEBUG")
    service.until_ready()
    client = service.client
    space = client.post("/api/v1/spaces", json={"name": f"{CANARY} name", "intention": CANARY}).json()["id"]
    secret = {"Authorization": f"Bearer {CANARY}.{CANARY}.{CANARY}", "Cookie": f"session={CANARY}"}
    answers: list[httpx.Response] = []
    for n in range(N_ROUNDS):
        page = {"space_id": space, "url": f"https://{CANARY}.example/{n % 20}", "title": f"{CANARY} {n}"}
        body = page | {"content": f"{CANARY} text of {CANARY}@mail.example"}
        client.post("/api/v1/capture", json=body, headers=secret)
        answers += [
            client.post("/api/v1/capture", json=body | {"scroll_depth": CANARY}, headers=secret),
            client.post(
                "/api/v1/capture",
                content=f'{{"title": "{CANARY}',
                headers={"Content-Type": "application/json"},
            ),
            client.get("/api/v1/spaces/99999", params={"email": f"{CANARY}@mail.example", "token": CANARY}),
        ]
        client.get("/api/v1/search", params={"q": CANARY, "space_id": space}, headers=secret)
    assert {answer.status_code for answer in answers} == {404, 422}
    outputs = {
        "log": service.log(),
        "metrics": client.get("/metrics").text,
        "dashboard": client.get("/dashboard").text + client.get("/dashboard/api").text,
        "errors": "".join(answer.text for answer in answers),
    }
    assert [name for name, text in outputs.items() if CANARY in text] == []
    assert outputs["log"].count('"logger":"misir.request"') >= 5 * N_ROUNDS
    assert 'misir_captures_total{result="new"} 20.0' in outputs["metrics"]
    assert 'misir_search_duration_seconds_count{mode="hybrid"} ' + f"{N_ROUNDS}.0" in outputs["metrics"]
