"""The first space, from an intention; and an item put in by hand."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from misir.capture.pipeline import capture
from misir.capture.schemas import Captured, CaptureRequest
from misir.deps import Now, Res
from misir.errors import invalid
from misir.fields import PathId
from misir.orient.reading import ContentSource
from misir.spaces.create import create_space
from misir.spaces.schemas import NewSpace
from misir.spaces.views import get_space
from misir.web.app.forms import Form, read_form
from misir.web.app.session import Visitor
from misir.web.app.shell import PageRoute, go, show
from misir.web.app.topics import lines_of

router = APIRouter(prefix="/app", include_in_schema=False, route_class=PageRoute)


@router.get("/start")
async def get_start(request: Request, me: Visitor) -> Response:
    """Onboarding, and every further space."""
    return await show(request, me, "app/start.html", {}, page="start")


@router.post("/start")
async def post_start(request: Request, me: Visitor, res: Res, now: Now) -> Response:
    """One space with its topics, if any were named; a topic's phrases stand behind a colon."""
    form = await read_form(request)
    space = await create_space(res, me, _space(form), now)
    return go(request, f"/app/spaces/{space.id}", "Your space is there. Now put something in it.")


def _space(form: Form) -> NewSpace:
    topics = [read_topic(line) for line in lines_of(form.get("topics"))]
    try:
        return NewSpace.model_validate(
            {"name": form.get("name"), "intention": form.get("intention"), "subspaces": topics}
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise invalid(
            f"The space cannot be made: {first['loc'][0] if first['loc'] else ''} {first['msg']}."
        ) from None


def read_topic(line: str) -> dict[str, object]:
    """`name: phrase, phrase` or just a name.

    >>> read_topic("Soil: soil life, compost"), read_topic("Tools")
    ({'name': 'Soil', 'markers': ['soil life', 'compost']}, {'name': 'Tools', 'markers': []})
    """
    name, _, phrases = line.partition(":")
    return {"name": name, "markers": [one.strip() for one in phrases.split(",") if one.strip()]}


@router.get("/spaces/{space_id}/add")
async def get_add(request: Request, me: Visitor, res: Res, now: Now, space_id: PathId) -> Response:
    """A page or a note, typed or pasted."""
    values = {"space": await get_space(res.database, me, space_id, now), "tab": "add"}
    return await show(request, me, "app/add.html", values, page="space", space_id=space_id)


@router.post("/spaces/{space_id}/add")
async def post_add(request: Request, me: Visitor, res: Res, now: Now, space_id: PathId) -> Response:
    form = await read_form(request)
    captured = await capture(res, me, _capture(form, space_id, now.isoformat()), now)
    said = _say(captured)
    return go(request, f"/app/items/{captured.artifact_id}", said)


def _say(captured: Captured) -> str:
    if captured.pending:
        return "Kept. It finds its topic when the embedding model is back."
    if not captured.is_new:
        return "You had this one already; the visit was added."
    return f"Captured. {'It found its topic.' if captured.subspace_id else 'It fits no topic yet.'}"


def _capture(form: Form, space_id: int, stamp: str) -> CaptureRequest:
    title, url = form.get("title"), form.get("url")
    sent = {
        "space_id": space_id,
        "url": url or f"note:{title or stamp}",
        "title": title,
        "content": form.get("content"),
        "content_source": ContentSource.WEB if url else ContentSource.NOTE,
    }
    try:
        return CaptureRequest.model_validate(sent)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise invalid(f"{first['loc'][0] if first['loc'] else 'The form'}: {first['msg']}.") from None
