"""From nothing to a first map: `python benchmarks/first_map.py [--json FILE]`

An empty library behind a whole Misir with its worker, over HTTP: a space from an intention, a file of 200 entries imported into it, and the map page asked for
until it shows topics. Once with bookmarks, which have titles only, and once with the same pages and their texts as JSON lines. Rows are {name, value, unit,
target, verdict}: the wall time from before the space is made until the page with the topics has come.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from analytics import row
from misir.app import create_app
from misir.demo import INTENTION, Document, read_documents
from misir.settings import Settings

N_ENTRIES = 200
TARGET_S = 60.0
GIVE_UP_S = 300.0
SHOWS_TOPICS = '<circle class="bubble'
"""In the map's own drawing; the legend beside it comes only with that."""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    settings: Any = Settings(_env_file=None, MOCK_AUTH=True, MISIR_DATA_DIR=folder, RATE_LIMIT_ENABLED=False)
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.05)
        base = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        while httpx.get(f"{base}/health/ready").status_code != 200:
            time.sleep(0.2)
        yield base
    finally:
        server.should_exit = True
        thread.join()


def bookmarks(documents: list[Document]) -> bytes:
    """A title as a browser keeps it: the name of the page and what it says of itself."""
    lines = ["<!DOCTYPE NETSCAPE-Bookmark-file-1>", "<DL><p>"]
    for one in documents:
        title = f"{one['title']}: {one['content'].partition(chr(10))[0]}"
        lines.append(f'<DT><A HREF="{escape(one["url"])}">{escape(title)}</A>')
    return "\n".join([*lines, "</DL>"]).encode()


def json_lines(documents: list[Document]) -> bytes:
    rows = [{"kind": "misir-export"}, *({"kind": "artifact", **one} for one in documents)]
    return "\n".join(json.dumps(one) for one in rows).encode()


def time_first_map(base: str, name: str, file: bytes) -> tuple[float, float, int]:
    """Seconds until everything was in, seconds until the map showed topics, and how many it showed."""
    with httpx.Client(base_url=base, timeout=60) as client:
        began, came_in_s = time.perf_counter(), 0.0
        made = client.post("/api/v1/spaces", json={"name": name, "intention": INTENTION}).raise_for_status()
        space = made.json()["id"]
        sent = client.post("/api/v1/imports", data={"space_id": space}, files={"file": (name, file)})
        run = sent.raise_for_status().json()["id"]
        while True:
            page = client.get(f"/app/spaces/{space}/map", headers={"Accept": "text/html"}).raise_for_status()
            passed_s = time.perf_counter() - began
            state = client.get(f"/api/v1/imports/{run}").json()["state"]
            came_in_s = came_in_s or (passed_s if state == "done" else 0.0)
            n_topics = page.text.count('data-border="')
            if came_in_s and SHOWS_TOPICS in page.text and n_topics:
                return came_in_s, passed_s, n_topics
            if state == "failed" or passed_s > GIVE_UP_S:
                raise SystemExit(f"no map after {passed_s:.0f} s: the import is {state}")
            time.sleep(0.25)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    documents = read_documents()[::2][:N_ENTRIES]
    files = {"bookmarks.html": bookmarks(documents), "pages.jsonl": json_lines(documents)}
    rows = []
    for name, file in files.items():
        folder = Path(tempfile.mkdtemp(prefix="misir-bench-"))
        folder.chmod(0o755)
        try:
            with serving(folder) as base:
                came_in_s, seconds, n = time_first_map(base, name, file)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        said = f"{name}, {len(documents)} entries: from nothing to a map ({n} topics; all in after {came_in_s:.1f} s)"
        rows.append(row(said, seconds, "s", f"≤ {TARGET_S:.0f}", is_met=seconds <= TARGET_S))
    for one in rows:
        sys.stdout.write(
            f"{one['verdict']:>7}  {one['value']:>9} {one['unit']:<4} {one['target']:<6} {one['name']}\n"
        )
    if chosen.json:
        said_at = {"measured_at": datetime.now(UTC).isoformat(), "rows": rows}
        chosen.json.write_text(json.dumps(said_at, indent=1) + "\n")


if __name__ == "__main__":
    main()
