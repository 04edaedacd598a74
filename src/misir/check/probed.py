"""What only asking can tell: the database, Redis, the model, the key server, a running server."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import httpx
import psycopg
import redis.asyncio
from psycopg.rows import dict_row
from starlette.requests import HTTPConnection

from misir.check.row import Row, failed, passed, unknown, verdict
from misir.embed.embedder import build_embedder
from misir.errors import MisirError
from misir.plumbing.db import Database
from misir.plumbing.identity import build_verifier
from misir.plumbing.sqlfile import load_statements
from misir.settings import Settings

SQL = load_statements("misir.check", "probe.sql")

PATIENCE_S = 5
BURST_EXTRA = 20


async def check_database(settings: Settings) -> list[Row]:
    """Reachable, migrated, of this model; and a login that owns nothing and bypasses nothing."""
    if settings.DATABASE_URL is None:
        return [passed("the database answers", "embedded: started with the server")]
    database = Database(_located(settings.DATABASE_URL), build_embedder(settings).spec, pool_size=1)
    await database.start()
    try:
        if database.problem is not None:
            problem = database.problem.detail
            return [failed("the database answers and is migrated", "not ready", problem)]
        ready = passed("the database answers and is migrated", "every migration of this version is applied")
        return [ready, *await _check_login(settings.DATABASE_URL), await _check_service(settings)]
    finally:
        await database.close()


def _located(url: str) -> Any:
    async def locate() -> str:
        return url

    return locate


async def _check_login(url: str) -> list[Row]:
    connect = psycopg.AsyncConnection.connect
    async with await connect(url, row_factory=dict_row, connect_timeout=PATIENCE_S) as conn:
        login = await (await conn.execute(SQL.describe_login)).fetchone() or {}
        unforced = await (await conn.execute(SQL.count_unforced)).fetchone() or {}
    powers = [power for power in ("is_superuser", "bypasses_rls", "is_owner") if login[power]]
    mend = "Let DATABASE_URL name a login that was made for the app: see docs/deployment/README.md."
    plain = verdict(
        "the app's login is a plain one", not powers, ", ".join(powers) or f"login {login['name']}", mend
    )
    n_open = unforced["count"]
    forced = verdict(
        "row level security is forced", n_open == 0, f"{n_open} table(s) without", "Run `misir migrate`."
    )
    return [plain, forced]


async def _check_service(settings: Settings) -> Row:
    name = "the service login works"
    if settings.DATABASE_SERVICE_URL is None:
        return failed(name, "DATABASE_SERVICE_URL is not set", "Set it: administration and workers need it.")
    try:
        connect = psycopg.AsyncConnection.connect
        async with await connect(settings.DATABASE_SERVICE_URL, connect_timeout=PATIENCE_S) as conn:
            await conn.execute("set local role misir_service")
    except psycopg.Error as error:
        return failed(
            name,
            type(error).__name__,
            "Run `misir migrate` with DATABASE_SERVICE_URL set: it grants the role.",
        )
    return passed(name, "may become misir_service")


async def check_redis(settings: Settings) -> Row:
    name = "Redis answers"
    if settings.RATE_LIMIT_STORAGE != "redis":
        return unknown(name, "RATE_LIMIT_STORAGE is not redis", "Set RATE_LIMIT_STORAGE=redis and REDIS_URL.")
    client = redis.asyncio.from_url(
        settings.REDIS_URL, socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S
    )
    try:
        async with client:
            await client.ping()
    except (redis.exceptions.RedisError, OSError) as error:
        return failed(name, type(error).__name__, "Check REDIS_URL: host, port, password, rediss:// for TLS.")
    return passed(name, "PING was answered")


async def check_model(settings: Settings) -> Row:
    """Load the weights: a name is not a model."""
    name = f"the embedding model {settings.EMBEDDING_MODEL} is here"
    embedder = build_embedder(settings)
    try:
        await embedder.load()
    except MisirError as error:
        return failed(name, "not obtainable", error.detail)
    finally:
        await embedder.aclose()
    return passed(name, embedder.fingerprint)


async def check_tokens(settings: Settings, token: str | None) -> list[Row]:
    """A real token is accepted, the same token with another signature is refused."""
    names = ("a real token is accepted", "a forged token is refused")
    if token is None:
        return [unknown(name, "no token given", "Give one: --token, or MISIR_CHECK_TOKEN.") for name in names]
    if settings.MOCK_AUTH or settings.SUPABASE_URL is None:
        return [
            failed(name, "there is no sign-in", "Set MOCK_AUTH=False and SUPABASE_URL.") for name in names
        ]
    verifier = build_verifier(settings)
    try:
        real, forged = await _ask(verifier, token), await _ask(verifier, forge(token))
    finally:
        await verifier.aclose()
    return [
        verdict(names[0], real == 200, f"answered {real}", "Is the token fresh, and of this project?"),
        verdict(names[1], forged == 401, f"answered {forged}", "Do not go on: tokens are not verified."),
    ]


async def _ask(verifier: Any, token: str) -> int:
    scope = {"type": "http", "headers": [(b"authorization", f"Bearer {token}".encode())]}
    try:
        await verifier.verify(HTTPConnection(scope))
    except MisirError as error:
        return error.status
    return 200


def forge(token: str) -> str:
    """The token with one character in the middle of its signature changed.

    >>> forge("a.b.cccc")
    'a.b.ccAc'
    """
    head, _, signature = token.rpartition(".")
    middle = len(signature) // 2
    other = "B" if signature[middle] == "A" else "A"
    return f"{head}.{signature[:middle]}{other}{signature[middle + 1 :]}"


async def check_burst(settings: Settings, url: str | None) -> Row:
    """Knock without a token a little more often than is allowed: the rest must be 429, over all workers."""
    name = "limits hold over all workers"
    if url is None:
        return unknown(name, "no running server given", "Give its address: --url http://127.0.0.1:8000.")
    limit = settings.RATE_LIMIT_UNAUTHENTICATED
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_S, trust_env=False) as http:
        try:
            answers = await asyncio.gather(*(http.get("/api/v1/capture") for _ in range(limit + BURST_EXTRA)))
        except httpx.HTTPError as error:
            return failed(name, type(error).__name__, f"Is a server running at {url}?")
    refused = sum(answer.status_code == 429 for answer in answers)
    found = f"{refused} of {len(answers)} requests got 429 at a limit of {limit} a minute"
    return verdict(
        name, refused >= BURST_EXTRA, found, "Are limits on, in Redis, and is RATE_LIMIT_ENABLED true?"
    )


def check_suite(root: Path) -> Row:
    """Did the whole suite pass at this very commit? `make test` leaves the commit's name behind."""
    name, mend = "the suite passed at this commit", "Run `make test` on this checkout."
    record = root / ".venv" / "suite-passed"
    command = ["git", "rev-parse", "HEAD"]
    try:
        here = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)  # noqa: S603 - fixed words
    except (OSError, subprocess.CalledProcessError):
        return unknown(name, "this is no git checkout", mend)
    commit = here.stdout.strip()
    passed_at = record.read_text().strip() if record.is_file() else "never"
    return verdict(name, passed_at == commit, f"passed at {passed_at[:12]}, here is {commit[:12]}", mend)
