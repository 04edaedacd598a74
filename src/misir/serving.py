"""What `misir serve` does once its port is taken: looks at the database, serves, and says what to try.

It takes a while to import: serve.py does so while the database starts.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from misir.demo import Client, Interrupted, load_with_progress
from misir.errors import MisirError
from misir.plumbing.data_dir import lock
from misir.resources import opened
from misir.serve import Plan, address_of
from misir.settings import Settings
from misir.shell import out, steps

APP = "misir.app:app_from_environment"
UP_WITHIN_S = 60.0
GRACE_S = 10
DEMO_DONE = "demo.done"


async def check_database(settings: Settings) -> None:
    """Raise what no waiting will cure. A server of somebody else's may still come up: that is no reason."""
    try:
        async with opened(settings, with_model=False):
            pass
    except MisirError as problem:
        if not settings.DATABASE_URL or problem.slug == "model-mismatch":
            raise


def run_server(settings: Settings, plan: Plan, listener: socket.socket) -> None:
    """Serve on the listener until told to stop. Raises MisirError where the database is of no use."""
    asyncio.run(check_database(settings))
    with Guide(settings, plan, address_of(listener)).running():
        _run(plan, listener)


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
