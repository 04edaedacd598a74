"""A hundred real documents, taken in in five ways: `python benchmarks/documents.py [--full] [--json]`

One batch; a hundred captures, one after another and sixteen at a time; and the founding document's loop, which takes one page after
another whatever it is sent, in its two modes. All over HTTP, the servers of serving.py, taking turns with the same documents (the
documentation every Python carries, about a hundred words each). Each way has a number of its own before each text, so that nobody has
seen it before, and each of our hundreds goes into a space of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import numpy as np
from ground import Row, interleaved, plain_row, postgres, ratio_row, run
from serving import Side, sides

from misir.demo import read_documents

N_DOCUMENTS = 100
WARM_UP = 1_000
"""The round that is not measured."""

AT_ONCE = 16

Page = dict[str, Any]


class Hundreds:
    """The same hundred for everybody in a round, and never the same text twice."""

    def __init__(self) -> None:
        self._documents = read_documents()
        self._number = itertools.count()

    def pages(self, round_number: int) -> list[Page]:
        chance = np.random.default_rng(round_number)
        picked = chance.choice(len(self._documents), N_DOCUMENTS, replace=False)
        return [self._page(self._documents[one]) for one in picked]

    def _page(self, document: dict[str, str]) -> Page:
        number = next(self._number)
        url = f"https://documents.example/{number}"
        return {"url": url, "title": document["title"], "content": f"{number}. {document['content']}"}


async def _new_space(ours: Side) -> int:
    answer = await ours.client.post("/api/v1/spaces", json={"name": "A hundred documents"})
    return int(answer.raise_for_status().json()["id"])


async def _into_new_space(ours: Side, pages: list[Page]) -> list[Page]:
    space_id = await _new_space(ours)
    return [{**page, "space_id": space_id, "engagement_level": "engaged"} for page in pages]


async def singly(side: Side, pages: list[Page]) -> None:
    for page in pages:
        (await side.client.post("/api/v1/capture", json=page)).raise_for_status()


async def at_once(side: Side, pages: list[Page]) -> None:
    waiting: Iterator[Page] = iter(pages)

    async def client() -> None:
        for page in waiting:  # each takes the next that nobody has taken
            (await side.client.post("/api/v1/capture", json=page)).raise_for_status()

    await asyncio.gather(*(client() for _ in range(AT_ONCE)))


Way = Callable[[Side, list[Page]], Awaitable[None]]


async def measure(*, is_full: bool = False, is_huge: bool = False) -> list[Row]:  # noqa: ARG001 - one size
    """Milliseconds a document, and how many times as long as one batch each way takes."""
    rounds, hundreds = (5 if is_full else 3), Hundreds()
    with postgres() as url, sides(url) as them:
        ours, shared, request = them

        def go(side: Side, way: Way) -> Callable[[int], Awaitable[None]]:
            async def work(number: int) -> None:
                pages = hundreds.pages(number)
                await way(side, await _into_new_space(side, pages) if side.is_ours else pages)

            return work

        ways = {
            "one batch": go(ours, Side.send),
            "one after another": go(ours, singly),
            f"{AT_ONCE} at a time": go(ours, at_once),
            "the document's loop, one shared client": go(shared, Side.send),
            "the document's loop, a client each statement": go(request, Side.send),
        }
        for side in them:
            await go(side, Side.send)(WARM_UP)
        found = await interleaved(rounds, **ways)
        for side in them:
            await side.client.aclose()
    what = f"{N_DOCUMENTS} real documents"
    rows = [
        plain_row(f"{what}, {name}", statistics.median(seconds) / N_DOCUMENTS * 1e3, "ms a document")
        for name, seconds in found.items()
    ]
    first, *others = ways
    return rows + [
        ratio_row(f"{what}: {name} over {first}", found[name], found[first], None) for name in others
    ]


if __name__ == "__main__":
    run(measure, "documents", (__doc__ or "").partition("\n")[0])
