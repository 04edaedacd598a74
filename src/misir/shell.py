"""What the commands share: their help, their options, and printing."""

from __future__ import annotations

import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import orjson
import typer
from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from misir.errors import invalid

M = TypeVar("M", bound=BaseModel)

CODES = "Exit codes: 0 done, 1 refused or failed (one sentence on stderr says why), 2 wrong usage."


def epilog(*examples: str) -> str:
    """The foot of a command's help. A blank line is what keeps typer from joining two lines."""
    return "\n\n".join(["Examples:", *(f"  {escape(example)}" for example in examples), CODES])


out = Console(highlight=False, emoji=False)  # a title says :key: where it means it
steps = Console(stderr=True, highlight=False, emoji=False)

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
