"""`misir serve`: everything that can go wrong goes wrong before the first request, in one sentence."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from rich.console import Console
from rich.progress import track

from misir.demo import Client, Interrupted, load_demo, read_documents
from misir.errors import MisirError
from misir.plumbing.data_dir import lock
from misir.plumbing.log import configure_logging
from misir.plumbing.supervisor import Attachment, attach_sync
from misir.resources import Resources, build_resources
from misir.settings import Settings, load_settings

APP = "misir.app:app_from_environment"
LOCAL_DEFAULTS = {"RATE_LIMIT_ENABLED": "false", "LOG_LEVEL": "WARNING"}
"""What --local sets unless the environment or `.env` says something else."""

UP_WITHIN_S = 60.0
GRACE_S = 10
DEMO_DONE = "demo.done"

out = Console(highlight=False)
steps = Console(stderr=True, highlight=False)


@dataclass(frozen=True)
class Plan:
    """How the server was asked to run."""

    host: str
    port: int
    workers: int
    is_local: bool
    demo: bool | None
    """None: on the first start, if local."""


def configure(*, is_local: bool, data_dir: Path | None) -> Settings:
    """The settings, written into the environment: the supervisor and the workers read them there."""
    if data_dir is not None:
        os.environ["MISIR_DATA_DIR"] = str(data_dir)
    if not is_local:
        return load_settings()
    os.environ["MOCK_AUTH"] = "True"
    settings = load_settings()
    if settings.DATABASE_URL:
        raise MisirError(
            409,
            "not-local",
            "DATABASE_URL is set, and --local, which lets everyone in, only runs a database of its own: "
            "unset DATABASE_URL, or leave --local out.",
        )
    os.environ.update({k: v for k, v in LOCAL_DEFAULTS.items() if k not in settings.model_fields_set})
    return load_settings()


def serve(settings: Settings, plan: Plan) -> None:
    """Take the port, start what the server needs, serve until told to stop, and leave nothing running.

    The application is imported while the database starts: each takes a second.
    """
    configure_logging(settings.LOG_LEVEL, settings.LOG_FORMAT)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until uvicorn takes over: as Ctrl-C
    if plan.workers == 1:  # else workers import it themselves
        threading.Thread(
            target=import_module, args=(APP.partition(":")[0],), name="import", daemon=True
        ).start()
    with listen(plan.host, plan.port) as listener, attached(settings):
        asyncio.run(check_database(settings))
        guide = Guide(settings, plan, address_of(listener))
        with guide.running():
            _run(plan, listener)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket before anything else starts: whoever comes early waits instead of being refused."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise MisirError(409, "no-port", _why_not(error, host, port)) from error


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is in use: end what uses it, or choose another with `--port {port + 1}`."
    return f"Misir cannot listen on {host}:{port} ({error.strerror}): choose others with --host and --port."


def address_of(listener: socket.socket) -> str:
    """Where a browser on this machine finds the server."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - read, not bound
    return f"http://[{host}]:{port}" if ":" in host and "[" not in host else f"http://{host}:{port}"


@contextmanager
def attached(settings: Settings) -> Iterator[Attachment | None]:
    """The embedded database, up before and down after; None where DATABASE_URL names another."""
    if settings.DATABASE_URL:
        yield None
        return
    with steps.status("Starting …") as status:
        attachment = attach_sync(settings.data_dir, on_step=lambda step: status.update(f"{step} …"))
    try:
        yield attachment
    finally:
        attachment.close(wait=True)


async def check_database(settings: Settings) -> None:
    """Raise what no waiting will cure. A server of somebody else's may still come up: that is no reason."""
    try:
        async with opened(settings, with_model=False):
            pass
    except MisirError as problem:
        if not settings.DATABASE_URL or problem.slug == "model-mismatch":
            raise


