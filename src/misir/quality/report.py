"""`misir bench quality`: every part measured, one document with targets and verdicts, one JSON beside it."""

from __future__ import annotations

import importlib
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Final

import orjson
import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from misir.errors import MisirError, invalid
from misir.shell import epilog, steps

PARTS: Final = {
    "topics": "Topics",
    "drift": "Drift",
    "reliability": "Calibration",
    "attention": "Attention",
    "search": "Search",
}
"""Modules of `misir.quality` with `measure(corpora, cache, *, quick)` and `render(results)`, and headings.

A module may also have `verdicts(results)`: (what, target, found, is it reached?) of each of its targets.
"""

VERSIONS: Final = ("misir", "numpy", "onnxruntime", "scikit-learn", "river")

EXAMPLES: Final = (
    "misir bench quality",
    "misir bench quality --quick --only search --output quick.md --results quick.json",
)

INTRODUCTION: Final = """# Quality, measured

`misir bench quality` writes this page; do not edit it. Every figure is seeded, and on real texts that public
packages carry (`src/misir/quality/corpora.py`). The machine matters only for how long it took.
"""

bench_app = typer.Typer(help="Measure this version.", no_args_is_help=True, add_completion=False)


@bench_app.callback()
def bench() -> None:
    """Measure this version."""


@bench_app.command("quality", epilog=epilog(*EXAMPLES))
def quality_command(
    *,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer orders, trials and questions.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(help=f"Only this part, as often as you like: {', '.join(PARTS)}."),
    ] = None,
    output: Annotated[Path, typer.Option(metavar="FILE", help="Where the page goes.")] = Path(
        "docs/quality.md"
    ),
    results: Annotated[
        Path, typer.Option(metavar="FILE", help="Where the figures go, as JSON; parts not run are kept.")
    ] = Path("benchmarks/results/quality.json"),
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Where texts and vectors are kept. \\[default: ~/.cache/misir/quality]"
        ),
    ] = None,
) -> None:
    """Measure topics, drift, calibration, attention and search on real texts, against their targets."""
    chosen = only or list(PARTS)
    if unknown := sorted({*chosen} - {*PARTS}):
        raise invalid(f"There is no part {unknown[0]!r}: choose from {', '.join(PARTS)}.")
    parts = [part for part in map(find_part, chosen) if part is not None]
    kept = orjson.loads(results.read_bytes()) if results.exists() else {}
    document = {
        **kept,
        **run_parts(parts, cache or Path.home() / ".cache" / "misir" / "quality", quick=quick),
    }
    for path, text in ((results, _as_json(document)), (output, render_page(document))):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    steps.print(f"Written: {output} and {results}.", markup=False, soft_wrap=True)


def _as_json(document: Mapping[str, Any]) -> str:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n"


@dataclass(frozen=True)
class Part:
    """One module that measures."""

    name: str
    module: ModuleType


def find_part(name: str) -> Part | None:
    """The part of that name; None, with a line that says so, where this version has none.

    A package that it needs and that is not installed is a MisirError that names the extra.
    """
    full_name = f"misir.quality.{name}"
    try:
        return Part(name, importlib.import_module(full_name))
    except ModuleNotFoundError as error:
        if error.name == full_name:
            steps.print(f"{PARTS[name]}: not measured, this version has no {full_name}.", markup=False)
            return None
        raise MisirError(
            500,
            "quality-extra-missing",
            f"{PARTS[name]} needs {error.name}, which is not installed: pip install 'misir[quality]'.",
        ) from error


def run_parts(parts: Sequence[Part], cache: Path, *, quick: bool) -> dict[str, Any]:
    """Each part's results, with when, where and on what they were measured."""
    found: dict[str, Any] = {}
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=steps, disable=not steps.is_terminal) as bar:
        step = bar.add_task("Texts", total=len(parts) + 1)
        corpora = _load(cache)
        bar.advance(step)
        for n, part in enumerate(parts, 1):
            bar.update(step, description=f"{PARTS[part.name]} ({n} of {len(parts)})")
            started = datetime.now(UTC)
            results = part.module.measure(corpora, cache, quick=quick)
            found[part.name] = {
                "measured_at": started.isoformat(timespec="seconds"),
                "seconds": round((datetime.now(UTC) - started).total_seconds()),
                "quick": quick,
                "environment": environment(),
                "results": results,
            }
            bar.advance(step)
    return found


def _load(cache: Path) -> list[Any]:
    """The corpora; where a package cannot be had, a MisirError that says which command failed."""
    corpora = importlib.import_module("misir.quality.corpora")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        return list(corpora.load_corpora(cache))
    except (subprocess.CalledProcessError, OSError) as error:
        raise MisirError(
            503,
            "texts-unavailable",
            f"The texts to measure on could not be had ({error}): they come by pip and apt.",
        ) from error


def environment() -> dict[str, str]:
    """Commit, machine and versions."""
    found = {"commit": _commit(), "machine": _machine(), "python": platform.python_version()}
    for package in VERSIONS:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _commit() -> str:
    """The commit this runs from, with a + when files differ from it; "unknown" outside a checkout."""
    here = Path(__file__).parent
    asked = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(asked, cwd=here, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _machine() -> str:
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text("utf-8").splitlines() if cpus.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} × {names[0] if names else platform.machine()}"


# ---- the page ------------------------------------------------------------------------------------


def render_page(document: Mapping[str, Any]) -> str:
    """The whole page, from what was measured: verdicts first, then each part."""
    parts = [(name, document[name]) for name in PARTS if name in document]
    modules = {name: find_part(name) for name, _ in parts}
    known = [(name, found, part.module) for name, found in parts if (part := modules[name]) is not None]
    sections = [_section(name, found, module) for name, found, module in known]
    return "\n".join([INTRODUCTION, *_verdict_lines(known), *sections]).rstrip() + "\n"


def _verdict_lines(known: Sequence[tuple[str, Mapping[str, Any], ModuleType]]) -> list[str]:
    lines = ["| target | wanted | measured | reached |", "|---|---|---|---|"]
    for _, found, module in known:
        judge = getattr(module, "verdicts", None)
        rows = [] if judge is None else judge(found["results"])
        lines += [
            f"| {what} | {want} | {got} | {'yes' if ok else '**no**'} |" for what, want, got, ok in rows
        ]
    return [*lines, ""]


def _section(name: str, found: Mapping[str, Any], module: ModuleType) -> str:
    about = found["environment"]
    versions = ", ".join(f"{package} {about[package]}" for package in VERSIONS if package in about)
    how = "quick run" if found["quick"] else "full run"
    where = f"Python {about['python']}, {versions}; {about['machine']}"
    when = f"{found['measured_at']}, commit {about['commit']}, {how}, {found['seconds']} s; {where}."
    seeds = f" Seed {found['results']['seed']}." if "seed" in found["results"] else ""
    return f"## {PARTS[name]}\n\n{when}{seeds}\n\n{module.render(found['results'])}\n"
