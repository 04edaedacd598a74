"""`misir import`: as POST /imports, with a progress bar; a folder of notes is packed first."""

from __future__ import annotations

import asyncio
import tempfile
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Any, Final, cast

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from misir.errors import MisirError, invalid
from misir.imports import start
from misir.imports.formats import Format
from misir.imports.readers import NOTES
from misir.imports.run import FINISHED
from misir.imports.schemas import DryRun, ImportDetail
from misir.imports.source import MAX_FILE
from misir.jobs.kinds import IMPORTING
from misir.jobs.worker import work_once
from misir.locally import find_space, run
from misir.plumbing.beside import beside
from misir.resources import Resources
from misir.shell import AsJson, DataDir, User, now, out, print_json, print_table, steps

EXAMPLES: Final = (
    "misir import bookmarks.html --space Reading --dry-run",
    "misir import ~/notes --space Notes",
    "misir import library.jsonl",
    "misir import --undo 3",
)

LOOK_EVERY_S: Final = 0.25


def import_command(
    source: Annotated[
        Path | None, typer.Argument(metavar="FILE|DIR", help="What to import; a folder of notes, too.")
    ] = None,
    *,
    space: Annotated[
        str | None, typer.Option("--space", help="Id or name of the space; an export of Misir needs none.")
    ] = None,
    create: Annotated[bool, typer.Option("--create", help="Make the space if there is none.")] = False,
    wanted: Annotated[
        Format | None, typer.Option("--format", help="What it is. \\[default: found out]")
    ] = None,
    is_fetching: Annotated[
        bool, typer.Option("--fetch", help="Fetch the text of pages that come with a title only.")
    ] = False,
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Say what would come in; keep nothing.")] = False,
    undo: Annotated[int | None, typer.Option("--undo", help="Take the import with this id back.")] = None,
    user: User = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Import bookmarks, a browser's history, another app's export, notes, or an export of Misir.

    Ctrl-C stops it: the worker of the next server, or the next `misir import`, goes on where it was.
    """
    if (source is None) == (undo is None):
        raise invalid("Name the file to import, or the import to take back with --undo ID.")

    async def work(res: Resources, me: uuid.UUID) -> DryRun | ImportDetail:
        if undo is not None:
            await start.undo_import(res, me, undo, now())
            return await _follow(res, me, undo)
        space_id = await _space(
            res, me, space, cast("Path", source), wanted=wanted, create=create and not is_dry
        )
        with _opened(cast("Path", source)) as (file, name):
            async with start.on_disk(file, name) as upload:
                if is_dry:
                    return await start.look_at(res, me, upload, space_id=space_id, wanted=wanted)
                begun = await start.start_import(
                    res, me, upload, now(), space_id=space_id, wanted=wanted, is_fetching=is_fetching
                )
        return await _follow(res, me, begun.id)

    answer = run(work, user, data_dir)
    if as_json:
        print_json(answer)
    else:
        _print(answer)
    if isinstance(answer, ImportDetail) and answer.state == "failed":
        raise MisirError(422, "unreadable", answer.error or "The import failed.")


async def _space(
    res: Resources, me: uuid.UUID, space: str | None, source: Path, *, wanted: str | None, create: bool
) -> int | None:
    """None for an export of ours that is to come back as it was."""
    is_own = wanted == "misir" or source.suffix == ".jsonl"
    return None if space is None and is_own else await find_space(res, me, space, create=create)


@contextmanager
def _opened(source: Path) -> Iterator[tuple[IO[bytes], str]]:
    """The file, or the folder's notes as a zip. Raises MisirError for what cannot be read."""
    try:
        if not source.is_dir():
            with source.open("rb") as file:
                yield file, source.name
            return
        with tempfile.TemporaryFile(prefix="misir-notes-") as packed:
            _pack(source, packed)
            packed.seek(0)
            yield packed, f"{source.resolve().name}.zip"
    except OSError as error:
        raise invalid(f"{source} cannot be read: {error.strerror}.") from error


def _pack(folder: Path, packed: IO[bytes]) -> None:
    n_bytes = 0
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            is_hidden = any(part.startswith(".") for part in name.parts)
            if path.suffix.lower() in NOTES and path.is_file() and not is_hidden:
                n_bytes += path.stat().st_size
                if n_bytes > MAX_FILE:
                    raise invalid(f"{folder} holds more than {MAX_FILE // 1024**2} MiB: import its folders.")
                archive.write(path, name)


async def _follow(res: Resources, me: uuid.UUID, import_id: int) -> ImportDetail:
    """Do its work here, where this process may, and show how far it is until it is finished."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    progress = Progress(*columns, console=steps, transient=True, disable=not steps.is_terminal)
    async with beside(_work(res), "import"):
        with progress as bar:
            task = bar.add_task("Importing", total=None)
            while True:
                run = await start.get_import(res, me, import_id)
                bar.update(task, description=run.state, total=run.total, completed=run.position)
                if run.state in FINISHED:
                    return run
                await asyncio.sleep(LOOK_EVERY_S)


async def _work(res: Resources) -> None:
    """Nothing to be done here where there is no service login: a server's worker does it."""
    while res.locate_service() is not None:
        if not await work_once(res, now(), IMPORTING):
            await asyncio.sleep(LOOK_EVERY_S)


def _print(answer: DryRun | ImportDetail) -> None:
    if isinstance(answer, DryRun):
        shown: list[list[Any]] = [[one.url, one.title or "", one.captured_at or ""] for one in answer.samples]
        print_table(["address", "title", "read"], shown)
        counts = f"{answer.new_count:,} new, {answer.known_count:,} known"
        out.print(
            f"{answer.format}: {answer.total:,} entries; {counts}, "
            f"{answer.duplicate_count:,} duplicates, {answer.skipped_count:,} skipped. Nothing was kept."
        )
    else:
        reasons: list[list[Any]] = [[one.position, one.url or "", one.reason or ""] for one in answer.refused]
        if reasons:
            print_table(["entry", "address", "left out"], reasons)
        undone = f", {answer.undone_count:,} taken back" if answer.state == "undone" else ""
        out.print(
            f"Import {answer.id} is {answer.state}: {answer.new_count:,} new, {answer.known_count:,} known, "
            f"{answer.skipped_count:,} skipped, {answer.failed_count:,} failed{undone}."
        )
