"""The embedded PostgreSQL: one database below a directory, run as a direct child of this process.

The child cannot outlive its owner: the kernel sends it SIGINT (a fast, clean shutdown) when the thread that
started it ends, kill -9 of the process included. What an owner leaves behind all the same (a server still
on its way out, a stale pid file, half an initdb) is cleared away by the next start, which holds
`postgres.lock` and so knows that nobody else is at work there.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from misir.errors import MisirError
from misir.plumbing.data_dir import (
    database_unavailable,
    disk_full,
    explained,
    fits_socket,
    lock,
    make_directory,
    open_log,
    short_directory,
)
from misir.plumbing.postgres_programs import Programs, find_programs, last_line

PORT = 5432
SOCKET = f".s.PGSQL.{PORT}"
READY_WITHIN_S = 300.0  # a server that was killed may have a long log to replay

FAREWELLS = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0))
"""How a server is asked to end, and for how long each time: shut down cleanly; drop everything."""

SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "shared_buffers": "192MB",
    "max_connections": "100",
    "maintenance_work_mem": "256MB",
    "dynamic_shared_memory_type": "mmap",  # /dev/shm has 64 MB in a container: too small for an HNSW build
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_duration_statement": "500",
    "default_text_search_config": "pg_catalog.english",
    "jit": "off",
    "autovacuum_naptime": "10s",  # a new library doubles within a minute, and is planned for by what it was
}
THROWAWAY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
}
HEADER = "# Misir writes this file at every start. Settings of your own: `alter system set …`.\n"


def say_nothing(_step: str) -> None:
    """The listener of a caller who does not ask what a start is doing."""


class EmbeddedPostgres:
    """The PostgreSQL of one data directory.

    `throwaway` gives durability up for speed (tests). `install` names the directory with PostgreSQL's bin/;
    without it the installed wheel is used.
    """

    def __init__(self, root: Path, *, throwaway: bool = False, install: Path | None = None) -> None:
        self.root = root.expanduser().absolute()
        self.cluster = self.root / "postgres"
        self.log = self.root / "postgres.log"
        self._throwaway = throwaway
        self._install = install
        self._lock: BinaryIO | None = None
        self._child: subprocess.Popen[bytes] | None = None

    def start(self, on_step: Callable[[str], None] = say_nothing) -> None:
        """Lock, clear a predecessor away, initialise if new, launch, wait. Does nothing while it runs.

        Call it from a thread that lives as long as the server should: see the module's first lines.
        """
        if self.is_running():
            return
        with explained(self.root), ExitStack() as undo:
            make_directory(self.root)
            self._take_lock()
            undo.callback(self.stop)
            self._check_owner()
            self._clear_predecessor_away()
            if not (self.cluster / "PG_VERSION").exists():
                on_step("initialising the database")
                self._initialise()
            on_step("starting the database")
            self._configure()
            self._launch()
            undo.pop_all()

    def stop(self) -> None:
        """Ends the server, cleanly if it can: nothing of it is left when this returns."""
        if self._child:
            _end(self._child)
            self._child = None
        if self._lock:
            with self._lock, suppress(OSError, MisirError):
                self._remove_sockets()
            self._lock = None

    def is_running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def url(self, database: str, user: str = "postgres") -> str:
        host = quote(str(self.socket_directory), safe="/")
        return f"postgresql://{quote(user, safe='')}@/{quote(database, safe='')}?host={host}&port={PORT}"

    @property
    def socket_directory(self) -> Path:
        """Holds the server's socket, closed to everybody but the account that runs it (and root)."""
        path = self.root / "sockets"
        account = self._programs.account
        if not fits_socket(path / SOCKET) or (account and not account.can_reach(self.root)):
            path = short_directory(self.root) / "sockets"
        path.mkdir(mode=0o700, exist_ok=True)
        self._hand_over(path)
        return path

    @cached_property
    def _programs(self) -> Programs:
        return find_programs(self.cluster, install=self._install)

    def _remove_sockets(self) -> None:
        """Leaves nothing in /tmp; a directory that is not empty is still somebody's."""
        sockets = self.socket_directory
        sockets.rmdir()
        if sockets.parent != self.root:
            sockets.parent.rmdir()

    # ---- before the start ------------------------------------------------------------------------

    def _take_lock(self) -> None:
        self._lock = self._lock or lock(self.root / "postgres.lock")
        if not self._lock:
            raise database_unavailable(
                f"Another process runs the database in {self.root}: end it, or set MISIR_DATA_DIR to another."
            )

    def _check_owner(self) -> None:
        me = os.geteuid()
        if me and self.cluster.exists() and self.cluster.stat().st_uid != me:
            raise database_unavailable(
                f"The database in {self.root} belongs to another user: start Misir as that user, "
                "or set MISIR_DATA_DIR to a directory of your own."
            )

    def _clear_predecessor_away(self) -> None:
        """The server of an owner who was killed: it may still be at work, or have left only files."""
        pid_file = self.cluster / "postmaster.pid"
        if not pid_file.exists():
            return
        postmaster = _first_number(pid_file)
        for signum, patience_s in FAREWELLS:
            self._dismiss(postmaster, signum)
            if _becomes_true(lambda: not _servers_in(self.cluster, postmaster), patience_s):
                break
        else:
            raise database_unavailable(
                f"An earlier PostgreSQL in {self.root} does not end: end process {postmaster}, try again."
            )
        # A pid may be a stranger's by now or a zombie's, and PostgreSQL itself would take that for a server.
        for stale in (pid_file, self.socket_directory / SOCKET, self.socket_directory / f"{SOCKET}.lock"):
            stale.unlink(missing_ok=True)

    def _dismiss(self, postmaster: int, signum: signal.Signals) -> None:
        """Asks the postmaster; where it is dead already, its orphans, who have nothing to finish."""
        servers = _servers_in(self.cluster, postmaster)
        orphaned = postmaster not in servers
        for pid in servers if orphaned else {postmaster}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGQUIT if orphaned else signum)

    def _initialise(self) -> None:
        """Into a directory of its own first: a database that has its name is a whole one."""
        for leftover in self.root.glob("initdb-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        new = Path(tempfile.mkdtemp(prefix="initdb-", dir=self.root))
        self._hand_over(new)
        with self._reachable(new) as (name, fds):
            done = self._programs.run("initdb", "-D", name, *self._initdb_options(), fds=fds)
        if done.returncode:
            shutil.rmtree(new, ignore_errors=True)
            raise self._failure(done.stdout)
        new.rename(self.cluster)
        _sync_directory(self.root)

    def _initdb_options(self) -> list[str]:
        options = ["--username=postgres", "--encoding=UTF8", "--auth=trust"]
        if self._programs.major_version() >= 17:
            options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        elif sys.platform.startswith("linux"):
            options += ["--lc-ctype=C.UTF-8"]  # upper('é') and ~* need to know letters
        return [*options, "--locale=C", *(["--no-sync"] if self._throwaway else [])]

    def _configure(self) -> None:
        settings: Mapping[str, str] = {
            **SETTINGS,
            **(THROWAWAY if self._throwaway else {}),
            "unix_socket_directories": str(self.socket_directory),
        }
        text = HEADER + "".join(f"{name} = {_quoted(value)}\n" for name, value in settings.items())
        path = self.cluster / "postgresql.conf"
        path.unlink(missing_ok=True)
        with path.open(
            "x"
        ) as file:  # "x" follows no symlink: as root we write in another account's directory
            os.fchmod(file.fileno(), 0o644)  # that account reads what root wrote; the directory is closed
            file.write(text)

    # ---- the start -------------------------------------------------------------------------------

    def _launch(self) -> None:
        with self._reachable(self.cluster) as (name, fds), open_log(self.log) as log:
            before = log.tell()
            self._child = self._programs.start("postgres", "-D", name, log=log, fds=fds)
        child = self._child
        if not _becomes_true(lambda: self._is_ready() or child.poll() is not None, READY_WITHIN_S):
            raise database_unavailable(f"PostgreSQL is not up after {READY_WITHIN_S:.0f} s: see {self.log}.")
        if child.poll() is not None:
            raise self._failure(self.log.read_bytes()[before:].decode(errors="replace"))

    def _is_ready(self) -> bool:
        """What pg_ctl looks at: the postmaster writes its state into line 8 of its pid file."""
        with suppress(OSError, IndexError):
            lines = (self.cluster / "postmaster.pid").read_text().splitlines()
            return (
                len(lines) >= 8 and lines[0] == str(self._child and self._child.pid) and "ready" in lines[7]
            )
        return False

    def _failure(self, output: str) -> MisirError:
        if "No space left on device" in output or "Disk quota exceeded" in output:
            return disk_full(self.root)
        if "incompatible with server" in output:
            made_by = _first_number(self.cluster / "PG_VERSION")
            return database_unavailable(
                f"The database in {self.root} was made by PostgreSQL {made_by}, which the installed "
                f"{self._programs.major_version()} cannot read: install the release that made it, "
                "or set MISIR_DATA_DIR to a new directory."
            )
        reason = [
            line for line in output.splitlines() if "FATAL" in line or "PANIC" in line or "error:" in line
        ]
        why = last_line("\n".join(reason) or output) or "it said nothing"
        return database_unavailable(f"PostgreSQL did not start in {self.root} ({why}): see {self.log}.")

    # ---- root and the account PostgreSQL runs as -------------------------------------------------

    def _hand_over(self, directory: Path) -> None:
        if account := self._programs.account:
            os.chown(directory, account.uid, account.gid, follow_symlinks=False)

    @contextmanager
    def _reachable(self, directory: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The name under which the account can open `directory`, and the descriptors that name needs.

        Below a home that is closed to the account, a descriptor we opened leads there all the same, so
        nobody's permissions have to be widened.
        """
        account = self._programs.account
        if account is None or account.can_reach(directory):
            yield str(directory), ()
            return
        if not sys.platform.startswith("linux"):
            raise database_unavailable(f"PostgreSQL's account cannot reach {directory}: set MISIR_DATA_DIR.")
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield f"/proc/self/fd/{descriptor}", (descriptor,)
        finally:
            os.close(descriptor)


def _end(child: subprocess.Popen[bytes]) -> None:
    for signum, patience_s in FAREWELLS:
        child.send_signal(signum)
        with suppress(subprocess.TimeoutExpired):
            child.wait(patience_s)
            return
    child.kill()
    child.wait()


def _becomes_true(condition: Callable[[], bool], patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _servers_in(cluster: Path, postmaster: int) -> set[int]:
    """PostgreSQL's live processes there: their working directory is the database, and a zombie has none."""
    if not Path("/proc/self/cwd").exists():
        command = subprocess.run(  # noqa: S603
            ["/bin/ps", "-o", "comm=", "-p", str(postmaster)], capture_output=True, text=True, check=False
        )
        return {postmaster} if "postgres" in command.stdout else set()
    here = cluster.stat()
    return {int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _is_server_in(entry, here)}


def _is_server_in(process: Path, here: os.stat_result) -> bool:
    with suppress(OSError):
        return os.path.samestat((process / "cwd").stat(), here) and (
            (process / "comm").read_text().strip() == "postgres"
        )
    return False


def _first_number(path: Path) -> int:
    """The number on the file's first line, or 0: a disk that ran full leaves empty files."""
    with suppress(OSError, ValueError):
        return int(path.read_text().split("\n", 1)[0])
    return 0


def _quoted(value: str) -> str:
    r"""A value as postgresql.conf wants it.

    >>> print(_quoted("/it's\\here"))
    '/it''s\\here'
    """
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _sync_directory(path: Path) -> None:
    """Makes a rename in `path` outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
