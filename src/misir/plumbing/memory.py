"""Memory that a process has done with goes back to the system: glibc, left alone, keeps large blocks."""

from __future__ import annotations

import ctypes
from typing import Final

M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8
"""Numbers of mallopt(3)."""

LARGE: Final = 1024 * 1024
"""Bytes. A block from this size on is the system's own again when it is freed."""

N_ARENAS: Final = 2
"""Heaps that threads share: each thread more would keep what it once needed."""


def keep_memory_low() -> None:
    """Call before threads start. A library that is looked at is tens of megabytes, in blocks of megabytes.

    With the first such block that is freed glibc raises its threshold, up to 32 MB, and from then on takes
    them from heaps that it cannot give back. Does nothing where the C library has no mallopt.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE)
        mallopt(M_ARENA_MAX, N_ARENAS)
