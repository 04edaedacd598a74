"""`misir`: the same functions as behind the routes, called by hand.

Exit codes: 0 done; 1 refused or failed, with one sentence on stderr; 2 wrong usage.
"""

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
from psycopg.conninfo import conninfo_to_dict
from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from misir.capture.pipeline import capture as capture_page
from misir.capture.schemas import Captured, CaptureRequest
from misir.check.command import check_command
from misir.demo import Client
from misir.embed.models import resolve_model
from misir.errors import MisirError, invalid
from misir.plumbing.migrate import migrate as migrate_database
from misir.plumbing.migrate import shipped_migrations
from misir.resources import Resources
from misir.search.find import search as search_library
from misir.search.schemas import Mode, SearchAnswer, SearchRequest
from misir.serve import Plan, attached, configure, load_with_progress, opened, serve, steps
from misir.settings import Settings
from misir.sources import read_source
from misir.spaces import views
from misir.spaces.create import create_space
from misir.spaces.schemas import NewSpace, NewSubspace, Space

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

CODES = "Exit codes: 0 done, 1 refused or failed (one sentence on stderr says why), 2 wrong usage."


def epilog(*examples: str) -> str:
    """The foot of a command's help. A blank line is what keeps typer from joining two lines."""
    return "\n\n".join(["Examples:", *(f"  {escape(example)}" for example in examples), CODES])


