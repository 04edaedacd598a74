"""`misir capture`: one text, file or page, as POST /artifacts/ingest does it."""

from __future__ import annotations

import uuid
from typing import Annotated, Final

import typer

from misir.capture.schemas import Captured
from misir.ingest.source import ingest_source
from misir.locally import find_space, run
from misir.resources import Resources
from misir.shell import AsJson, DataDir, InSpace, User, now, print_json, print_table
from misir.sources import read_source
from misir.spaces import views

EXAMPLES: Final = (
    "misir capture notes.md --space Python",
    "misir capture https://docs.python.org/3/library/csv.html --space Python",
    "misir capture paper.pdf --space Soil",
    'pbpaste | misir capture - --title "Standup" --space "Team" --create',
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
