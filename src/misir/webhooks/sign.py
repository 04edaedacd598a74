"""PURE: what a delivery looks like on the wire (Standard Webhooks 1.0), and when it is tried again."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

import orjson

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32

SCHEDULE_S: Final = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400)
"""Seconds before each try: at once, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h; then it is given up."""

JITTER: Final = 0.2
MAX_RETRY_AFTER_S: Final = 86_400


def event_name(uid: uuid.UUID) -> str:
    """The event's id as receivers see it, the same on every try.

    >>> event_name(uuid.UUID(int=10))
    'evt_0000000000000000000000000000000a'
    """
    return f"evt_{uid.hex}"


def body_of(uid: uuid.UUID, type_: str, created_at: datetime, data: dict[str, Any]) -> bytes:
    """{id, type, created_at, data}: the same bytes on every try."""
    told = {"id": event_name(uid), "type": type_, "created_at": created_at.astimezone(UTC), "data": data}
    return orjson.dumps(told, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z)


def secret_text(secret: bytes) -> str:
    """What a person copies into the receiver."""
    return PREFIX + base64.b64encode(secret).decode()


def headers_of(
    name: str, type_: str, body: bytes, secrets: Sequence[bytes], *, attempt: int, now: datetime
) -> dict[str, str]:
    """The header fields of one try. `secrets`: the endpoint's, and the one before it while both are valid.

    webhook-signature: v1 = base64(HMAC-SHA256(secret, id.timestamp.body)), one for each secret
    X-Misir-Signature: hex(HMAC-SHA256(secret, body)), of the newest secret as its text is written
    """
    timestamp = int(now.timestamp())
    signed = f"{name}.{timestamp}.".encode() + body
    digests = (hmac.digest(secret, signed, hashlib.sha256) for secret in secrets)
    return {
        "content-type": "application/json",
        "user-agent": "Misir-Webhooks/1",
        "webhook-id": name,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests),
        "x-misir-signature": hmac.new(secret_text(secrets[0]).encode(), body, hashlib.sha256).hexdigest(),
        "x-misir-event": type_,
        "x-misir-delivery-attempt": str(attempt),
    }


def next_attempt_at(
    attempt: int, now: datetime, *, retry_after: datetime | None = None, chance: float | None = None
) -> datetime | None:
    """When to try again after try number `attempt` (from 1) failed; None: never.

    now + SCHEDULE_S[attempt] · (1 ± JITTER), `chance` in 0..1 being the place in that span; not before
    `retry_after`.

    >>> at = datetime(2026, 1, 1, tzinfo=UTC)
    >>> [str(next_attempt_at(n, at, chance=c) - at) for n, c in ((1, 0.5), (1, 0.0), (2, 1.0))]
    ['0:00:05', '0:00:04', '0:06:00']
    >>> next_attempt_at(8, at) is None
    True
    """
    if attempt >= len(SCHEDULE_S):
        return None
    spread = random.random() if chance is None else chance  # noqa: S311 - spreads load, keeps no secret
    wait_s = SCHEDULE_S[attempt] * (1 + JITTER * (2 * spread - 1))
    at = now + timedelta(seconds=wait_s)
    return at if retry_after is None else max(at, retry_after)


def read_retry_after(value: str | None, now: datetime) -> datetime | None:
    """Seconds or a date (RFC 9110), a day ahead at most; None for what is neither.

    >>> at = datetime(2026, 1, 1, tzinfo=UTC)
    >>> str(read_retry_after("120", at) - at), read_retry_after("soon", at)
    ('0:02:00', None)
    >>> str(read_retry_after("Thu, 01 Jan 2026 00:01:00 GMT", at) - at)
    '0:01:00'
    """
    if value is None:
        return None
    latest = now + timedelta(seconds=MAX_RETRY_AFTER_S)
    if value.strip().isascii() and value.strip().isdigit():
        return now + timedelta(seconds=min(int(value.strip()[:9]), MAX_RETRY_AFTER_S))
    try:
        named = parsedate_to_datetime(value)
    except ValueError:
        return None
    return min(named if named.tzinfo is not None else named.replace(tzinfo=UTC), latest)
