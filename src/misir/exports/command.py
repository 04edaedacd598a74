"""`misir export`: the stream of GET /export, into a file or to standard output."""

from __future__ import annotations

import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Annotated, Final

import typer

from misir.errors import invalid
from misir.exports.stream import Format, export_bookmarks, export_lines, open_export
from misir.locally import find_space, run
from misir.resources import Resources
from misir.shell import DataDir, InSpace, User, now, steps

EXAMPLES: Final = (
    "misir export -o library.jsonl",
    "misir export --format bookmarks -o bookmarks.html",
    "misir export --space Python | gzip > python.jsonl.gz",
)


def export_command(
    *,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file. \\[default: standard output]")
    ] = None,
    file_format: Annotated[
        Format, typer.Option("--format", help="jsonl: all of it; bookmarks: an HTML file for browsers.")
    ] = "jsonl",
    space: InSpace = None,
    user: User = None,
    data_dir: DataDir = None,
) -> None:
    """Write down the whole library: `misir import` brings it back exactly."""

    async def work(res: Resources, me: uuid.UUID) -> int:
        space_id = None if space is None else await find_space(res, me, space)
        bounds = await open_export(res, me, space_id)
        if file_format == "bookmarks":
            parts = export_bookmarks(res, me, space_id, bounds)
        else:
            parts = export_lines(res, me, space_id, bounds, now())
        if output is None:
            return await _write(parts, sys.stdout.buffer)
        try:
            with output.open("wb") as file:
                return await _write(parts, file)
        except OSError as error:
            raise invalid(f"{output} cannot be written: {error.strerror}.") from error

    n_bytes = run(work, user, data_dir)
    steps.print(f"{n_bytes:,} bytes exported.")


async def _write(parts: AsyncIterator[bytes], file: IO[bytes]) -> int:
    n_bytes = 0
    async for part in parts:
        n_bytes += file.write(part)
    file.flush()
    return n_bytes
