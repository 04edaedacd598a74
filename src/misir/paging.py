"""Opaque cursors: where the next page starts, as a string nobody needs to understand."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import orjson

from misir.errors import invalid

CAP = 5_000
"""Most rows an unpaged list may hold (api.md, Lists)."""


def encode_cursor(*position: Any) -> str:
    """A sort position (numbers, strings, times) as URL-safe text.

    >>> decode_cursor(encode_cursor(12.5, 7), (float, int))
    [12.5, 7]
    """
    return base64.urlsafe_b64encode(orjson.dumps(position)).decode().rstrip("=")


def decode_cursor(cursor: str, kinds: tuple[type, ...]) -> list[Any]:
    """The position in a cursor of ours; 422 for anything else."""
    try:
        position = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError):
        position = None
    fits = (
        isinstance(position, list)
        and len(position) == len(kinds)
        and all(type(part) is kind for part, kind in zip(position, kinds, strict=True))
    )
    if not fits:
        raise invalid("cursor: is not one this list gave out. Start again without it.")
    return list(position)
