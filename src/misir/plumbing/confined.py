"""Reading what strangers made (pages, PDFs, files) happens in a child process that can be killed.

The child limits its own memory and processor time before it reads the first byte, gets nothing of the
environment but what Python needs, and can write to no file. Whatever hangs, explodes or crashes in it, the
server goes on.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Final

PASSED_ON: Final = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TZ", "SYSTEMROOT")
MIB: Final = 1024 * 1024


def confine(*, memory_mib: int, cpu_s: int) -> None:
    """For the child, first thing: no more than this much memory and processor time, and no file written."""
    for what, most in (
        (resource.RLIMIT_AS, memory_mib * MIB),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hardest = resource.getrlimit(what)
        limit = most if hardest == resource.RLIM_INFINITY else min(most, hardest)
        resource.setrlimit(what, (limit, limit))


def run_confined(module: str, args: Sequence[str], data: bytes, *, within_s: float) -> bytes | None:
    """What `python -m module args` makes of `data`; None when it died, or took too long. Blocks: call it in
    a thread.
    """
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            _command(module, args),
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=within_s,
            check=False,
            env=_environment(),
        )
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.returncode == 0 else None


@contextmanager
def confined_lines(module: str, args: Sequence[str], *, within_s: float) -> Iterator[IO[bytes]]:
    """The output of `python -m module args` as it comes; it is killed at the end of the block, or after
    `within_s`. Blocks: read it in a thread.
    """
    child = subprocess.Popen(  # noqa: S603 - our own module
        _command(module, args),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_environment(),
    )
    too_late = threading.Timer(within_s, child.kill)
    too_late.daemon = True
    too_late.start()
    try:
        assert child.stdout is not None  # noqa: S101 - asked for above
        yield child.stdout
    finally:
        too_late.cancel()
        child.kill()
        child.wait()
        child.stdout.close()  # type: ignore[union-attr]


def _command(module: str, args: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", module, *args]


def _environment() -> dict[str, str]:
    known = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {**known, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
