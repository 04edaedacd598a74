"""Settings: who you are here, and keys for scripts and the extension."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from misir.deps import Res
from misir.errors import invalid
from misir.fields import PathId
from misir.profile.keys import CreatedKey, NewKey, create_key, list_keys, revoke_key
from misir.profile.profile import get_profile, patch_metadata
from misir.profile.schemas import MetadataPatch, time_zones
from misir.web.app.forms import Form, read_form
from misir.web.app.session import Visitor
from misir.web.app.shell import PageRoute, go, show

router = APIRouter(prefix="/app", include_in_schema=False, route_class=PageRoute)


@router.get("/settings")
async def get_settings(request: Request, me: Visitor, res: Res) -> Response:
    return await _show(request, me, res, None)


@router.post("/settings/keys")
async def post_key(request: Request, me: Visitor, res: Res) -> Response:
    """A new key, which is on this one answer and nowhere else."""
    new = _new_key(await read_form(request))
    created = await create_key(res.database, me, new)
    response = await _show(request, me, res, created)
    response.headers["Cache-Control"] = "no-store"
    return response


def _new_key(form: Form) -> NewKey:
    scopes = {"read": ["read"], "write": ["read", "write"]}.get(form.get("scope") or "", ["read"])
    try:
        return NewKey.model_validate({"name": form.get("name"), "scopes": scopes})
    except ValidationError:
        raise invalid("A key needs a name of 200 characters at most.") from None


@router.post("/settings/keys/{key_id}/revoke")
async def post_revoke(request: Request, me: Visitor, res: Res, key_id: PathId) -> Response:
    await read_form(request)
    await revoke_key(res.database, me, key_id)
    return go(request, "/app/settings#keys", "Revoked. Whoever uses the key is refused from now on.")


@router.post("/settings/profile")
async def post_profile(request: Request, me: Visitor, res: Res) -> Response:
    form = await read_form(request)
    sent = {"display_name": form.get("display_name"), "timezone": form.get("timezone")}
    try:
        patch = MetadataPatch.model_validate(sent)
    except ValidationError:
        raise invalid("The time zone is written as in Europe/Sarajevo; choose one from the list.") from None
    await patch_metadata(res, me, patch)
    return go(request, "/app/settings", "Saved.")


async def _show(request: Request, me: Visitor, res: Res, created: CreatedKey | None) -> Response:
    values: dict[str, Any] = {
        "profile": await get_profile(res, me),
        "zones": sorted(time_zones()),
        "keys": [key for key in (await list_keys(res.database, me)).keys if key.revoked_at is None],
        "created": created,
        "tab": "you",
    }
    return await show(request, me, "app/settings.html", values, page="settings")
