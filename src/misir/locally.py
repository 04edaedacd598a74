"""Work of the commands on a library, in this process, as a route would do it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from misir.errors import MisirError
from misir.resources import Resources, opened
from misir.serve import attached, configure
from misir.shell import checked, now
from misir.spaces import views
from misir.spaces.create import create_space
from misir.spaces.schemas import NewSpace, Space

T = TypeVar("T")


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
