"""A person's profile, and the end of it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from misir.errors import invalid
from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements
from misir.profile.schemas import (
    AccountDeleted,
    MetadataPatch,
    Onboarding,
    Profile,
    Settings,
    SettingsChange,
    check_settings,
)
from misir.resources import Resources

SQL = load_statements("misir.profile", "profile.sql")

BESIDE_SPACES = (
    SQL.delete_sessions,
    SQL.delete_answers,
    SQL.delete_imports,
    SQL.delete_webhooks,
    SQL.delete_events,
    SQL.delete_jobs,
    SQL.delete_keys,
    SQL.delete_profile,
)
"""What empties the tables whose rows do not go along with a space."""

REMAINS = (
    "The account you sign in with: it is your identity provider's; delete it there.",
    "Request logs of this server: they name you by the first eight characters of your id and hold no text.",
    "The administrators' audit of what they did to your data, which holds none of it.",
    "Backups made before now, as long as they are kept.",
)
"""What an account's deletion does not reach."""


async def get_profile(res: Resources, user_id: uuid.UUID) -> Profile:
    """The profile; made with defaults when it is read for the first time."""
    async with res.database.as_user(user_id) as tx:
        return await _read(tx)


async def _read(tx: Tx) -> Profile:
    rows = await tx.ask(SQL.load_profile)
    row = await rows.fetchone()
    if row is None:
        await tx.ask(SQL.make_profile)
        row = await (await tx.ask(SQL.load_profile)).fetchone()
    return _profile(row or {})


async def _read_for_update(tx: Tx) -> dict[str, Any]:
    """The profile under its lock. Takes load_profile_for_update."""
    await tx.ask(SQL.make_profile)
    return await (await tx.ask(SQL.load_profile_for_update)).fetchone() or {}


def _profile(row: Mapping[str, Any]) -> Profile:
    settings = Settings.model_validate(row["settings"])
    done = row["onboarded_at"] is not None
    return Profile(**{**row, "settings": settings, "onboarding_completed": done})


def merge(stored: Mapping[str, Any], sent: Mapping[str, Any]) -> dict[str, Any]:
    """PURE: JSON merge patch (RFC 7396): objects merge, null removes, anything else replaces.

    >>> merge({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": None, "e": 3}, "d": [2]})
    {'a': {'c': 2, 'e': 3}, 'd': [2]}
    """
    merged = dict(stored)
    for name, value in sent.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping):
            before = merged.get(name)
            merged[name] = merge(before if isinstance(before, Mapping) else {}, value)
        else:
            merged[name] = value
    return merged


async def patch_settings(res: Resources, user_id: uuid.UUID, change: SettingsChange) -> Profile:
    """Merge settings in, in one transaction; what others merge in at the same moment is kept."""
    async with res.database.as_user(user_id) as tx:
        await _merge_settings(tx, await _read_for_update(tx), change)
        return await _read(tx)


async def _merge_settings(tx: Tx, row: Mapping[str, Any], change: SettingsChange) -> None:
    settings = merge(row["settings"], change.sent)
    try:
        check_settings(settings)
    except ValueError as error:
        raise invalid(f"settings: together with those stored, {error}") from None
    await tx.ask(SQL.store_settings, settings=Jsonb(settings))


async def patch_metadata(res: Resources, user_id: uuid.UUID, patch: MetadataPatch) -> Profile:
    async with res.database.as_user(user_id) as tx:
        await tx.ask(SQL.make_profile)
        await _write_metadata(tx, patch)
        return await _read(tx)


async def _write_metadata(tx: Tx, patch: MetadataPatch) -> None:
    if patch.timezone is not None:
        row = await (await tx.ask(SQL.knows_zone, timezone=patch.timezone)).fetchone() or {}
        if not row["is_known"]:
            raise invalid("timezone: the database does not know it: choose a name such as Europe/Sarajevo.")
    values = patch.model_dump(include={"display_name", "avatar_url", "timezone"})
    has = {f"has_{name}": name in patch.model_fields_set for name in ("display_name", "avatar_url")}
    await tx.ask(SQL.patch_metadata, values, **has)


async def onboard(res: Resources, user_id: uuid.UUID, said: Onboarding, now: datetime) -> Profile:
    """Note that the person has been shown around, with what they said; a second time changes nothing."""
    async with res.database.as_user(user_id) as tx:
        row = await _read_for_update(tx)
        if row["onboarded_at"] is None:
            await tx.ask(SQL.note_onboarding, now=now)
            await _write_metadata(tx, said)
            if said.settings is not None:
                await _merge_settings(tx, row, said.settings)
        return await _read(tx)


async def delete_account(res: Resources, user_id: uuid.UUID, confirm: str) -> AccountDeleted:
    """Every row of the user, in one transaction, however long it takes: all of it or nothing.

    422 unless `confirm` is the user's id. Safe to repeat: there is then nothing left to delete.
    """
    if confirm.strip().lower() != str(user_id):
        raise invalid(f"confirm: must be your user id, {user_id}. Everything you have here will be deleted.")
    async with res.database.as_user(user_id, patience_s=None) as tx:
        spaces = await tx.ask(SQL.delete_spaces)
        for statement in BESIDE_SPACES:
            await tx.ask(statement)
        n_spaces = (await spaces.fetchone() or {})["count"]
    message = "Deleted: there is nothing of yours here any more."
    return AccountDeleted(spaces=n_spaces, message=message, remains=list(REMAINS))
