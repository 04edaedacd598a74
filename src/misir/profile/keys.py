"""Personal API keys: for scripts and servers that act as their owner, as far as their scopes go."""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid
from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, Field
from starlette.requests import HTTPConnection

from misir.errors import not_found
from misir.fields import Name
from misir.plumbing.auth import Principal, bearer_of, refuse, sent_credentials
from misir.plumbing.db import Database
from misir.plumbing.sqlfile import load_statements
from misir.plumbing.token import RefusedError

SQL = load_statements("misir.profile", "keys.sql")

Scope = Literal["read", "write", "admin"]

PREFIX: Final = "misir_"
_KEY = re.compile(PREFIX + r"[a-z0-9]{8}_[A-Za-z0-9_-]{43}")


class NewKey(BaseModel):
    """A key can do what its scopes say: read looks, write captures and corrects, admin manages keys."""

    name: Name = Field(examples=["laptop import script"])
    scopes: list[Scope] = Field(["read"], min_length=1, max_length=3)
    user_id: str | None = Field(None, max_length=64, description="Accepted; must be the token's user.")


class ApiKey(BaseModel):
    id: int
    name: str
    prefix: str
    scopes: list[Scope]
    last_used_at: datetime | None
    revoked_at: datetime | None
    created_at: datetime


class CreatedKey(ApiKey):
    key: str = Field(description="The whole key. Shown this once; only its hash is kept.")


class KeyList(BaseModel):
    keys: list[ApiKey]
    count: int


def hash_key(key: str) -> bytes:
    """SHA-256. A key has 256 random bits: nothing to guess, so nothing to slow down."""
    return hashlib.sha256(key.encode()).digest()


def is_api_key(request: HTTPConnection) -> bool:
    """Does the Authorization header claim to carry one of our keys?"""
    sent = b"".join(sent_credentials(request)[:1])
    return sent[:7].lower() == b"bearer " and sent[7:].lstrip().startswith(PREFIX.encode())


async def verify_key(database: Database, request: HTTPConnection, now: datetime) -> Principal:
    """The key's owner with the key's scopes; the same 401 as for every other refusal."""
    try:
        row = await _find(database, bearer_of(request))
    except RefusedError as reason:
        raise refuse(reason) from None
    async with database.as_user(row["user_id"]) as tx:
        await tx.ask(SQL.touch_api_key, key_id=row["id"], now=now)
    return Principal(row["user_id"], frozenset(row["scopes"]))


async def _find(database: Database, key: str) -> dict[str, Any]:
    if not _KEY.fullmatch(key):
        raise RefusedError("API key: shape")
    async with database.as_nobody() as tx:
        row = await (await tx.ask(SQL.find_api_key, key_hash=hash_key(key))).fetchone()
    if row is None:
        raise RefusedError("API key: unknown or revoked")
    return row


async def create_key(database: Database, user_id: uuid.UUID, new: NewKey) -> CreatedKey:
    """A new key; this answer is the only place where it is ever whole."""
    prefix = f"{PREFIX}{secrets.token_hex(4)}"
    key = f"{prefix}_{secrets.token_urlsafe(32)}"
    scopes = sorted(set(new.scopes))
    async with database.as_user(user_id) as tx:
        rows = await tx.ask(
            SQL.insert_api_key, name=new.name, prefix=prefix, key_hash=hash_key(key), scopes=scopes
        )
        row = await rows.fetchone()
    return CreatedKey(**(row or {}), key=key)


async def list_keys(database: Database, user_id: uuid.UUID) -> KeyList:
    async with database.as_user(user_id) as tx:
        rows = await (await tx.ask(SQL.list_api_keys)).fetchall()
    return KeyList(keys=[ApiKey(**row) for row in rows], count=len(rows))


async def revoke_key(database: Database, user_id: uuid.UUID, key_id: int) -> None:
    """From now on the key is refused. 404 for one that is absent, foreign or revoked already."""
    async with database.as_user(user_id) as tx:
        row = await (await tx.ask(SQL.revoke_api_key, key_id=key_id)).fetchone()
    if row is None:
        raise not_found("The API key")
