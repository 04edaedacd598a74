"""The command: every row, one after the other, and an exit code a deployment can stop at."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer
from dotenv import dotenv_values
from rich.table import Table

from misir.check.configured import check_environment, check_settings
from misir.check.probed import (
    check_burst,
    check_database,
    check_model,
    check_redis,
    check_suite,
    check_tokens,
)
from misir.check.row import Row
from misir.settings import Settings, load_settings
from misir.shell import AsJson, out

EXAMPLES: Final = (
    "misir check",
    "misir check --production --env-file .env.production --url $URL --token $JWT",
)

MARKS = {True: "[green]✔[/]", False: "[red]✘[/]", None: "[yellow]?[/]"}


def check_command(
    production: Annotated[
        bool,
        typer.Option(
            "--production", help="Every row of the pre-deployment checklist; what is unknown fails."
        ),
    ] = False,
    env_file: Annotated[
        Path | None, typer.Option("--env-file", help="Compare the process's environment with this file.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option("--token", envvar="MISIR_CHECK_TOKEN", help="A real user's JWT for the round trip."),
    ] = None,
    url: Annotated[
        str | None, typer.Option("--url", help="A running server, to see its limits hold.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check this deployment: what was found, row by row, and how to mend it. Exit code 1 when a row fails."""
    settings = load_settings()
    rows = asyncio.run(collect(settings, production=production, env_file=env_file, token=token, url=url))
    is_good = all(row.is_ok or (row.is_ok is None and not production) for row in rows)
    if as_json:
        document = {"ok": is_good, "rows": [row.model_dump() for row in rows]}
        typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    else:
        out.print(_table(rows))
    if not is_good:
        raise typer.Exit(1)


async def collect(
    settings: Settings, *, production: bool, env_file: Path | None, token: str | None, url: str | None
) -> list[Row]:
    """The rows of a development check, or all of them."""
    rows = [*await check_database(settings), await check_model(settings)]
    if settings.RATE_LIMIT_STORAGE == "redis" or production:
        rows.append(await check_redis(settings))
    if not production:
        return rows
    if env_file is not None:
        rows.append(check_environment(dotenv_values(env_file), os.environ))
    tokens = await check_tokens(settings, token)
    return [
        *check_settings(settings),
        *rows,
        *tokens,
        await check_burst(settings, url),
        check_suite(Path.cwd()),
    ]


def _table(rows: list[Row]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("", "check", "found", "to mend it"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(MARKS[row.is_ok], row.name, row.found, row.mend if not row.is_ok else "")
    return table
