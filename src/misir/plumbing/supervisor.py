"""One process per data directory owns the embedded servers; every other process holds a socket to it.

    attach ── connect ──▶ supervisor: {"status": "starting", "step": …} …, then "ready" or "failed"
       └─ nobody answers: take spawn.lock, launch a supervisor, connect again

The supervisor holds `supervisor.lock` for its life and leaves 2 s after the last socket closed. The kernel
closes sockets and locks however their process dies, so there is nothing to clean up and nothing to count.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from misir.errors import MisirError
from misir.plumbing.child import Child
from misir.plumbing.data_dir import (
    database_unavailable,
    explained,
    fits_socket,
    lock,
    make_directory,
    open_log,
    short_directory,
)
from misir.plumbing.embedded_postgres import EmbeddedPostgres, say_nothing

PREPARE = "misir.plumbing.local_database:prepare"
ATTACH_WITHIN_S = 300.0
LINGER_S = 2.0  # a reload, or the next command of a shell script, finds the servers still up
FIRST_CLIENT_WITHIN_S = 15.0
LOOK_EVERY_S = 0.25
LONGEST_PAUSE_S = 30.0
STABLE_AFTER_S = 60.0
EMBEDDER, EMBEDDER_PROGRAM = b"embedder\n", "misir.embed.process"

log = logging.getLogger("misir.supervisor")

Prepare = Callable[[EmbeddedPostgres], dict[str, str]]


def address(root: Path) -> Path:
    """The supervisor's socket: in the data directory, unless that makes too long a path."""
    path = root / "supervisor.sock"
    return path if fits_socket(path) else short_directory(root) / path.name


# ---- the side of a worker, or a command ----------------------------------------------------------


@dataclass(frozen=True)
class Attachment:
    """Keeps the servers up until it is closed or its process dies."""

    database_url: str
    service_url: str
    migrate_url: str
    reattach: Callable[[], Attachment] = field(repr=False)
    """Attaches anew, the same way: for when this one is `lost`. The URLs stay the same."""
    _socket: socket.socket = field(repr=False)

    @property
    def lost(self) -> bool:
        """Whether the supervisor is gone (killed, or told to stop). Any thread may ask; it never blocks."""
        try:
            return self._socket.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:  # reset, or closed by ourselves
            return True

    def ask_for_embedder(self) -> None:
        """From now on the supervisor keeps an embedder process up. Any thread may ask, even twice."""
        with suppress(OSError):
            self._socket.send(EMBEDDER)

    def close(self, *, wait: bool = True, timeout_s: float = 10.0) -> None:
        """Says goodbye. The last one to leave waits until PostgreSQL and the supervisor have ended."""
        with self._socket, suppress(OSError):
            self._socket.settimeout(timeout_s)
            self._socket.sendall(b"bye\n")
            while wait and self._socket.recv(4096):
                pass


async def attach(
    data_dir: Path,
    *,
    prepare: str = PREPARE,
    environment: Mapping[str, str] | None = None,
    on_step: Callable[[str], None] = say_nothing,
    timeout_s: float = ATTACH_WITHIN_S,
) -> Attachment:
    """As `attach_sync`, from a coroutine; `on_step` is called in another thread."""
    return await asyncio.to_thread(
        attach_sync, data_dir, prepare=prepare, environment=environment, on_step=on_step, timeout_s=timeout_s
    )


def attach_sync(
    data_dir: Path,
    *,
    prepare: str = PREPARE,
    environment: Mapping[str, str] | None = None,
    on_step: Callable[[str], None] = say_nothing,
    timeout_s: float = ATTACH_WITHIN_S,
) -> Attachment:
    """Joins the supervisor of `data_dir`, launching it if there is none, and waits until it is ready.

    A supervisor on its way out hangs up without an answer: then try again, the next one answers.
    """
    root = data_dir.expanduser().absolute()
    deadline = time.monotonic() + timeout_s

    def again() -> Attachment:
        return attach_sync(
            root, prepare=prepare, environment=environment, on_step=on_step, timeout_s=timeout_s
        )

    with explained(root):
        make_directory(root)
        path = address(root)
    while time.monotonic() < deadline:
        with explained(root):
            connection = _connect(path) or _launch(root, path, prepare, environment, deadline)
        if connection and (answer := _wait_for_answer(connection, on_step, deadline)):
            return Attachment(**answer, reattach=again, _socket=connection)
        time.sleep(0.02)
    raise database_unavailable(
        f"The embedded database was not ready after {timeout_s:.0f} s: see {root / 'supervisor.log'}."
    )


