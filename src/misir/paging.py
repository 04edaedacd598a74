"""Opaque cursors: where the next page starts, as a string nobody needs to understand."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from starlette.requests import Request

from misir.errors import MisirError, invalid
from misir.fields import MAX_ID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

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
        raise _strange()
    return list(position)


def decode_id(cursor: str | None) -> int | None:
    """Where a list ordered by id goes on; None at its start, 422 for a strange one."""
    if not cursor:
        return None
    (row_id,) = decode_cursor(cursor, (int,))
    if abs(row_id) > MAX_ID:
        raise _strange()
    return int(row_id)


def encode_moment(moment: datetime, row_id: int) -> str:
    """The cursor of a list that is newest first by (moment, id), exact to the microsecond."""
    return encode_cursor((moment - _EPOCH) // _MICROSECOND, row_id)


def decode_moment(cursor: str | None) -> dict[str, datetime | int | None]:
    """`before_at` and `before_id` for the statement of such a list; None at its start, 422 for a strange one.

    >>> decode_moment(encode_moment(datetime(2026, 1, 31, 12, tzinfo=UTC), 7))
    {'before_at': datetime.datetime(2026, 1, 31, 12, 0, tzinfo=datetime.timezone.utc), 'before_id': 7}
    """
    if not cursor:
        return {"before_at": None, "before_id": None}
    micros, row_id = decode_cursor(cursor, (int, int))
    if abs(row_id) > MAX_ID:
        raise _strange()
    try:
        return {"before_at": _EPOCH + micros * _MICROSECOND, "before_id": row_id}
    except OverflowError:
        raise _strange() from None


def next_link(request: Request, cursor: str) -> str:
    """The Link header of a list whose body is a bare array: this very request, from the cursor on."""
    there = request.url.include_query_params(cursor=cursor)
    return f'<{there.path}?{there.query}>; rel="next"'


def _strange() -> MisirError:
    return invalid("cursor: is not one this list gave out. Start again without it.")
