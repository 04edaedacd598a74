"""A file that is being imported: kept in the database in pieces, read by a confined child process."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

import orjson

from misir.errors import MisirError
from misir.plumbing.confined import confined_lines
from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources

SQL = load_statements("misir.imports", "imports.sql")

MAX_FILE: Final = 256 * 1024 * 1024
PIECE: Final = 1024 * 1024
READ_WITHIN_S: Final = 900.0
MAX_LINE: Final = 16 * 1024 * 1024

Row = dict[str, Any]


def unreadable(detail: str) -> MisirError:
    return MisirError(422, "unreadable", detail)


async def keep_file(tx: Tx, import_id: int, file: IO[bytes]) -> None:
    """In the transaction that starts the import; a piece in memory at a time."""
    number = 0
    while piece := await asyncio.to_thread(file.read, PIECE):
        kept = await tx.ask(SQL.insert_piece, import_id=import_id, number=number, data=piece)
        await kept.fetchone()  # else a pipeline would hold them all
        number += 1


@asynccontextmanager
async def local_copy(res: Resources, user_id: uuid.UUID, import_id: int) -> AsyncIterator[Path]:
    """The file on this machine for as long as the block lasts."""
    with tempfile.NamedTemporaryFile(prefix="misir-import-") as file:
        number = 0
        while True:
            async with res.database.as_user(user_id) as tx:
                found = await tx.ask(SQL.read_piece, import_id=import_id, number=number)
                row = await found.fetchone()
            if row is None:
                break
            await asyncio.to_thread(file.write, row["data"])
            number += 1
        file.flush()
        yield Path(file.name)


class Source:
    """The entries of a file from a position on."""

    def __init__(self, lines: IO[bytes], position: int) -> None:
        self._lines = lines
        self.position = position
        self.format = ""
        self.total: int | None = None

    async def open(self) -> None:
        """Raises MisirError 422 when the file is of no format we read."""
        self.format = str((await asyncio.to_thread(self._one)).get("format", ""))

    async def some(self, n: int) -> list[tuple[int, Row]]:
        """The next n entries with their numbers, fewer at the end. Raises MisirError 422 at a break."""
        rows = await asyncio.to_thread(lambda: list(islice(self._entries(), n)))
        numbered = list(enumerate(rows, self.position + 1))
        self.position += len(rows)
        return numbered

    def _entries(self) -> Any:
        while self.total is None:
            row = self._one()
            if "end" in row:
                self.total = int(row["end"])
                return
            yield row

    def _one(self) -> Row:
        line = self._lines.readline(MAX_LINE)
        if not line.endswith(b"\n"):
            raise unreadable("The file took too long, or too much memory, to be read.")
        row: Row = orjson.loads(line)
        if "error" in row:
            raise unreadable(row["error"])
        return row


@asynccontextmanager
async def opened_source(path: Path, known_format: str | None, position: int = 0) -> AsyncIterator[Source]:
    """Reading `path` from an entry on; format None: find out."""
    args = [str(path), known_format or "?", str(position)]
    with contextlib.ExitStack() as stack:
        lines = stack.enter_context(confined_lines("misir.imports.read", args, within_s=READ_WITHIN_S))
        source = Source(lines, position)
        await source.open()
        yield source
