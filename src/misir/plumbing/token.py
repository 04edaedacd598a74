"""PURE: a token taken apart and checked. Nothing it says is believed before `require_signature` has passed.

The arithmetic of signatures is PyJWT's. Its `decode` is not used: it reads the header twice, and looks at
every letter in Python, which cost more than the signature.
"""

from __future__ import annotations

import base64
import math
import re
import uuid
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import jwt
import orjson

LEEWAY_S: Final = 30
"""By how much clocks may disagree."""

AUDIENCE: Final = "authenticated"
ROLE: Final = "authenticated"
REQUIRED: Final = ("exp", "iat", "sub", "role", "aud", "iss")

_JWT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class RefusedError(Exception):
    """A token that is not accepted; the argument is the reason, for the log."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a token must say, besides being signed."""

    issuer: str
    allows_anonymous: bool = False


@dataclass(frozen=True, slots=True)
class Header:
    """Which key a token asks for, and what for. No key and no address in a header is ever used."""

    algorithm: str
    kid: Any


def read_header(token: str) -> Header:
    """Raises RefusedError, also for a header with critical extensions (RFC 7515 §4.1.11)."""
    if not _JWT.fullmatch(token):
        raise RefusedError("shape")
    return _header(token[: token.index(".")])


@lru_cache(maxsize=64)
def _header(segment: str) -> Header:
    """One key's tokens all have the same header."""
    header = _object(segment, "header")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or "crit" in header or header.get("b64") is not None:
        raise RefusedError("header")
    return Header(algorithm, header.get("kid"))


def require_signature(token: str, key: Any, algorithm: str) -> None:
    """Raises RefusedError unless `key` signed the token, by this algorithm and no other."""
    signed, _, segment = token.rpartition(".")
    signature = _bytes(segment, "signature")
    method = jwt.get_algorithm_by_name(algorithm)
    try:
        is_signed = method.verify(signed.encode(), method.prepare_key(key), signature)
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise RefusedError(type(error).__name__) from None
    if not is_signed:
        raise RefusedError("signature")


def read_claims(token: str, rules: Rules, now: float) -> dict[str, Any]:
    """The claims, if issuer, audience, role, subject and times are right. Raises RefusedError."""
    claims = _object(token.split(".")[1], "claims")
    if any(claims.get(name) is None for name in REQUIRED):
        raise RefusedError("a claim is missing")
    _require_times(claims, now)
    if (claims["aud"], claims["iss"]) != (AUDIENCE, rules.issuer):
        raise RefusedError("audience or issuer")
    if claims["role"] != ROLE:
        raise RefusedError("role")
    if not (rules.allows_anonymous or _is_unset(claims.get("is_anonymous"))):
        raise RefusedError("anonymous")
    if not _is_canonical_uuid(claims["sub"]):
        raise RefusedError("subject")
    return claims


def _require_times(claims: dict[str, Any], now: float) -> None:
    """Seconds since 1970: not after `exp`, not before `iat` and `nbf`."""
    start = claims.get("nbf", claims["iat"])
    if not all(
        type(at) in {int, float} and math.isfinite(at) for at in (claims["exp"], claims["iat"], start)
    ):
        raise RefusedError("times")
    if claims["exp"] <= now - LEEWAY_S:
        raise RefusedError("expired")
    if max(claims["iat"], start) > now + LEEWAY_S:
        raise RefusedError("not yet")


def _is_unset(flag: Any) -> bool:
    return flag is None or flag is False


def _is_canonical_uuid(subject: Any) -> bool:
    """Is it a UUID, in its one spelling?"""
    try:
        return bool(str(uuid.UUID(subject)) == subject)
    except (ValueError, AttributeError, TypeError):
        return False


def _object(segment: str, what: str) -> dict[str, Any]:
    try:
        found = orjson.loads(_bytes(segment, what))
    except orjson.JSONDecodeError:
        raise RefusedError(f"{what}: no JSON") from None
    if not isinstance(found, dict):
        raise RefusedError(f"{what}: no object")
    return found


def _bytes(segment: str, what: str) -> bytes:
    """Of base64url without padding (RFC 7515 §2), which has one spelling for each."""
    try:
        found = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        raise RefusedError(f"{what}: no base64") from None
    if base64.urlsafe_b64encode(found).rstrip(b"=").decode() != segment:
        raise RefusedError(f"{what}: no base64")
    return found
