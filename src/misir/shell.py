"""What the commands share: their help, their options, running work on a library, and printing."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import orjson
import typer
from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from misir.errors import MisirError, invalid
from misir.resources import Resources
from misir.serve import attached, configure, opened
from misir.spaces import views
from misir.spaces.create import create_space
from misir.spaces.schemas import NewSpace, Space

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

CODES = "Exit codes: 0 done, 1 refused or failed (one sentence on stderr says why), 2 wrong usage."


def epilog(*examples: str) -> str:
    """The foot of a command's help. A blank line is what keeps typer from joining two lines."""
    return "\n\n".join(["Examples:", *(f"  {escape(example)}" for example in examples), CODES])


out = Console(highlight=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", help="Where the embedded database lives. \\[default: MISIR_DATA_DIR or .misir]"
    ),
]
User = Annotated[
    uuid.UUID | None,
    typer.Option("--user", help="Act as this user. \\[default: the local user, MOCK_USER_ID]"),
]
InSpace = Annotated[str | None, typer.Option("--space", help="Id or name of the space.")]


def run(
    work: Callable[[Resources, uuid.UUID], Awaitable[T]], user: uuid.UUID | None, data_dir: Path | None
) -> T:
    """Do `work` on the library in this process, as a route would, and leave nothing open."""
    settings = configure(is_local=False, data_dir=data_dir)

    async def with_resources() -> T:
        async with opened(settings) as res:
            return await work(res, user or settings.mock_user_id)

    with attached(settings):
        return asyncio.run(with_resources())


def checked(model: type[M], **fields: Any) -> M:
    """The request a route would have got; what pydantic refuses becomes a sentence."""
    try:
        return model(**fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        raise invalid(f"{where}: {reason}" if where else reason) from None


def now() -> datetime:
    return datetime.now(UTC)


def print_json(value: Any) -> None:
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    sys.stdout.write(orjson.dumps(plain, option=orjson.OPT_INDENT_2).decode() + "\n")


def print_table(columns: list[str], rows: list[list[Any]]) -> None:
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    out.print(table if rows else "Nothing yet.")


async def list_spaces(res: Resources, me: uuid.UUID) -> list[Space]:
    return (await views.list_spaces(res.database, me, now())).spaces


async def find_space(res: Resources, me: uuid.UUID, named: str | None, *, create: bool = False) -> int:
    """The id of the space of that id or name; the only one, where none is named."""
    spaces = await list_spaces(res, me)
    if named is None and len(spaces) == 1:
        return spaces[0].id
    for space in spaces:
        if named is not None and (named == str(space.id) or named.lower() == space.name.lower()):
            return space.id
    if create and named is not None:
        return (await create_space(res, me, checked(NewSpace, name=named), now())).id
    raise MisirError(404, "not-found", _which_space(named, spaces))


def _which_space(named: str | None, spaces: list[Space]) -> str:
    known = ", ".join(f"{space.name} ({space.id})" for space in spaces) or "none yet"
    if named is None:
        return f"Say which space it belongs to with --space NAME or ID (yours: {known})."
    return f"There is no space {named!r} (yours: {known}): pass one of these, or add --create to make it."
