"""A page or a file becomes a capture: fetched or uploaded, read in a confined process, then as any other.

an address ─▶ fetch ─┐
a file ──────────────┴▶ extract (a child process) ─▶ capture
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from misir.capture.pipeline import capture
from misir.capture.schemas import Captured, CaptureRequest
from misir.ingest.fetch import Fetched, Kind, fetch, unreadable
from misir.orient.reading import ContentSource
from misir.orient.urls import domain_of, normalise_url
from misir.plumbing.confined import run_confined
from misir.resources import Resources

EXTRACT_WITHIN_S: Final = 25.0
ABOUT: Final = ("author", "published", "language", "canonical", "page_count")


@dataclass(frozen=True, slots=True)
class Extracted:
    """What a page says, and what it says of itself. `is_cut`: it had more text than an artifact may."""

    text: str
    title: str | None
    is_cut: bool
    about: dict[str, Any]


async def extract(res: Resources, data: bytes, kind: Kind) -> Extracted:
    """Raises MisirError 422 for what cannot be read, or not within bounds."""
    async with res.extracting:
        answer = await asyncio.to_thread(
            run_confined, "misir.ingest.extract", [kind], data, within_s=EXTRACT_WITHIN_S
        )
    if answer is None:
        raise unreadable("Reading it took too long, or too much memory: it is broken, or too large.")
    found = orjson.loads(answer)
    if "error" in found:
        raise unreadable(found["error"])
    about = {name: found[name] for name in ABOUT if name in found}
    return Extracted(found["text"], found.get("title"), found.get("is_cut", False), about)


async def ingest_url(res: Resources, user_id: uuid.UUID, request: CaptureRequest, now: datetime) -> Captured:
    """Fetch what `request` names and capture it. Raises MisirError 422 besides what `capture` raises."""
    fetched = await fetch(request.url, res.settings.OUTBOUND_ALLOW)
    found = await extract(res, fetched.data, fetched.kind)
    return await _capture(res, user_id, request, address_of(fetched, found), fetched.kind, found, now=now)


async def ingest_file(
    res: Resources, user_id: uuid.UUID, request: CaptureRequest, data: bytes, kind: Kind, now: datetime
) -> Captured:
    found = await extract(res, data, kind)
    return await _capture(res, user_id, request, request.url, kind, found, now=now)


def address_of(fetched: Fetched, found: Extracted) -> str:
    """Where the page says that it lives, if that is on the host it came from; else where it was found."""
    canonical = found.about.get("canonical")
    try:
        is_own = canonical is not None and domain_of(normalise_url(canonical)) == domain_of(
            normalise_url(fetched.url)
        )
    except ValueError:
        is_own = False
    return str(canonical) if is_own else fetched.url


async def _capture(
    res: Resources,
    user_id: uuid.UUID,
    request: CaptureRequest,
    url: str,
    kind: Kind,
    found: Extracted,
    *,
    now: datetime,
) -> Captured:
    """What the client says outranks what the page says."""
    sent = request.model_dump(exclude_unset=True)
    read: dict[str, Any] = {"content": found.text}
    read["title"] = request.title or found.title or url[:200]
    if "content_source" not in sent:
        own = ContentSource.NOTE if kind == "text" and url.startswith("file:") else ContentSource.WEB
        read["content_source"] = ContentSource.PDF if kind == "pdf" else own
    whole = CaptureRequest.model_validate(sent | read | {"url": url})
    captured = await capture(res, user_id, whole, now, about=found.about)
    adjusted = [*request.adjusted, *(["content"] if found.is_cut else [])]
    return captured.model_copy(update={"adjusted": sorted({*captured.adjusted, *adjusted})})
