"""What the first page shows: how Misir is, what it holds, and what a question finds. One story, no HTML."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from urllib.parse import urlencode

import psycopg
from fastapi import Response
from pydantic import ValidationError
from starlette.requests import HTTPConnection

from misir.embed.calibration import Calibration
from misir.errors import MisirError, invalid, unavailable
from misir.plumbing.http import as_problem
from misir.resources import Resources
from misir.search.find import search
from misir.search.schemas import MAX_QUERY, SearchAnswer, SearchHit, SearchRequest
from misir.spaces.schemas import Space
from misir.spaces.views import list_spaces
from misir.web.system import Readiness, get_ready

T = TypeVar("T")


@dataclass(frozen=True)
class Library:
    """A user's spaces, archived ones at the end, and how many artifacts they hold."""

    spaces: list[Space]

    @property
    def n_artifacts(self) -> int:
        return self.n_artifacts_in(None)

    def n_artifacts_in(self, space_id: int | None) -> int:
        return sum(space.artifact_count for space in self.spaces if space_id in {None, space.id})


@dataclass(frozen=True)
class Question:
    """What was typed, and what came of it: an answer, or the reason why there is none."""

    q: str
    space_id: int | None
    answer: SearchAnswer | None
    problem: MisirError | None
    more: str | None


@dataclass(frozen=True)
class Home:
    """`library` and `question` stay None where nobody is signed in: the page then holds nobody's data."""

    readiness: Readiness
    is_personal: bool
    library: Library | None = None
    question: Question | None = None

    @property
    def status(self) -> int:
        problem = self.question.problem if self.question else None
        return problem.status if problem else 200


async def read_home(res: Resources, request: HTTPConnection, now: datetime) -> Home:
    """Health first, since the rest depends on it; never raises for what is down.

    get_ready → list_spaces → search        the same functions as the API's routes
    """
    readiness = await get_ready(res, Response())
    if not res.settings.MOCK_AUTH:
        return Home(readiness, is_personal=False)
    local = await _attempt(res.verifier.verify(request))
    if isinstance(local, MisirError):  # somebody from another machine
        return Home(readiness, is_personal=False)
    me, query = local.user_id, request.query_params
    q = query.get("q", "").strip()
    if readiness.database.status != "ok":
        down = unavailable(readiness.database.detail or "The database does not answer.")
        return Home(readiness, True, question=Question(q, None, None, down, None) if q else None)
    library = await _attempt(read_library(res, me, now))
    return Home(
        readiness,
        is_personal=True,
        library=None if isinstance(library, MisirError) else library,
        question=await ask(res, me, query) if q else None,
    )


async def read_library(res: Resources, me: uuid.UUID, now: datetime) -> Library:
    active = await list_spaces(res.database, me, now)
    archived = await list_spaces(res.database, me, now, archived=True)
    return Library([*active.spaces, *archived.spaces])


async def ask(res: Resources, me: uuid.UUID, query: Mapping[str, str]) -> Question:
    q = query["q"].strip()
    try:
        request = parse_question(query)
    except MisirError as wrong:
        return Question(q[:MAX_QUERY], None, None, wrong, None)
    found = await _attempt(search(res, me, request))
    if isinstance(found, MisirError):
        return Question(q, request.space_id, None, found, None)
    return Question(q, request.space_id, found, None, _more(request, found))


def parse_question(query: Mapping[str, str]) -> SearchRequest:
    """A form's fields as a search; what is left empty is not asked for. Raises MisirError 422."""
    space = query.get("space_id", "").strip()
    if space and not (space.isascii() and space.isdigit()):
        raise invalid("The space is a number: choose it from the list.")
    try:
        return SearchRequest.model_validate(
            {
                "q": query["q"],
                "space_id": int(space[:20]) if space else None,
                "cursor": query.get("cursor") or None,
            }
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise invalid(f"The field {first['loc'][0]} is wrong: {first['msg']}.") from None


def _more(request: SearchRequest, answer: SearchAnswer) -> str | None:
    """The address of the next results, so that they can be had without a script."""
    if answer.next_cursor is None:
        return None
    fields = {"q": request.q, "space_id": request.space_id, "cursor": answer.next_cursor}
    return "/?" + urlencode({name: value for name, value in fields.items() if value is not None})


async def _attempt(work: Awaitable[T]) -> T | MisirError:
    """The result, or the refusal as a value: a page shows both."""
    try:
        return await work
    except MisirError as refusal:
        return refusal
    except psycopg.OperationalError as lost:
        return as_problem(lost)


def explain_match(hit: SearchHit, calibration: Calibration) -> str:
    """Why a hit is there, in words: by meaning as the model's own scale grades it, by word, or both."""
    nearness = grade(hit.similarity, calibration)
    if nearness is None:
        return "It contains your words"
    return (
        f"{nearness} in meaning, and it contains your words" if hit.highlights else f"{nearness} in meaning"
    )


def grade(similarity: float, calibration: Calibration) -> str | None:
    """A cosine on its model's scale: τ is "as near as a topic's own"; below the search threshold, nothing.

    >>> scale = Calibration(0.07, 0.09, 0.60, 0.30, 0.45, 20.0, 0.02, 0.20)
    >>> [grade(one, scale) for one in (0.65, 0.5, 0.25, 0.1)]
    ['Very close', 'Close', 'Related', None]
    """
    least, own = calibration.search_threshold, calibration.tau
    if similarity >= own:
        return "Very close"
    if similarity >= (least + own) / 2:
        return "Close"
    return "Related" if similarity >= least else None
