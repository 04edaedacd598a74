"""CPU of the HTTP stack of one request beside a bare FastAPI route: `python benchmarks/http_stack.py [--full] [--json]`

In process and without a network, so that nothing but Python is measured: a route that answers a small model,
bare, and behind everything that ours are behind: request id, CORS, body limit, metrics, log, a verified ES256
token, the user's limit. The apps take turns in one run; the ratio of a round is what counts.
"""

from __future__ import annotations

import cProfile
import os
import pstats
import statistics
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import jwt
import uvloop
from fastapi import FastAPI
from ground import Row, plain_row, ratio_row, run
from pydantic import BaseModel

from misir.app import create_app
from misir.deps import Me, Now, Res
from misir.gate import gated_router
from misir.plumbing.log import configure_logging
from misir.plumbing.metrics import start_metrics
from misir.resources import build_resources
from misir.settings import Settings

N_ROUNDS = 300
N_REQUESTS = 16
BARE_US = 90
"""What a bare FastAPI route cost on the machine that the targets are from; on a slower one all is slower."""

PATH = "/api/v1/hello"
SECRET = uuid.uuid4().hex * 2
URL = "https://benchmark.supabase.co"


class Hello(BaseModel):
    greeting: str
    n: int


async def hello() -> Hello:
    return Hello(greeting="hello", n=1)


async def hello_me(me: Me, res: Res, at: Now) -> Hello:  # noqa: ARG001 - as most routes ask
    return Hello(greeting=me.hex, n=1)


async def receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: dict[str, Any]) -> None:
    assert message.get("status", 200) == 200, message


def scope_for(path: str, token: str) -> dict[str, Any]:
    headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {token}".encode())]
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers,
        "client": ("127.0.0.1", 40000), "server": ("127.0.0.1", 80),
    }  # fmt: skip


def mint(secret: str) -> str:
    now = int(time.time())
    claims = {
        "iss": f"{URL}/auth/v1", "aud": "authenticated", "role": "authenticated", "sub": str(uuid.uuid4()),
        "iat": now, "exp": now + 3600,
    }  # fmt: skip
    return jwt.encode(claims, secret, "HS256")


def bare_app() -> Any:
    app = FastAPI()
    app.add_api_route(PATH, hello)
    return app


async def our_app(secret: str, **settings: Any) -> Any:
    """The whole application and one more route, behind what every route of the API is behind."""
    given = Settings(
        _env_file=None, SUPABASE_URL=URL, SUPABASE_JWT_SECRET=secret, LOG_LEVEL="INFO",
        RATE_LIMIT_DEFAULT=10**6, **settings,
    )  # fmt: skip
    app = create_app(given)
    router = gated_router(tag="benchmark")
    router.add_api_route("/hello", hello_me)
    app.router.routes.extend(router.routes)
    app.state.resources = build_resources(given)
    if app.state.resources.limiter is not None:
        await app.state.resources.limiter.open()
    return app


async def cpu_us(app: Any, token: str) -> float:
    """Of one request."""
    scopes = [scope_for(PATH, token) for _ in range(N_REQUESTS)]
    started = time.process_time()
    for scope in scopes:
        await app(scope, receive, send)
    return (time.process_time() - started) / N_REQUESTS * 1e6


async def take_turns(apps: dict[str, Any], n_rounds: int) -> dict[str, list[float]]:
    """CPU of a request, round by round; every other round in the reverse order."""
    token = mint(SECRET)
    rounds: dict[str, list[float]] = {name: [] for name in apps}
    turns = list(apps.items())
    for app in apps.values():
        await cpu_us(app, token)
    for _ in range(n_rounds):
        turns.reverse()
        for name, app in turns:
            rounds[name].append(await cpu_us(app, token))
    return rounds


async def make_apps() -> dict[str, Any]:
    return {
        "bare": bare_app(),
        "ours": await our_app(SECRET),
        "no limits": await our_app(SECRET, RATE_LIMIT_ENABLED=False),
    }


async def profile() -> None:
    """Prints where the time of our own requests goes."""
    start_metrics("benchmark")
    app, token = await our_app(SECRET), mint(SECRET)
    await cpu_us(app, token)
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(200):
        await cpu_us(app, token)
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(45)


async def measure(*, is_full: bool = False, is_huge: bool = False) -> list[Row]:  # noqa: ARG001 - one size
    """Rows of {name, value, unit, target, verdict}."""
    start_metrics("benchmark")
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:  # noqa: ASYNC230 - nothing else runs yet
        configure_logging("INFO", "json", nowhere)
        rounds = await take_turns(await make_apps(), N_ROUNDS * (3 if is_full else 1))
    # A round is 16 requests; ratios are of medians of a tenth of the rounds, so that one hiccup is not a result.
    tenths = {name: medians(costs, 10) for name, costs in rounds.items()}
    rows = [
        plain_row(f"a request, {name}", statistics.median(costs), "µs CPU") for name, costs in rounds.items()
    ]
    rows.append(
        ratio_row("the whole stack against a bare FastAPI route", tenths["ours"], tenths["bare"], 2.0)
    )
    return [*rows, ratio_row("the stack without limits", tenths["no limits"], tenths["bare"], None)]


def medians(costs: list[float], n_parts: int) -> list[float]:
    size = len(costs) // n_parts
    return [statistics.median(costs[at : at + size]) for at in range(0, size * n_parts, size)]


if __name__ == "__main__":
    if "--profile" in sys.argv:
        uvloop.run(profile())
    else:
        run(measure, "http_stack", (__doc__ or "").partition("\n")[0])
