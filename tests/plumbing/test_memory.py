from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from pathlib import Path
from misir.plumbing.memory import keep_memory_low

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4 / 1024

if sys.argv[1] == "low":
    keep_memory_low()
bytearray(24 * 2**20)  # glibc takes blocks of this size from its heap, once one has been freed
before, kept = resident_mb(), []
for _ in range(12):
    kept.append((bytearray(8 * 2**20), bytearray(100_000)))
kept = [small for _, small in kept]  # what lies between keeps the heap from shrinking
print(resident_mb() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's own")
def test_large_blocks_go_back_to_the_system() -> None:
    low, usual = (float(run(mode)) for mode in ("low", "usual"))
    assert usual > 60, "glibc keeps nothing any more: plumbing/memory.py can go"
    assert low < 20


def run(mode: str) -> str:
    command = [sys.executable, "-c", PROGRAM, mode]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
