"""How much memory and time it takes to read large files, and how fast they come in.

python benchmarks/imports.py              30,000 bookmarks and 50,000 history rows, read by the confined child
"""

from __future__ import annotations

import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MOST_MB = 300


def bookmarks(file: Path, n: int) -> None:
    with file.open("w") as out:
        out.write("<!DOCTYPE NETSCAPE-Bookmark-file-1>\n<DL><p>\n")
        for i in range(n):
            out.write(
                f'<DT><A HREF="https://h{i % 500}.example/{i}" ADD_DATE="{1_600_000_000 + i}">Page {i} of a long list</A>\n'
            )
        out.write("</DL>")


def history(file: Path, n: int) -> None:
    conn = sqlite3.connect(file)
    conn.execute("create table urls (id integer primary key, url, title, last_visit_time, hidden)")
    conn.execute("create table visits (id integer primary key, url)")
    rows = (
        (i, f"https://h{i % 900}.example/{i}", f"Page {i}", 13_344_473_600_000_000 + i, 0) for i in range(n)
    )
    conn.executemany("insert into urls values (?, ?, ?, ?, ?)", rows)
    conn.commit()
    conn.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for make, n in ((bookmarks, 30_000), (history, 50_000)):
            file = Path(folder) / make.__name__
            make(file, n)
            began = time.monotonic()
            command = [sys.executable, "-m", "misir.imports.read", str(file), "?", "0"]
            lines = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.splitlines()  # noqa: S603
            peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            print(
                f"{make.__name__}: {len(lines) - 2:,} entries, {time.monotonic() - began:.1f} s, {peak_mb:.0f} MB"
            )
            assert len(lines) - 2 == n
            assert peak_mb <= MOST_MB


if __name__ == "__main__":
    main()
