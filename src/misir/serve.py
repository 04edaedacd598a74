"""`misir serve`: everything that can go wrong goes wrong before the first request, in one sentence.

This module is quick to import, so that the database starts at once; the rest is imported meanwhile.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Final

import typer

from misir.errors import MisirError
from misir.plumbing.log import configure_logging
from misir.plumbing.supervisor import Attachment, attach_sync
from misir.settings import Settings, load_settings
from misir.shell import DataDir, steps

EXAMPLES: Final = (
    "misir serve --local",
    "misir serve --local --port 8010 --no-demo",
    "misir serve --host 0.0.0.0 --workers 4",
)

LOCAL_DEFAULTS = {"RATE_LIMIT_ENABLED": "false", "LOG_LEVEL": "WARNING"}
"""What --local sets unless the environment or `.env` says something else."""


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


def serve_command(
    local: Annotated[
        bool, typer.Option("--local", help="Just for you, on this machine: no sign-in, no rate limits.")
    ] = False,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that answer.")] = 1,
    data_dir: DataDir = None,
    demo: Annotated[
        bool | None,
        typer.Option(
            "--demo/--no-demo", help="Load the demo library. \\[default: at the first --local start]"
        ),
    ] = None,
) -> None:
    """Run the server, with a database of its own unless DATABASE_URL names one."""
    settings = configure(is_local=local, data_dir=data_dir)
    serve(settings, Plan(host, port, workers, is_local=local, demo=demo))


def serve(settings: Settings, plan: Plan) -> None:
    """Take the port, start what the server needs, serve until told to stop, and leave nothing running."""
    configure_logging(settings.LOG_LEVEL, settings.LOG_FORMAT)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until uvicorn takes over: as Ctrl-C
    with listen(plan.host, plan.port) as listener, importing(plan) as imported, attached(settings):
        imported.join()
        from misir.serving import run_server  # noqa: PLC0415 - quick, once the other thread has done it

        run_server(settings, plan, listener)


@contextmanager
def importing(plan: Plan) -> Iterator[threading.Thread]:
    """A thread that imports what serving needs, while this one imports nothing.

    An import that a signal breaks off keeps its lock, and another thread's might wait for it for ever: what
    `attached` shows is imported before.
    """
    steps.status("Starting …")
    thread = threading.Thread(target=import_server, args=(plan,), name="import")
    thread.start()
    try:
        yield thread
    finally:
        thread.join()  # an interpreter that is ending takes no more imports, and says so loudly


def import_server(plan: Plan) -> None:
    """What serving needs. Several workers import the application themselves."""
    import_module("misir.serving")
    if plan.workers == 1:
        import_module("misir.app")


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