def _connect(path: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except OSError:
        connection.close()
        raise
    return connection


def _launch(
    root: Path, path: Path, prepare: str, environment: Mapping[str, str] | None, deadline: float
) -> socket.socket | None:
    """Starts a supervisor unless somebody else just did; `_main` returns as soon as it listens."""
    holding = lock(root / "spawn.lock", wait_s=deadline - time.monotonic())
    if not holding:
        return None
    with holding, open_log(root / "supervisor.log") as output:
        if connection := _connect(path):
            return connection
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "misir.plumbing.supervisor", str(root), "--prepare", prepare],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,
            env=environment,
            check=False,
        )
    if done.returncode:
        reason = f"The embedded database's supervisor did not start: see {root / 'supervisor.log'}."
        raise database_unavailable(done.stdout.decode(errors="replace").strip() or reason)
    return _connect(path)


def _wait_for_answer(
    connection: socket.socket, on_step: Callable[[str], None], deadline: float
) -> dict[str, str] | None:
    """The URLs; or None when the supervisor hung up; or its sentence, raised."""
    with ExitStack() as undo:
        undo.enter_context(connection)
        for message in _messages(connection, deadline):
            status = message.pop("status")
            if status == "failed":
                raise database_unavailable(message["detail"])
            if status == "ready":
                undo.pop_all()
                connection.setblocking(False)
                return message
            on_step(message["step"])
    return None


def _messages(connection: socket.socket, deadline: float) -> Iterator[dict[str, Any]]:
    """What the supervisor says until it hangs up or time is up."""
    pending = b""
    with suppress(ConnectionError, TimeoutError):
        while True:
            connection.settimeout(max(0.01, deadline - time.monotonic()))
            if not (received := connection.recv(65536)):
                return
            *lines, pending = (pending + received).split(b"\n")
            yield from map(json.loads, lines)


# ---- the supervisor's side -----------------------------------------------------------------------