@asynccontextmanager
async def opened(settings: Settings, *, with_model: bool = True) -> AsyncIterator[Resources]:
    """Misir in this process, as a server's worker holds it. Raises MisirError where it would answer 503."""
    logging.disable(logging.CRITICAL)  # what the log would say of the start, the sentence says
    try:
        res = build_resources(settings)
        await res.start(with_model=with_model)
    finally:
        logging.disable(logging.NOTSET)
    try:
        if res.database.problem is not None:
            raise res.database.problem
        yield res
    finally:
        await res.close()


def _run(plan: Plan, listener: socket.socket) -> None:
    if plan.workers > 1:
        uvicorn.run(fd=listener.fileno(), **_options(plan))
        # uvicorn keeps a copy of the socket; the guide's last request would wait for a worker that is gone.
        listener.shutdown(socket.SHUT_RDWR)
        return
    server = uvicorn.Server(uvicorn.Config(**_options(plan)))

    def stop(*_: object) -> None:
        server.should_exit = True

    # uvicorn's own handlers replace these while it serves, and raise the signal again when it is done.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, stop)
    server.run(sockets=[listener])


def _options(plan: Plan) -> dict[str, Any]:
    return {
        "app": APP,
        "factory": True,
        "workers": plan.workers,
        "log_config": None,
        "access_log": False,  # our own middleware logs one line a request
        "timeout_graceful_shutdown": GRACE_S,
    }


@dataclass
class Guide:
    """A thread beside the server: says where it is and what to try, then loads the demo as a client would."""

    settings: Settings
    plan: Plan
    url: str
    is_over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._guide, name="guide", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.is_over.set()
            thread.join(timeout=5)

    def _guide(self) -> None:
        if not self._comes_up():
            return
        self._welcome()
        try:
            self._load_demo_once()
        except Interrupted:
            return
        except MisirError as error:
            if not self.is_over.wait(GRACE_S):  # a server that goes down refuses, too: that is no news
                steps.print(f"misir: The demo library is incomplete: {error.detail}", soft_wrap=True)

    def _comes_up(self) -> bool:
        deadline = time.monotonic() + UP_WITHIN_S
        while time.monotonic() < deadline and not self.is_over.wait(0.05):
            try:
                return httpx.get(f"{self.url}/health", timeout=5).is_success
            except httpx.TransportError:
                continue
        return False

    def _welcome(self) -> None:
        ask = "api/v1/search?q=how+do+I+read+a+spreadsheet-like+file"
        out.print(f"Misir is at [bold]{self.url}[/] (Ctrl-C stops it). Three things to try:")
        out.print(f"  open   {self.url}/", soft_wrap=True)
        out.print(f"  curl   '{self.url}/{ask}'", soft_wrap=True)
        out.print(f'  misir search "waiting for several tasks"{self._flag()}', soft_wrap=True)

    def _flag(self) -> str:
        """How another terminal finds this library, where it is not in the usual place."""
        is_usual = self.settings.data_dir == Path(".misir").absolute() or self.settings.DATABASE_URL
        return "" if is_usual else f" --data-dir '{self.settings.data_dir}'"

    def _load_demo_once(self) -> None:
        """A whole load is noted in the data directory, so that who deletes the demo is rid of it."""
        done = self.settings.data_dir / DEMO_DONE
        if not (self.plan.is_local and not done.exists() if self.plan.demo is None else self.plan.demo):
            return
        loading = lock(self.settings.data_dir / "demo.lock")
        if loading is None:  # another server of this data directory is at it
            return
        with loading, Client(self.url, is_over=self.is_over.is_set) as client:
            n_new = load_with_progress(client)
            done.touch()
        out.print(f"The demo library is there: {n_new} documents of Python's standard library.")


def load_with_progress(client: Client, limit: int | None = None) -> int:
    """How many of the demo's documents were new."""
    documents = read_documents()[:limit]
    loaded = load_demo(client, documents)
    is_seen = steps.is_terminal
    title = "Loading the demo library"
    return sum(track(loaded, title, len(documents), console=steps, transient=True, disable=not is_seen))
