"""`misir spaces`: the spaces, and a new one."""

from __future__ import annotations

import uuid
from typing import Annotated

import typer

from misir.locally import list_spaces, run
from misir.resources import Resources
from misir.shell import AsJson, DataDir, User, checked, epilog, now, print_json, print_table
from misir.spaces import views
from misir.spaces.create import create_space
from misir.spaces.schemas import NewSpace, NewSubspace, Space

spaces_app = typer.Typer(add_completion=False)


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
