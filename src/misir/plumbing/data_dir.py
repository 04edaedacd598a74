"""The data directory: making it, locking it, a short way to its sockets, and what to say when that fails."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from misir.errors import MisirError

UNIX_PATH_MAX = 103
"""Bytes a socket's path may have: sun_path holds 108 on Linux and 104 on macOS, the final NUL included."""

LOG_MAX = 10 * 2**20
"""A log larger than this is put aside when it is next opened, so a log never takes more than twice that."""


def database_unavailable(detail: str) -> MisirError:
    return MisirError(503, "database-unavailable", detail)


@contextmanager
def explained(directory: Path) -> Iterator[None]:
    """Whatever the file system refuses in `directory` becomes one sentence that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise disk_full(directory) from error
        raise database_unavailable(
            f"Misir cannot write in {directory} ({error.strerror}): make it writable, "
            "or set MISIR_DATA_DIR to a directory that is."
        ) from error


def disk_full(directory: Path) -> MisirError:
    return database_unavailable(
        f"The disk that holds {directory} is full: free some space, then start Misir again."
    )


def make_directory(path: Path) -> None:
    """Makes `path`, closed to others. Root lets them pass through: PostgreSQL runs as another account."""
    path.mkdir(mode=0o700 if os.geteuid() else 0o711, parents=True, exist_ok=True)


def lock(path: Path, *, wait_s: float = 0) -> BinaryIO | None:
    """An exclusive lock that lasts as long as the returned file, or None when others hold it after `wait_s`.

    The kernel drops it when its holder dies, however it dies; the file itself stays and means nothing.
    """
    deadline = time.monotonic() + wait_s
    file = path.open("ab")
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                file.close()
                return None
            time.sleep(0.02)
        else:
            return file


def open_log(path: Path) -> BinaryIO:
    if path.exists() and path.stat().st_size > LOG_MAX:
        path.replace(path.with_name(f"{path.name}.1"))
    return path.open("ab")


def fits_socket(path: Path) -> bool:
    """Whether a socket can live at `path`, and libpq can be told: it takes a comma for a list of hosts.

    >>> fits_socket(Path("/srv/misir/supervisor.sock"))
    True
    >>> fits_socket(Path("/srv/a,b/supervisor.sock")), fits_socket(Path("/x" * 60))
    (False, False)
    """
    return len(os.fsencode(path)) <= UNIX_PATH_MAX and "," not in str(path)


def short_directory(root: Path) -> Path:
    """Stands in for `root` where a socket needs a shorter path; the same one for every process.

    It is in /tmp, not in TMPDIR: that may be long itself, and differs between a service and a shell.
    Anyone may write there, so a symlink or a directory of somebody else's is refused.
    """
    path = Path("/tmp") / f"misir-{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]}"  # noqa: S108
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        pass
    else:
        path.chmod(0o700 if os.geteuid() else 0o711)  # whatever the umask: see make_directory
    if not _is_ours(path.lstat(), {0, os.geteuid(), root.stat().st_uid}):
        raise database_unavailable(
            f"{path} belongs to somebody else and {root} is too long a path for a socket: "
            "set MISIR_DATA_DIR to a shorter one."
        )
    return path


def _is_ours(found: os.stat_result, owners: set[int]) -> bool:
    return stat.S_ISDIR(found.st_mode) and found.st_uid in owners and not found.st_mode & 0o066
