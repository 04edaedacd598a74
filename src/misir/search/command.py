"""`misir search`: what a library has, by meaning and by word."""

from __future__ import annotations

import uuid
from typing import Annotated, Final

import typer

from misir.locally import find_space, run
from misir.resources import Resources
from misir.search.find import search as search_library
from misir.search.schemas import Mode, SearchAnswer, SearchRequest
from misir.shell import AsJson, DataDir, InSpace, User, checked, print_json, print_table, steps

EXAMPLES: Final = (
    'misir search "waiting for several tasks"',
    "misir search DictReader --mode keyword --json",
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
