"""`misir calibrate`: what the cosines of this model mean, measured on labelled texts or your own library."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import orjson
import typer
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rich.progress import Progress
from rich.table import Table

from misir.embed.calibration import Calibration, calibration_for
from misir.embed.embedder import Embedder, build_embedder
from misir.embed.models import Task
from misir.embed.text import document_text
from misir.errors import invalid
from misir.orient.calibration import MEASURES, Estimate, Labelled, estimate, labelled
from misir.orient.config import EngineConfig
from misir.orient.vectors import Vector
from misir.plumbing.sqlfile import load_statements
from misir.resources import opened
from misir.serve import attached, configure
from misir.settings import Settings
from misir.shell import out, steps

SQL = load_statements("misir.library", "library.sql")

EXAMPLES: Final = (
    "misir calibrate",
    "misir calibrate --space 2 --json",
    "misir calibrate texts.jsonl --output calibration.json",
)

EMBED_AT_ONCE: Final = 32
"""Texts between two steps of the progress bar."""

DIGITS: Final = 4
"""After the point; the spread is never smaller than about a thousandth."""


class LabelledText(BaseModel):
    """One line of the file."""

    model_config = ConfigDict(extra="ignore")

    text: str = Field(min_length=1)
    label: str | int
    title: str | None = None


@dataclass(frozen=True)
class Gathered:
    """Vectors with their labels, and a title for each, or none at all."""

    source: str
    vectors: Vector
    labels: list[object]
    titles: list[str] | None


@dataclass(frozen=True)
class Report:
    """What was measured, on what, beside what is shipped for the model."""

    model: str
    source: str
    n_texts: int
    n_labels: int
    seed: int
    shipped: Calibration
    measured: dict[str, Estimate]

    @property
    def calibration(self) -> dict[str, float]:
        """The measured values; what could not be measured stays as shipped."""
        found = {name: round(one.value, DIGITS) for name, one in self.measured.items()}
        return asdict(self.shipped) | found

    def document(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "model": self.model,
            "source": self.source,
            "texts": self.n_texts,
            "labels": self.n_labels,
            "seed": self.seed,
            "calibration": self.calibration,
            "measured": {
                name: {"value": round(one.value, DIGITS), "n": one.n, "spread": round(one.spread, DIGITS)}
                for name, one in self.measured.items()
            },
        }


def calibrate_command(
    file: Annotated[
        Path | None,
        typer.Argument(help='JSON lines of {"text", "label"\\[, "title"]}. \\[default: your own library]'),
    ] = None,
    *,
    space: Annotated[
        int | None, typer.Option("--space", help="Only this space of the library, by its id.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write the values as JSON, too.")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Of everything drawn: the same seed, the same values.")
    ] = 0,
    user: Annotated[
        uuid.UUID | None,
        typer.Option("--user", help="Whose library. \\[default: the local user, MOCK_USER_ID]"),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir", help="Where the embedded database lives. \\[default: MISIR_DATA_DIR or .misir]"
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON for programs instead of a table.")
    ] = False,
) -> None:
    """Measure the numbers that belong to the embedding model, on texts whose topics are known."""
    settings = configure(is_local=False, data_dir=data_dir)
    embedder = build_embedder(settings)
    with Progress(console=steps, transient=True, disable=not steps.is_terminal) as bar:
        if file is not None:
            gathered = gather_texts(read_texts(file), str(file), embedder, bar)
        else:
            with attached(settings):
                gathered = asyncio.run(_gather_library(settings, user, space))
        report = measure(gathered, embedder, seed, bar)
    document = orjson.dumps(report.document(), option=orjson.OPT_INDENT_2).decode()
    if output is not None:
        output.write_text(document + "\n", "utf-8")
    if as_json:
        typer.echo(document)
    else:
        out.print(table_of(report))
        out.print(f"{report.n_texts} texts of {report.n_labels} labels: {report.source}.", markup=False)


# ---- the labelled texts --------------------------------------------------------------------------


def read_texts(file: Path) -> list[LabelledText]:
    """The lines of a file; the first that is not as it should be is a MisirError 422 that names it."""
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise invalid(f"{file} cannot be read: {error}.") from error
    return [_read_line(line, n, file) for n, line in enumerate(lines, 1) if line.strip()]


def _read_line(line: str, n: int, file: Path) -> LabelledText:
    try:
        return LabelledText.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the line"
        raise invalid(f"{file}, line {n}: {where}: {first['msg']}.") from None


def gather_texts(texts: Sequence[LabelledText], source: str, embedder: Embedder, bar: Progress) -> Gathered:
    """Embed the texts of a file as captures would be; titles count where every text has one."""
    vectors = _embed([document_text(one.title, one.text) for one in texts], "document", embedder, bar)
    titles = [one.title for one in texts if one.title and one.title.strip()]
    is_titled = len(titles) == len(texts)
    return Gathered(source, vectors, [one.label for one in texts], titles if is_titled else None)


def _embed(texts: Sequence[str], task: Task, embedder: Embedder, bar: Progress) -> Vector:
    if not texts:
        return np.empty((0, embedder.dimension), dtype=np.float32)
    step = bar.add_task("Embedding", total=len(texts))
    found: list[Vector] = []
    for start in range(0, len(texts), EMBED_AT_ONCE):
        made = embedder.embed_texts(texts[start : start + EMBED_AT_ONCE], task)
        found += [one.vector for one in made]
        bar.advance(step, len(made))
    return np.stack(found)


async def _gather_library(settings: Settings, user: uuid.UUID | None, space: int | None) -> Gathered:
    """What is placed in topics: its stored vectors, its titles, and its topics as labels."""
    async with opened(settings) as res, res.database.as_user(user or settings.mock_user_id) as tx:
        cursor = await tx.ask(SQL.load_placed_vectors, model=res.embedder.fingerprint, space_id=space)
        rows = await cursor.fetchall()
        width = res.embedder.dimension
    vectors = [row["vector"].to_numpy().astype(np.float32) for row in rows]
    titles = [row["title"] or "" for row in rows]
    return Gathered(
        source="your library, its topics as labels",
        vectors=np.stack(vectors) if vectors else np.empty((0, width), dtype=np.float32),
        labels=[row["subspace_id"] for row in rows],
        titles=titles if titles and all(title.strip() for title in titles) else None,
    )


# ---- the measurement -----------------------------------------------------------------------------


def measure(gathered: Gathered, embedder: Embedder, seed: int, bar: Progress) -> Report:
    """Every measure on what was gathered; too little of it is a MisirError 422 that says what is needed."""
    questions = None if gathered.titles is None else _embed(gathered.titles, "query", embedder, bar)
    try:
        data = labelled(gathered.vectors, gathered.labels, questions)
    except ValueError as error:
        raise invalid(str(error)) from error
    return Report(
        model=embedder.fingerprint,
        source=gathered.source,
        n_texts=len(data.labels),
        n_labels=len(np.unique(data.labels)),
        seed=seed,
        shipped=calibration_for(embedder.spec),
        measured=_estimates(data, seed, bar),
    )


def _estimates(data: Labelled, seed: int, bar: Progress) -> dict[str, Estimate]:
    found: dict[str, Estimate] = {}
    for one in bar.track(MEASURES, description="Measuring"):
        found |= estimate(one, data, seed, EngineConfig())
    return found


def table_of(report: Report) -> Table:
    """Shipped and measured side by side."""
    table = Table("value", box=None, pad_edge=False, header_style="bold")
    for heading in ("shipped", "measured", "n", "spread"):
        table.add_column(heading, justify="right")
    for name, shipped in asdict(report.shipped).items():
        one = report.measured.get(name)
        shown = ["—", "", ""] if one is None else [f"{one.value:.3f}", f"{one.n:,}", f"{one.spread:.3f}"]
        table.add_row(name, f"{shipped:g}", *shown)
    return table
