"""Who is asking. Identity comes from the bearer token only; MOCK_AUTH=True makes everyone the local user."""

from __future__ import annotations

import re
import uuid
from typing import Protocol

from misir.errors import forbidden, unauthorized, unavailable

_BEARER = re.compile(r"(?i:bearer) +([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){2})")


class Verifier(Protocol):
    """Turns the Authorization header into a user, or raises 401 (refused) or 503 (cannot tell)."""

    async def verify(self, authorization: str | None) -> uuid.UUID: ...


class LocalUser:
    """MOCK_AUTH=True: one user, whatever the request says."""

    def __init__(self, user_id: uuid.UUID) -> None:
        self.user_id = user_id

    async def verify(self, authorization: str | None) -> uuid.UUID:  # noqa: ARG002 - ignored on purpose
        return self.user_id


class NoProvider:
    """MOCK_AUTH=False and nobody to ask: nothing is 401, a well-formed token is 503."""

    async def verify(self, authorization: str | None) -> uuid.UUID:
        if authorization is None or not _BEARER.fullmatch(authorization):
            raise unauthorized()
        raise unavailable("There is no identity provider configured: set SUPABASE_URL.", retry_after_s=60)


def check_same_user(me: uuid.UUID, claimed: str | None) -> None:
    """Clients may repeat who they are; they may not be somebody else. Empty is absent, case is ignored."""
    if claimed and claimed.strip().lower() != str(me):
        raise forbidden("user_id differs from the user of the token: leave it out, or sign in as that user.")