class Supervisor:
    """Two threads: this one's event loop talks to clients, the keeper's starts PostgreSQL and keeps it up.

    The keeper is a thread of its own because PostgreSQL lives exactly as long as the thread that started it.
    """

    def __init__(self, root: Path, prepare: Prepare) -> None:
        self._postgres = EmbeddedPostgres(root)
        self._prepare = prepare
        self._answer: dict[str, str] = {"status": "starting", "step": "starting"}
        self._clients: set[asyncio.StreamWriter] = set()
        self._unanswered: set[asyncio.StreamWriter] = set()
        self._leaving: asyncio.TimerHandle | None = None
        self._stopping = asyncio.Event()
        self._keeper_may_go = threading.Event()
        self._embedder = Child(sys.executable, "-m", EMBEDDER_PROGRAM, str(root), "--owned")

    async def run(self, listener: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(signum, self._stopping.set)
        self._server = await asyncio.start_unix_server(self._serve, sock=listener)
        self._leave_in(FIRST_CLIENT_WITHIN_S)
        keeper = threading.Thread(target=self._keep)
        keeper.start()
        await self._stopping.wait()
        self._step_aside()
        for writer in self._unanswered:
            writer.close()  # they come back, and find our successor
        self._keeper_may_go.set()
        await asyncio.gather(self._embedder.stop(), asyncio.to_thread(keeper.join))
        log.info("stopped")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._stopping.is_set():
            writer.close()
            return
        self._clients.add(writer)
        self._unanswered.add(writer)
        self._tell({writer})
        said_bye = False
        with suppress(ConnectionError):
            while (line := await reader.readline()) == EMBEDDER:
                self._embedder.want()
            said_bye = line != b""  # else it just ended
        self._clients.discard(writer)
        self._unanswered.discard(writer)
        if said_bye and not self._clients:
            self._stopping.set()
            os.dup(writer.get_extra_info("socket").fileno())  # it waits for this to end, which is when we do
        writer.close()
        if not self._clients:
            self._leave_in(LINGER_S)

    def _step_aside(self) -> None:
        """From here on a new client launches our successor, who waits for our lock."""
        if self._server.is_serving():
            address(self._postgres.root).unlink(missing_ok=True)
            self._server.close()

    def _give_up(self, detail: str) -> None:
        """Listens no more before it says so: who tries again at once must not hear the old answer."""
        self._step_aside()
        self._publish({"status": "failed", "detail": detail})
        self._stopping.set()

    def _leave_in(self, delay_s: float) -> None:
        if self._leaving:
            self._leaving.cancel()
        self._leaving = self._loop.call_later(delay_s, self._leave_if_alone)

    def _leave_if_alone(self) -> None:
        if not self._clients:
            self._stopping.set()

    def _publish(self, answer: dict[str, str]) -> None:
        self._answer = answer
        self._tell(self._unanswered)

    def _tell(self, clients: set[asyncio.StreamWriter]) -> None:
        line = json.dumps(self._answer).encode() + b"\n"
        for writer in clients:
            writer.write(line)
        if self._answer["status"] != "starting":
            self._unanswered -= clients

    # ---- the keeper's thread ----

    def _keep(self) -> None:
        failure = f"The supervisor broke down: see {self._postgres.root / 'supervisor.log'}."
        try:
            self._postgres.start(self._step)
            self._step("preparing the schema")
            ready = {"status": "ready", **self._prepare(self._postgres)}
            self._from_keeper(self._publish, ready)
            log.info("ready")
            self._watch(ready)
        except MisirError as error:
            log.error("%s", error.detail)  # noqa: TRY400 (the sentence says it all)
            failure = error.detail
        finally:
            if not self._keeper_may_go.is_set():
                self._from_keeper(self._give_up, failure)
            self._postgres.stop()

    def _watch(self, ready: dict[str, str]) -> None:
        """Brings PostgreSQL back whenever it dies under us, at most every 30 s while it keeps dying."""
        pause_s, up_since = LOOK_EVERY_S, time.monotonic()
        while not self._keeper_may_go.wait(LOOK_EVERY_S):
            if self._postgres.is_running():
                continue
            stable = time.monotonic() - up_since > STABLE_AFTER_S
            pause_s = LOOK_EVERY_S if stable else min(2 * pause_s, LONGEST_PAUSE_S)
            log.error("PostgreSQL died: starting it again in %.1f s", pause_s)
            if not self._keeper_may_go.wait(pause_s):
                self._from_keeper(self._publish, self._restart(ready))
                up_since = time.monotonic()

    def _restart(self, ready: dict[str, str]) -> dict[str, str]:
        try:
            self._postgres.start()
        except MisirError as error:
            log.error("%s", error.detail)  # noqa: TRY400
            return {"status": "failed", "detail": error.detail}
        log.info("PostgreSQL is back")
        return ready

    def _step(self, step: str) -> None:
        log.info("%s", step)
        self._from_keeper(self._publish, {"status": "starting", "step": step})

    def _from_keeper(self, act: Callable[..., None], *arguments: Any) -> None:
        self._loop.call_soon_threadsafe(act, *arguments)


def _claim(root: Path) -> tuple[BinaryIO, socket.socket]:
    """The lock that makes us the only one, and a listening socket; a predecessor may still be leaving."""
    with explained(root):
        holding = lock(root / "supervisor.lock", wait_s=90)
        if not holding:
            raise database_unavailable(
                f"The supervisor of {root} neither answers nor ends: see {root / 'supervisor.log'}."
            )
        path = address(root)
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(128)
        return holding, listener


def _load(path: str) -> Prepare:
    module, name = path.split(":")
    return cast("Prepare", getattr(importlib.import_module(module), name))


def _main() -> int:
    parser = argparse.ArgumentParser(prog="python -m misir.plumbing.supervisor")
    parser.add_argument("data_dir", type=Path)
    parser.add_argument(
        "--prepare", default=PREPARE, help="module:function that is given the EmbeddedPostgres"
    )
    arguments = parser.parse_args()
    os.umask(0o077)
    prepare = _load(arguments.prepare)
    try:
        holding, listener = _claim(arguments.data_dir)
    except MisirError as error:
        sys.stdout.write(error.detail)
        return 1
    if os.fork():
        os._exit(0)  # it listens; and whoever launched it need not reap it
    os.dup2(2, 1)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    with closing(holding):
        asyncio.run(Supervisor(arguments.data_dir, prepare).run(listener))
    return 0


if __name__ == "__main__":
    sys.exit(_main())
