"""Start to first answer, and memory: `python benchmarks/startup.py [--full] [--json]`

`misir serve --local` on a data directory that was used before, until its first search is answered; then a mix of short and long texts, a
batch and searches, after which every process says how much memory is its own (PSS, so that shared pages count once). --full adds four workers.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from ground import Row, plain_row, run

WORDS = "the tide comes in twice a day and leaves shells on the sand where children look for them "


@contextmanager
def served(folder: Path, workers: int) -> Iterator[tuple[str, subprocess.Popen[bytes], float]]:
    """The address, the process, and the second it was started in."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    env = {**os.environ, "MISIR_DATA_DIR": str(folder), "MOCK_AUTH": "True", "RATE_LIMIT_ENABLED": "False"}
    if workers == 1:
        command = [
            sys.executable,
            "-c",
            "from misir.cli import main; main()",
            "serve",
            "--local",
            "--no-demo",
            "--port",
            str(port),
        ]
    else:
        command = [
            sys.executable,
            "-m",
            "uvicorn",
            "main:app",
            "--port",
            str(port),
            "--workers",
            str(workers),
        ]
    started = time.perf_counter()
    quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=Path(__file__).parent.parent, env=env, **quiet) as process:  # noqa: S603
        try:
            yield f"http://127.0.0.1:{port}/api/v1", process, started
        finally:
            process.send_signal(signal.SIGTERM)


def first_answer(url: str, started: float) -> float:
    """Seconds until a search by meaning is answered."""
    while time.perf_counter() - started < 120:
        with contextlib.suppress(httpx.HTTPError):
            answer = httpx.get(f"{url}/search", params={"q": "tide", "mode": "semantic"}, timeout=5)
            if answer.status_code == 200:
                return time.perf_counter() - started
        time.sleep(0.02)
    raise TimeoutError(url)


def use(url: str) -> None:
    """Short and long texts, a batch of both, and searches."""
    with httpx.Client(base_url=url, timeout=300) as client:
        space = client.post("/spaces", json={"name": "Bench"}).raise_for_status().json()["id"]
        long = WORDS * 600
        pages = [
            {
                "space_id": space,
                "url": f"https://bench.example/{n}",
                "title": f"Page {n}",
                "content": f"{n} {long[: 60 * 4 ** (n % 6)]}",
            }
            for n in range(120)
        ]
        client.post("/artifacts/batch", json={"artifacts": pages}).raise_for_status()
        for page in pages[:10]:
            client.post("/capture", json=page | {"content": page["content"] + " again"}).raise_for_status()
        for n in range(20):
            client.get("/search", params={"q": f"shells and tide {n}"}).raise_for_status()


def family(root: int) -> dict[int, str]:
    """The processes of a session-less tree: the root's descendants, and what they started that left the tree."""
    found = {root: "server"}
    stats = [(int(one.name), one) for one in Path("/proc").iterdir() if one.name.isdigit()]
    parents = {}
    for pid, path in stats:
        with contextlib.suppress(OSError, IndexError):
            parents[pid] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
    while True:
        more = {pid: _kind(pid) for pid, parent in parents.items() if parent in found and pid not in found}
        if not more:
            return found
        found |= more


def _kind(pid: int) -> str:
    with contextlib.suppress(OSError):
        line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        for word, kind in (
            ("postgres", "PostgreSQL"),
            ("misir.embed", "embedder"),
            ("supervisor", "supervisor"),
        ):
            if word in line:
                return kind
    return "server"


def memory(folder: Path, root: int) -> dict[str, float]:
    """MB by part. Whoever has the data directory in its command line belongs to it, whatever its parent is."""
    pids = family(root)
    for one in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if one.name.isdigit() and str(folder).encode() in (one / "cmdline").read_bytes():
                pids |= family(int(one.name)) | {int(one.name): _kind(int(one.name))}
    found: dict[str, float] = {}
    for pid, kind in pids.items():
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
            pss = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
            found[kind] = found.get(kind, 0.0) + pss / 1024
    return found


async def measure(*, is_full: bool = False, is_huge: bool = False) -> list[Row]:  # noqa: ARG001 - one size
    """Rows of {name, value, unit, target, verdict}."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with served(folder, 1) as (url, _, started):
            rows.append(plain_row("first start to first answer", first_answer(url, started), "s"))
        await asyncio.sleep(4)
        taken = []
        for _ in range(5 if is_full else 3):
            with served(folder, 1) as (url, _, started):
                taken.append(first_answer(url, started))
            await asyncio.sleep(4)  # until the supervisor has let go
        rows.append(
            plain_row("start to first answer, warm", statistics.median(taken), "s", 3.0, at_least=False)
        )
        for workers in (1, 4) if is_full else (1,):
            with served(folder, workers) as (url, process, started):
                first_answer(url, started)
                use(url)
                parts = memory(folder, process.pid)
            target = 700.0 if workers == 1 else None
            label = f"memory, {workers} worker{'s' if workers > 1 else ''}"
            rows.append(
                plain_row(f"{label}, all processes", sum(parts.values()), "MB", target, at_least=False)
            )
            rows += [plain_row(f"{label}: {kind}", size, "MB") for kind, size in sorted(parts.items())]
            await asyncio.sleep(4)
    return rows


if __name__ == "__main__":
    run(measure, "startup", (__doc__ or "").partition("\n")[0])
