"""What a person does to a topic: rename, pin, merge, split, retire. Most of it can be taken back."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from misir.deps import Now, Res
from misir.errors import invalid
from misir.fields import PathId
from misir.spaces import reshape
from misir.spaces.declare import declare_topic, patch_topic
from misir.spaces.schemas import Reshaped
from misir.spaces.topic_schemas import NewTopic, TopicPatch
from misir.web.app.attention import acted
from misir.web.app.forms import Form, read_form
from misir.web.app.session import Visitor
from misir.web.app.shell import PageRoute, go

router = APIRouter(prefix="/app", include_in_schema=False, route_class=PageRoute)


@router.post("/spaces/{space_id}/topics")
async def post_topic(request: Request, me: Visitor, res: Res, now: Now, space_id: PathId) -> Response:
    """Declare a topic, with phrases that describe it."""
    form = await read_form(request)
    new = {"name": form.get("name"), "markers": lines_of(form.get("markers"))}
    try:
        topic = NewTopic.model_validate(new)
    except ValidationError:
        raise invalid("A topic needs a name of 200 characters at most, and at most 50 phrases.") from None
    topic_id = await declare_topic(res, me, space_id, topic, now)
    return go(request, f"/app/topics/{topic_id}", "The topic is there. What you capture can be placed in it.")


def lines_of(text: str | None) -> list[str]:
    r"""One entry a line; blank lines are none.

    >>> lines_of(" soil life\n\nrotation "), lines_of(None)
    (['soil life', 'rotation'], [])
    """
    return [line.strip() for line in (text or "").splitlines() if line.strip()]


@router.post("/topics/{topic_id}/edit")
async def post_edit(request: Request, me: Visitor, res: Res, now: Now, topic_id: PathId) -> Response:
    form = await read_form(request)
    await patch_topic(res, me, topic_id, _patch(form), now)
    return go(request, form.get("next"), "Saved.")


def _patch(form: Form) -> TopicPatch:
    sent: dict[str, Any] = {"name": form.get("name")} if form.get("name") else {}
    if form.get("pinned"):
        sent["pinned"] = form.get("pinned") == "yes"
    try:
        return TopicPatch.model_validate(sent)
    except ValidationError:
        raise invalid("A topic needs a name of 200 characters at most.") from None


@router.post("/topics/{topic_id}/merge")
async def post_merge(request: Request, me: Visitor, res: Res, now: Now, topic_id: PathId) -> Response:
    form = await read_form(request)
    into = form.id("into")
    if into is None:
        raise invalid("Choose the topic that this one should go into.")
    done = await reshape.merge_topics(res, me, topic_id, into, now)
    await acted(res, me, form, now)
    return _told(request, done)


@router.post("/topics/{topic_id}/split")
async def post_split(request: Request, me: Visitor, res: Res, now: Now, topic_id: PathId) -> Response:
    form = await read_form(request)
    done = await reshape.split_topic(res, me, topic_id, now)
    await acted(res, me, form, now)
    return _told(request, done)


@router.post("/topics/{topic_id}/retire")
async def post_retire(request: Request, me: Visitor, res: Res, now: Now, topic_id: PathId) -> Response:
    form = await read_form(request)
    done = await reshape.retire_topic(res, me, topic_id, now)
    await acted(res, me, form, now)
    return _told(request, done)


def _told(request: Request, done: Reshaped) -> Response:
    undo = f"/app/corrections/{done.correction_id}/undo"
    return go(request, f"/app/topics/{done.subspace_id}", done.message, undo=undo, changes=done.topics)
