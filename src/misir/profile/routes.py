"""/api-keys and /account: what a signed-in user or a key of the scope admin may do."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from misir.deps import Me, Res, problems, require_same_user
from misir.fields import PathId
from misir.gate import KeyRoute, gated_router
from misir.library.schemas import Message
from misir.profile import keys, profile
from misir.profile.keys import CreatedKey, KeyList, NewKey
from misir.profile.schemas import AccountDeleted

router = gated_router(tag="account", route_class=KeyRoute)


@router.get("/api-keys", responses=problems())
async def list_keys(me: Me, res: Res) -> KeyList:
    """All keys, revoked ones too, by prefix; never the keys themselves."""
    return await keys.list_keys(res.database, me)


@router.post("/api-keys", status_code=201, responses=problems(413))
async def post_key(me: Me, res: Res, body: NewKey) -> CreatedKey:
    """Make a key. It is shown in this answer and never again."""
    require_same_user(res, me, body.user_id)
    return await keys.create_key(res.database, me, body)


@router.delete("/api-keys/{key_id}", responses=problems(404))
async def delete_key(me: Me, res: Res, key_id: PathId) -> Message:
    """Revoke a key, at once and for good."""
    await keys.revoke_key(res.database, me, key_id)
    return Message(message="Revoked. Whoever uses the key is refused from now on.")


@router.delete("/account", responses=problems())
async def delete_account(
    me: Me,
    res: Res,
    confirm: Annotated[str, Query(max_length=64, description="Your user id, as GET /profile says it.")],
) -> AccountDeleted:
    """Everything of yours, for good and at once. The answer says what deleting here does not reach."""
    return await profile.delete_account(res, me, confirm)
