"""Who may act on other people's data, and the trace that leaves."""

from __future__ import annotations

import hmac
import uuid
from dataclasses import dataclass

from fastapi import Request

from misir.deps import resources_of
from misir.errors import forbidden
from misir.gate import API
from misir.plumbing.auth import bearer_of
from misir.plumbing.sqlfile import load_statements
from misir.plumbing.token import RefusedError
from misir.profile.keys import is_api_key
from misir.resources import Resources

SQL = load_statements("misir.admin", "admin.sql")

MAX_TARGET = 100


@dataclass(frozen=True, slots=True)
class Admin:
    """An administrator: a user's id, or `service` for the bearer of the service key."""

    actor: str


async def current_admin(request: Request) -> Admin:
    """The exact service key, asked first, or a user whose app_metadata says admin; 403 for everybody else.

    The call is in the audit before it does anything; without its entry there is no call.
    """
    res = resources_of(request)
    admin = Admin("service") if _has_service_key(res, request) else await _admin_user(res, request)
    request.state.user_id = admin.actor
    await _audit(res, request, admin)
    return admin


def _has_service_key(res: Resources, request: Request) -> bool:
    key = res.settings.SUPABASE_SERVICE_KEY
    if not key:
        return False
    try:
        return hmac.compare_digest(bearer_of(request).encode(), key.encode())
    except RefusedError:
        return False


async def _admin_user(res: Resources, request: Request) -> Admin:
    refusal = forbidden("Only administrators may do this: users with the role admin, or the service key.")
    if is_api_key(request):
        raise refusal
    principal = await res.verifier.verify(request)
    request.state.user_id = principal.user_id
    if not principal.is_admin:
        raise refusal
    return Admin(str(principal.user_id))


async def _audit(res: Resources, request: Request, admin: Admin) -> None:
    path = request.path_params
    async with res.database.as_service() as tx:
        await tx.ask(
            SQL.insert_audit,
            actor=admin.actor,
            action=f"{request.method} {request.scope['route'].path.removeprefix(API)}",
            target_user_id=_as_uuid(path.get("user_id")),
            target=str(path.get("artifact_id", path.get("job_id", ""))).replace("\x00", "")[:MAX_TARGET]
            or None,
            request_id=request.state.request_id,
        )


def _as_uuid(text: str | None) -> uuid.UUID | None:
    """The audit comes before the path is validated: what is no user is nobody."""
    try:
        return None if text is None else uuid.UUID(text)
    except ValueError:
        return None
