"""Real servers for the tests: one throw-away PostgreSQL a worker, one database a test, real HTTP, the real model."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import uvicorn

from misir.app import create_app
from misir.embed.embedder import Embedder, build_embedder
from misir.plumbing.embedded_postgres import EmbeddedPostgres
from misir.plumbing.migrate import migrate
from misir.resources import Resources, build_resources
from misir.settings import Settings

APP_LOGIN = "misir_login"
_numbers = itertools.count()


@pytest.fixture(scope="session")
def server_url() -> Iterator[Callable[..., str]]:
    """`server_url(database, user="postgres")` of a PostgreSQL with the template database `misir_template`.

    TEST_DATABASE_URL names another server instead, as a superuser.
    """
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        make = _url_maker(given)
        _make_template(make)
        yield make
        return
    root = Path(tempfile.mkdtemp(prefix="misir-tests-", dir=_quickest_folder()))
    root.chmod(0o755)
    postgres = EmbeddedPostgres(root, throwaway=True)
    postgres.start()
    try:
        _make_template(postgres.url)
        yield postgres.url
    finally:
        postgres.stop()
        shutil.rmtree(root, ignore_errors=True)


def _quickest_folder() -> str | None:
    """Memory, where there is enough of it (a container may have 64 MB): a database a test is 660 files a test."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of mkdtemp's in it
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 << 30:
        return str(memory)
    return None


def _url_maker(given: str) -> Callable[..., str]:
    def make(database: str, user: str = "postgres") -> str:
        parts = psycopg.conninfo.conninfo_to_dict(given)
        return psycopg.conninfo.make_conninfo(
            **{**parts, "dbname": database, **({"user": user} if user != "postgres" else {})}
        )

    return make


def _make_template(make: Callable[..., str]) -> None:
    with psycopg.connect(make("postgres"), autocommit=True) as conn:
        conn.execute("drop database if exists misir_template")
        conn.execute("create database misir_template")
        for login in (APP_LOGIN, "misir_worker"):
            if conn.execute("select 1 from pg_roles where rolname = %s", [login]).fetchone() is None:
                conn.execute(f"create role {login} login noinherit".encode())
    spec = build_embedder(Settings(_env_file=None)).spec
    migrate(make("misir_template"), app_login=APP_LOGIN, service_login="misir_worker", model=spec)
    with psycopg.connect(make("misir_template"), autocommit=True) as conn:
        # The first sweep is due ten minutes after a migration, which is in the middle of the suite.
        conn.execute("update misir.job set run_at = now() + interval '1 day' where kind = 'sweep'")


@pytest.fixture
def database(server_url: Callable[..., str]) -> Iterator[str]:
    """The name of a fresh, migrated database of this test alone."""
    name = f"t{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(server_url("postgres"), autocommit=True) as conn:
        conn.execute(f"create database {name} template misir_template strategy file_copy".encode())
    yield name
    with psycopg.connect(server_url("postgres"), autocommit=True) as conn:
        conn.execute(f"drop database {name} with (force)".encode())


@pytest.fixture
def app_url(server_url: Callable[..., str], database: str) -> str:
    """What the app connects with: the plain login role."""
    return server_url(database, APP_LOGIN)


@pytest.fixture
def owner(server_url: Callable[..., str], database: str) -> Iterator[psycopg.Connection[Any]]:
    """Sees everything: for what a test must know of the database and no user may."""
    with psycopg.connect(server_url(database), autocommit=True) as conn:
        yield conn


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    """The embedded model, loaded once a worker."""
    return build_embedder(Settings(_env_file=None))


class KeptOpen(Embedder):
    """An embedder that outlives the apps of single tests."""

    def __init__(self, kept: Embedder) -> None:
        self.__dict__ = kept.__dict__

    async def aclose(self) -> None:
        pass


class RunningApp:
    """A real uvicorn on a port of its own."""

    def __init__(self, settings: Settings, embedder: Embedder) -> None:
        app = create_app(settings, embedder=embedder)
        config = uvicorn.Config(app, port=0, log_level="warning", access_log=False, lifespan="on")
        self.app = app
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> httpx.Client:
        self._thread.start()
        deadline = time.monotonic() + 60
        while not self._server.started:
            assert self._thread.is_alive(), "the server did not start"
            assert time.monotonic() < deadline, "the server did not start in time"
            time.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False)
        return self.client

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self._server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive(), "the server did not stop"


@pytest.fixture(scope="session")
def running_app() -> Callable[..., RunningApp]:
    """`with running_app(url, embedder, SETTING=value) as client:` for apps on databases of a test's own making."""

    def make(url: str, embedder: Embedder, **overrides: Any) -> RunningApp:
        wanted = {"MOCK_AUTH": True, "DATABASE_URL": url, "RATE_LIMIT_ENABLED": False, "JOBS": "off"}
        return RunningApp(Settings(_env_file=None, **{**wanted, **overrides}), KeptOpen(embedder))

    return make


@pytest.fixture
def run_app(app_url: str, embedder: Embedder) -> Iterator[Callable[..., httpx.Client]]:
    """`run_app(SETTING=value, embedder=…)` starts an app on this test's database and gives a client of it."""
    running: list[RunningApp] = []

    def start(*, embedder: Embedder = embedder, **overrides: Any) -> httpx.Client:
        wanted = {"MOCK_AUTH": True, "DATABASE_URL": app_url, "RATE_LIMIT_ENABLED": False}
        # Whatever a test asserts, it asserts without a worker that may come in between: one that needs it drains.
        wanted |= {"JOBS": "off", **overrides}
        running.append(RunningApp(Settings(_env_file=None, **wanted), KeptOpen(embedder)))
        return running[-1].__enter__()

    yield start
    for one in reversed(running):
        one.__exit__()


@pytest.fixture
def api(run_app: Callable[..., httpx.Client]) -> httpx.Client:
    """The app with the real model, as the local user."""
    return run_app()


@pytest.fixture
def in_process(
    app_url: str, server_url: Callable[..., str], database: str, embedder: Embedder
) -> Callable[..., Any]:
    """`in_process(work, embedder=…)` runs `await work(resources)` on this test's database, as a command would."""

    def run(work: Callable[[Resources], Any], *, embedder: Embedder = embedder, **overrides: Any) -> Any:
        wanted = {
            "MOCK_AUTH": True,
            "DATABASE_URL": app_url,
            "DATABASE_SERVICE_URL": server_url(database, "misir_worker"),
            **overrides,
        }

        async def with_resources() -> Any:
            res = build_resources(Settings(_env_file=None, **wanted), embedder=KeptOpen(embedder))
            await res.start()
            try:
                return await work(res)
            finally:
                await res.close()

        return asyncio.run(with_resources())

    return run


@pytest.fixture(scope="session")
def fakes() -> Any:
    """tests/fakes.py: embedders whose meanings a test chooses."""
    spec = importlib.util.spec_from_file_location("fakes", Path(__file__).with_name("fakes.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