app = typer.Typer(
    help="Misir captures what you read, places it by meaning, and finds it again by meaning.",
    epilog=epilog("misir serve --local", 'misir search "waiting for several tasks"'),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
spaces_app = typer.Typer()
app.add_typer(spaces_app, name="spaces")

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


def main() -> None:
    """The entry point: a refusal becomes one sentence and exit code 1."""
    try:
        app()
    except MisirError as error:
        sys.exit(f"misir: {error.detail}")


app.command(
    "check",
    epilog=epilog(
        "misir check",
        "misir check --production --env-file .env.production --url https://api.your-app.com --token $JWT",
    ),
)(check_command)


# ---- serve, migrate, demo ------------------------------------------------------------------------


@app.command(
    "serve",
    epilog=epilog(
        "misir serve --local",
        "misir serve --local --port 8010 --no-demo",
        "misir serve --host 0.0.0.0 --workers 4",
    ),
)
def serve_command(
    local: Annotated[
        bool, typer.Option("--local", help="Just for you, on this machine: no sign-in, no rate limits.")
    ] = False,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that answer.")] = 1,
    data_dir: DataDir = None,
    demo: Annotated[
        bool | None,
        typer.Option(
            "--demo/--no-demo", help="Load the demo library. \\[default: at the first --local start]"
        ),
    ] = None,
) -> None:
    """Run the server, with a database of its own unless DATABASE_URL names one."""
    settings = configure(is_local=local, data_dir=data_dir)
    serve(settings, Plan(host, port, workers, is_local=local, demo=demo))


@app.command(
    "migrate",
    epilog=epilog("misir migrate", "DATABASE_MIGRATE_URL=postgresql://owner@db/misir misir migrate"),
)
def migrate_command(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Bring the database to the schema of this version; safe to repeat."""
    settings = configure(is_local=False, data_dir=data_dir)
    with attached(settings) as attachment, steps.status("Migrating …"):
        own = attachment and attachment.migrate_url
        applied = _migrate(settings, own or settings.DATABASE_MIGRATE_URL)
    n_all = len(shipped_migrations())
    if as_json:
        _print_json({"applied": applied, "count": n_all})
    else:
        out.print(f"The schema is up to date: {n_all} migrations, {len(applied)} of them applied now.")


def _migrate(settings: Settings, url: str | None) -> list[str]:
    """With our own database, attaching has migrated already: this finds nothing left to do."""
    if not url:
        raise MisirError(
            500,
            "no-login",
            "DATABASE_URL is set, but DATABASE_MIGRATE_URL is not: set it to a login that owns the schema.",
        )
    return migrate_database(
        url,
        app_login=_login(settings.DATABASE_URL),
        service_login=_login(settings.DATABASE_SERVICE_URL),
        model=resolve_model(settings),
    )


def _login(url: str | None) -> str | None:
    """The role a URL logs in as. Supabase's pooler is told role.project; the role is what comes first."""
    parts = conninfo_to_dict(url) if url else {}
    user, is_pooler = str(parts.get("user") or ""), "pooler" in str(parts.get("host") or "")
    return (user.partition(".")[0] if is_pooler else user) or None


@app.command("demo", epilog=epilog("misir demo", "misir demo --url http://127.0.0.1:8010"))
def demo_command(
    url: Annotated[str, typer.Option(help="The server to load it into.")] = "http://127.0.0.1:8000",
    token: Annotated[
        str | None, typer.Option(envvar="MISIR_TOKEN", help="Bearer token, where the server wants one.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, hidden=True)] = None,
    as_json: AsJson = False,
) -> None:
    """Load Python's own documentation into a running server; repeating it sends only what is missing."""
    with Client(url, token=token) as client:
        n_new = load_with_progress(client, limit)
    if as_json:
        _print_json({"url": url, "new": n_new})
    else:
        out.print(f"The demo library is there: {n_new} documents were new.")


# ---- capture and search --------------------------------------------------------------------------


@app.command(
    "capture",
    epilog=epilog(
        "misir capture notes.md --space Python",
        "misir capture https://docs.python.org/3/library/csv.html --title csv --space Python",
        'pbpaste | misir capture - --title "Standup" --space "Team" --create',
    ),
)
def capture_command(
    source: Annotated[str, typer.Argument(metavar="FILE|URL|-", help="Text or markdown; a page; or stdin.")],
    *,
    title: Annotated[
        str | None, typer.Option(help="Its title. \\[default: first heading, or file name]")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Its address, where it has one.")] = None,
    content_file: Annotated[
        str | None, typer.Option(metavar="FILE|-", help="The text of the page at URL.")
    ] = None,
    space: InSpace = None,
    create: Annotated[bool, typer.Option("--create", help="Make the space if there is none.")] = False,
    user: User = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Capture one text. Nothing is fetched from the network."""
    page = read_source(source, title=title, url=url, content_file=content_file)

    async def work(res: Resources, me: uuid.UUID) -> tuple[Captured, str]:
        space_id = await _find_space(res, me, space, create=create)
        captured = await capture_page(res, me, _checked(CaptureRequest, space_id=space_id, **page), _now())
        topics = {topic.id: topic.name for topic in await views.list_subspaces(res.database, me, space_id)}
        return captured, topics.get(captured.subspace_id or 0, "no topic yet")

    captured, topic = run(work, user, data_dir)
    if as_json:
        _print_json(captured)
    else:
        _print_table(
            ["artifact", "topic", "fit", ""],
            [[captured.artifact_id, topic, f"{captured.fit:.2f}", captured.message]],
        )


@app.command(
    "search",
    epilog=epilog(
        'misir search "waiting for several tasks"', "misir search DictReader --mode keyword --json"
    ),
)
def search_command(
    words: Annotated[str, typer.Argument(help="What to look for.")],
    *,
    space: InSpace = None,
    mode: Annotated[Mode, typer.Option(help="By meaning, by word, or by both.")] = "hybrid",
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many to show.")] = 10,
    user: User = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Find what you captured, by meaning and by word."""

    async def work(res: Resources, me: uuid.UUID) -> SearchAnswer:
        space_id = None if space is None else await _find_space(res, me, space)
        asked = _checked(SearchRequest, q=words, mode=mode, limit=limit, space_id=space_id)
        return await search_library(res, me, asked)

    answer = run(work, user, data_dir)
    if as_json:
        _print_json(answer)
        return
    if answer.notice:
        steps.print(answer.notice, markup=False)
    rows = [
        [n, hit.title or "", f"{hit.similarity:.2f}", hit.space_name, hit.url]
        for n, hit in enumerate(answer.results, 1)
    ]
    _print_table(["", "title", "similarity", "space", "address"], rows)


# ---- spaces --------------------------------------------------------------------------------------


@spaces_app.callback(
    invoke_without_command=True,
    epilog=epilog("misir spaces", 'misir spaces create Python --topic "Files: paths, csv"'),
)
def spaces_command(
    context: typer.Context, user: User = None, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """List the spaces, or create one."""
    if context.invoked_subcommand:
        return
    spaces = run(_list_spaces, user, data_dir)
    if as_json:
        _print_json([space.model_dump() for space in spaces])
    else:
        _print_spaces(spaces)


@spaces_app.command(
    "create",
    epilog=epilog(
        'misir spaces create Python --topic "Files: paths, csv files" --topic "Network: sockets, http"',
        'misir spaces create Soil --intention "Decide what to plant"',
    ),
)
def create_command(
    name: Annotated[str, typer.Argument(help="The new space's name.")],
    topic: Annotated[
        list[str] | None, typer.Option(help='"Name: marker, marker"; as often as you like.')
    ] = None,
    intention: Annotated[str | None, typer.Option(help="What you want to reach, in words.")] = None,
    user: User = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Declare a space, with topics and the markers that describe them."""
    topics = [read_topic(text) for text in topic or []]
    new = _checked(NewSpace, name=name, intention=intention, subspaces=topics)

    async def work(res: Resources, me: uuid.UUID) -> Space:
        space_id = await create_space(res, me, new, _now())
        return await views.get_space(res.database, me, space_id, _now())

    space = run(work, user, data_dir)
    if as_json:
        _print_json(space)
    else:
        _print_spaces([space])


def read_topic(text: str) -> NewSubspace:
    """`"Name: marker, marker"`; without a colon the name is the marker."""
    name, _, markers = text.partition(":")
    named = [marker.strip() for marker in markers.split(",") if marker.strip()]
    return _checked(NewSubspace, name=name.strip(), markers=named)


async def _list_spaces(res: Resources, me: uuid.UUID) -> list[Space]:
    return (await views.list_spaces(res.database, me, _now())).spaces


async def _find_space(res: Resources, me: uuid.UUID, named: str | None, *, create: bool = False) -> int:
    """The id of the space of that id or name; the only one, where none is named."""
    spaces = await _list_spaces(res, me)
    if named is None and len(spaces) == 1:
        return spaces[0].id
    for space in spaces:
        if named is not None and (named == str(space.id) or named.lower() == space.name.lower()):
            return space.id
    if create and named is not None:
        return await create_space(res, me, _checked(NewSpace, name=named), _now())
    raise MisirError(404, "not-found", _which_space(named, spaces))


def _which_space(named: str | None, spaces: list[Space]) -> str:
    known = ", ".join(f"{space.name} ({space.id})" for space in spaces) or "none yet"
    if named is None:
        return f"Say which space it belongs to with --space NAME or ID (yours: {known})."
    return f"There is no space {named!r} (yours: {known}): pass one of these, or add --create to make it."


def _print_spaces(spaces: list[Space]) -> None:
    rows = [[space.id, space.name, space.subspace_count, space.artifact_count] for space in spaces]
    _print_table(["id", "space", "topics", "artifacts"], rows)


# ---- what the commands share ---------------------------------------------------------------------


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


def _checked(model: type[M], **fields: Any) -> M:
    """The request a route would have got; what pydantic refuses becomes a sentence."""
    try:
        return model(**fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        raise invalid(f"{where}: {reason}" if where else reason) from None


def _now() -> datetime:
    return datetime.now(UTC)


def _print_json(value: Any) -> None:
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    sys.stdout.write(orjson.dumps(plain, option=orjson.OPT_INDENT_2).decode() + "\n")


def _print_table(columns: list[str], rows: list[list[Any]]) -> None:
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    out.print(table if rows else "Nothing yet.")
