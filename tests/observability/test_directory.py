"""The workers' directory: seats, burials, sums of the dead, and runs that are over."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from misir.plumbing import metrics_dir
from misir.plumbing.metrics_dir import FOLD_ABOVE, SharedDirectory, choose_directory, started_at

COUNT = """
from misir.plumbing.metrics import start_metrics
metrics = start_metrics("1")
metrics.route("GET", "/health").begin()
metrics.route("GET", "/health").end(200, 0.01)
metrics.route("GET", "/search").begin()
from misir.plumbing.metrics import read_exposition
if {is_reader}:
    print(read_exposition().decode())
import os, signal
os.kill(os.getpid(), signal.SIGKILL)
"""


def worker(directory: Path, *, is_reader: bool = False) -> str:
    """A process that counts one request, has another in progress, and is killed."""
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory)}
    done = subprocess.run(
        [sys.executable, "-c", COUNT.format(is_reader=is_reader)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -9, done.stderr
    return done.stdout


def test_the_dead_are_added_up_and_nothing_is_lost(tmp_path: Path) -> None:
    for _ in range(FOLD_ABOVE + 2):
        worker(tmp_path)
    text = worker(tmp_path, is_reader=True)
    n = f"{FOLD_ABOVE + 3}.0"
    assert f'misir_http_requests_total{{endpoint="/health",method="GET",status="200"}} {n}' in text
    assert f'misir_http_request_duration_seconds_count{{endpoint="/health",method="GET"}} {n}' in text
    assert 'misir_http_requests_in_progress{endpoint="/search",method="GET"} 1.0' in text
    assert sorted(path.name.rpartition("_")[0] for path in tmp_path.glob("counter_*")) == ["counter"] * 2


def test_earlier_runs_are_removed_and_living_ones_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_dir.tempfile, "gettempdir", lambda: str(tmp_path))
    mine = choose_directory({})
    over, reused = mine.parent / "4194304-1", mine.parent / f"{os.getpid()}-1"
    living = mine.parent / f"{os.getppid()}-{started_at(os.getppid())}"
    for path in (over, reused, living):
        path.mkdir()
    joined = SharedDirectory(mine)
    joined.join()
    joined.leave()
    assert {path.name for path in mine.parent.iterdir()} == {mine.name, living.name}
    assert mine.stat().st_mode & 0o077 == 0


def test_a_directory_inherited_from_another_service_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_dir.tempfile, "gettempdir", lambda: str(tmp_path))
    mine = choose_directory({})
    assert choose_directory({"PROMETHEUS_MULTIPROC_DIR": str(mine.parent / "1-1")}) == mine
    given = tmp_path / "given"
    assert choose_directory({"PROMETHEUS_MULTIPROC_DIR": str(given)}) == given
    assert given.is_dir()
