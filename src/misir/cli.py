"""`misir`: the same functions as behind the routes, called by hand.

Exit codes: 0 done; 1 refused or failed, with one sentence on stderr; 2 wrong usage.
"""

from __future__ import annotations

import sys
import uuid
from typing import Annotated

import typer
from psycopg.conninfo import conninfo_to_dict

from misir import calibrate
from misir.capture.schemas import Captured
from misir.check.command import check_command
from misir.demo import Client
from misir.embed.models import resolve_model
from misir.errors import MisirError
from misir.exports import command as exports
from misir.imports import command as imports
from misir.ingest.source import ingest_source
from misir.jobs import command as worker
from misir.plumbing.migrate import migrate as migrate_database
from misir.plumbing.migrate import shipped_migrations
from misir.quality.report import bench_app
from misir.reembed import command as reembed
from misir.resources import Resources
from misir.search.find import search as search_library
from misir.search.schemas import Mode, SearchAnswer, SearchRequest
from misir.serve import Plan, attached, configure, load_with_progress, serve, steps
from misir.settings import Settings
from misir.shell import (
    AsJson,
    DataDir,
    InSpace,
    User,
    checked,
    epilog,
    find_space,
    list_spaces,
    now,
    out,
    print_json,
    print_table,
    run,
)
from misir.sources import read_source
from misir.spaces import replay_command as replay
from misir.spaces import views
from misir.spaces.create import create_space
from misir.spaces.schemas import NewSpace, NewSubspace, Space

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
app.add_typer(bench_app, name="bench")


def main() -> None:
    """The entry point: a refusal becomes one sentence and exit code 1."""
    try:
        app()
    except MisirError as error:
        sys.exit(f"misir: {error.detail}")


app.command("import", epilog=epilog(*imports.EXAMPLES))(imports.import_command)
app.command("export", epilog=epilog(*exports.EXAMPLES))(exports.export_command)
app.command("calibrate", epilog=epilog(*calibrate.EXAMPLES))(calibrate.calibrate_command)
app.command("replay", epilog=epilog(*replay.EXAMPLES))(replay.replay_command)
app.command("reembed", epilog=epilog(*reembed.EXAMPLES))(reembed.reembed_command)
app.command("worker", epilog=epilog(*worker.EXAMPLES))(worker.worker_command)
app.command(
    "check",
    epilog=epilog(
        "misir check", "misir check --production --env-file .env.production --url $URL --token $JWT"
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
        print_json({"applied": applied, "count": n_all})
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
        print_json({"url": url, "new": n_new})
    else:
        out.print(f"The demo library is there: {n_new} documents were new.")


# ---- capture and search --------------------------------------------------------------------------


@app.command(
    "capture",
    epilog=epilog(
        "misir capture notes.md --space Python",
        "misir capture https://docs.python.org/3/library/csv.html --space Python",
        "misir capture paper.pdf --space Soil",
        'pbpaste | misir capture - --title "Standup" --space "Team" --create',
    ),
)
def capture_command(
    source: Annotated[str, typer.Argument(metavar="FILE|URL|-", help="Text, PDF or HTML; a page; stdin.")],
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
    """Capture one text, file or page. A page is fetched unless --title or --content-file is there."""
    page = read_source(source, title=title, url=url, content_file=content_file)

    async def work(res: Resources, me: uuid.UUID) -> tuple[Captured, str]:
        space_id = await find_space(res, me, space, create=create)
        captured = await ingest_source(res, me, {"space_id": space_id, **page}, now())
        topics = {topic.id: topic.name for topic in await views.list_subspaces(res.database, me, space_id)}
        return captured, topics.get(captured.subspace_id or 0, "no topic yet")

    captured, topic = run(work, user, data_dir)
    if as_json:
        print_json(captured)
    else:
        print_table(
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
        space_id = None if space is None else await find_space(res, me, space)
        asked = checked(SearchRequest, q=words, mode=mode, limit=limit, space_id=space_id)
        return await search_library(res, me, asked)

    answer = run(work, user, data_dir)
    if as_json:
        print_json(answer)
        return
    if answer.notice:
        steps.print(answer.notice, markup=False)
    rows = [
        [n, hit.title or "", f"{hit.similarity:.2f}", hit.space_name, hit.url]
        for n, hit in enumerate(answer.results, 1)
    ]
    print_table(["", "title", "similarity", "space", "address"], rows)


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
    spaces = run(list_spaces, user, data_dir)
    if as_json:
        print_json([space.model_dump() for space in spaces])
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
    new = checked(NewSpace, name=name, intention=intention, subspaces=topics)

    async def work(res: Resources, me: uuid.UUID) -> Space:
        space_id = (await create_space(res, me, new, now())).id
        return await views.get_space(res.database, me, space_id, now())

    space = run(work, user, data_dir)
    if as_json:
        print_json(space)
    else:
        _print_spaces([space])


def read_topic(text: str) -> NewSubspace:
    """`"Name: marker, marker"`; without a colon the name is the marker."""
    name, _, markers = text.partition(":")
    named = [marker.strip() for marker in markers.split(",") if marker.strip()]
    return checked(NewSubspace, name=name.strip(), markers=named)


def _print_spaces(spaces: list[Space]) -> None:
    rows = [[space.id, space.name, space.subspace_count, space.artifact_count] for space in spaces]
    print_table(["id", "space", "topics", "artifacts"], rows)
