"""The directory in which the workers of one service keep their numbers, each in files of its own.

A worker's seat is a locked file: the kernel drops the lock however the worker dies, so who is gone is known
without asking for process ids, which are used again.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Final

from misir.errors import MisirError
from misir.plumbing.data_dir import lock

VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
PATIENCE_S: Final = 10.0
FOLD_ABOVE: Final = 16
"""Files of dead workers that are kept apart; beyond it they are added up into one."""


def choose_directory(environ: Mapping[str, str]) -> Path:
    """PROMETHEUS_MULTIPROC_DIR, or one of our own for this run of the service, closed to other accounts.

    A directory of ours in the environment is another service's that started this one: it does not count.
    """
    root = Path(tempfile.gettempdir()) / f"misir-metrics-{os.geteuid()}"
    given = environ.get(VARIABLE)
    if given and Path(given).parent != root:
        Path(given).mkdir(parents=True, exist_ok=True)
        return Path(given)
    root.mkdir(mode=0o700, exist_ok=True)
    found = root.lstat()
    if root.is_symlink() or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise MisirError(500, "settings", f"{root} is open to others: remove it, or set {VARIABLE}.")
    pid = service_pid()
    return root / f"{pid}-{started_at(pid)}"


def service_pid() -> int:
    """The process that replaces workers and outlives them; this one where there is no such process."""
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:  # uvicorn --workers, misir serve --workers
        return parent.pid
    is_gunicorns = os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn")
    return os.getppid() if is_gunicorns else os.getpid()


def started_at(pid: int) -> str:
    """Tells two processes of one id apart: "" for a process that is gone, "0" where there is no /proc."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()[19]
    except OSError:
        return "" if Path("/proc/self/stat").exists() else "0"


class SharedDirectory:
    """One service's directory, with this process in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seat: BinaryIO | None = None

    def join(self) -> None:
        """Take a seat; what a dead worker of the same process id left in the live gauges must not count."""
        _remove_stale(self.path)
        self.path.mkdir(mode=0o700, exist_ok=True)
        with self._alone():
            self._seat = lock(_seat(self.path, os.getpid()), wait_s=PATIENCE_S)
            _forget_live(self.path, os.getpid())
            with suppress(FileExistsError):
                (self.path / "started").touch(exist_ok=False)

    def leave(self) -> None:
        """Give the seat up, as the kernel does for who is killed."""
        if self._seat is not None:
            self._seat.close()

    @property
    def started_s(self) -> float:
        """When the service's first worker came up, as Unix time."""
        return (self.path / "started").stat().st_mtime

    @contextmanager
    def settled(self) -> Iterator[None]:
        """The dead are buried, and nobody else reads or buries meanwhile."""
        with self._alone():
            gone = [pid for pid in _seated(self.path) if _is_free(_seat(self.path, pid))]
            for pid in gone:
                _forget_live(self.path, pid)
                _seat(self.path, pid).unlink()
            living = set(_seated(self.path))
            for kind in ("counter", "histogram"):
                _fold(self.path, kind, living)
            yield

    @contextmanager
    def _alone(self) -> Iterator[None]:
        held = lock(self.path / "directory.lock", wait_s=PATIENCE_S)
        try:
            yield
        finally:
            if held is not None:
                held.close()


def _seat(directory: Path, pid: int) -> Path:
    return directory / f"worker_{pid}.lock"


def _seated(directory: Path) -> list[int]:
    return [int(path.stem.partition("_")[2]) for path in directory.glob("worker_*.lock")]


def _is_free(seat: Path) -> bool:
    taken = lock(seat)
    if taken is None:
        return False
    taken.close()
    return True


def _forget_live(directory: Path, pid: int) -> None:
    for path in directory.glob(f"gauge_live*_{pid}.db"):
        path.unlink(missing_ok=True)


def _fold(directory: Path, kind: str, living: set[int]) -> None:
    """Add the dead workers' files up into `<kind>_0.db`, so that replacing workers does not fill the disk."""
    files = {int(path.stem.rpartition("_")[2]): path for path in directory.glob(f"{kind}_*.db")}
    dead = [path for pid, path in files.items() if pid not in living]
    if len(dead) <= FOLD_ABOVE:
        return
    # Imported late (see metrics.start_metrics), and it has no types.
    stored: Any = import_module("prometheus_client.mmap_dict").MmapedDict
    sums: dict[str, float] = {}
    for path in dead:
        for key, value, _, _ in stored.read_all_values_from_file(str(path)):
            sums[key] = sums.get(key, 0.0) + value
    made = directory / f"{kind}.new"
    made.unlink(missing_ok=True)
    total = stored(str(made))
    for key, value in sums.items():
        total.write_value(key, value, 0.0)
    total.close()
    made.replace(directory / f"{kind}_0.db")
    for path in dead:
        if path.name != f"{kind}_0.db":
            path.unlink()


def _remove_stale(mine: Path) -> None:
    """Earlier runs: their service is gone, and nobody sits in their directories any more."""
    if not mine.parent.name.startswith("misir-metrics-"):
        return
    for path in mine.parent.iterdir():
        pid, _, started = path.name.partition("-")
        if path == mine or not pid.isdigit() or started_at(int(pid)) == started:
            continue
        with suppress(OSError):  # another worker removes it at this moment
            if all(_is_free(_seat(path, one)) for one in _seated(path)):
                shutil.rmtree(path)
