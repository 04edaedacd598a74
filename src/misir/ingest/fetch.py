"""Fetching a page that somebody named: no address of ours, no endless stream, no bomb, no endless wait."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Literal

import httpx

from misir.errors import MisirError
from misir.plumbing.outbound import ForbiddenAddressError, Network, outbound_client, require_public_url

Kind = Literal["html", "pdf", "text"]

FETCH_WITHIN_S: Final = 20.0
MAX_REDIRECTS: Final = 5
MAX_BYTES: Final = 32 * 1024 * 1024
"""Of a file, unpacked; also of one that is uploaded."""

KINDS: Final[dict[str, Kind]] = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "application/pdf": "pdf",
    "application/x-pdf": "pdf",
    "text/plain": "text",
    "text/markdown": "text",
    "text/x-markdown": "text",
}
HEADERS: Final = {
    "User-Agent": "Misir/1 (reads a page because its user asked for it)",
    "Accept": "text/html,application/xhtml+xml,application/pdf,text/markdown;q=0.9,text/plain;q=0.9,*/*;q=0",
    "Accept-Encoding": "gzip, identity",
}


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was at the address; `url` is where the redirects ended."""

    url: str
    kind: Kind
    data: bytes


def unreadable(detail: str) -> MisirError:
    return MisirError(422, "unreadable", detail)


async def fetch(url: str, allowed: tuple[Network, ...] = ()) -> Fetched:
    """GET it, through MAX_REDIRECTS at most. Raises MisirError 422 for every way in which that fails."""
    try:
        async with asyncio.timeout(FETCH_WITHIN_S), outbound_client(allowed) as client:
            for _ in range(MAX_REDIRECTS + 1):
                found = await _get(client, url, allowed)
                if isinstance(found, Fetched):
                    return found
                url = found
        raise unreadable("url: leads from redirect to redirect.")
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as problem:
        raise unreadable(f"url: {_why(problem)}") from None


async def _get(client: httpx.AsyncClient, url: str, allowed: tuple[Network, ...]) -> Fetched | str:
    """The page, or the address it redirects to: each is judged anew, and no body of a redirect is read."""
    require_public_url(url, allowed)
    async with client.stream("GET", url, headers=HEADERS) as answer:
        if answer.next_request is not None:
            return str(answer.next_request.url)
        if answer.status_code != 200:
            raise unreadable(f"url: answered {answer.status_code} instead of a page.")
        data = await _read(answer)
        return Fetched(url, kind_of(data, answer.headers.get("content-type", "")), data)


def _why(problem: Exception) -> str:
    if isinstance(problem.__cause__, ForbiddenAddressError):
        return "must be a public address; this one is of the server's own network."
    if isinstance(problem, httpx.TimeoutException | TimeoutError):
        return "did not answer in time."
    return "cannot be reached."


async def _read(answer: httpx.Response) -> bytes:
    """The body, unpacked by ourselves: a few kilobytes of gzip may hold gigabytes."""
    coding = answer.headers.get("content-encoding", "identity").strip().lower()
    if coding not in {"identity", "gzip", "x-gzip", "deflate", ""}:
        raise unreadable("url: answered in a coding that was not asked for.")
    is_packed = coding in {"gzip", "x-gzip", "deflate"}
    data = bytearray()
    async for block in _unpacked(answer.aiter_raw()) if is_packed else answer.aiter_raw():
        data += block
        if len(data) > MAX_BYTES:
            raise unreadable(f"url: is larger than {MAX_BYTES // 1024**2} MiB.")
    return bytes(data)


async def _unpacked(raw: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        async for block in raw:
            yield unpacker.decompress(block, MAX_BYTES + 1)
            if unpacker.unconsumed_tail:  # more than MAX_BYTES came out of one block
                yield bytes(MAX_BYTES)
    except zlib.error:
        raise unreadable("url: answered something that cannot be unpacked.") from None


def kind_of(data: bytes, content_type: str, name: str = "") -> Kind:
    """What it is: by its first bytes where they say it, else by what the sender calls it. 422 for the rest.

    >>> kind_of(b"%PDF-1.7 ...", "application/octet-stream"), kind_of(b"<p>x", "text/html; charset=utf-8")
    ('pdf', 'html')
    >>> kind_of(b"# Soil", "application/octet-stream", "soil.md")
    'text'
    """
    if data[:1024].lstrip().startswith(b"%PDF-"):
        return "pdf"
    said = content_type.partition(";")[0].strip().lower()
    by_name: dict[str, Kind] = {
        "html": "html",
        "htm": "html",
        "md": "text",
        "markdown": "text",
        "txt": "text",
    }
    ending = name.lower().rpartition(".")[2]
    known = KINDS.get(said) if said != "text/plain" else None
    found = known or by_name.get(ending) or KINDS.get(said)
    if found is None or found == "pdf":
        called = f" ({said[:80]})" if said.isprintable() and said else ""
        raise unreadable(f"It is neither HTML, PDF, markdown nor text{called}: Misir reads no other kind.")
    looks_like_html = data[:512].lstrip().lower().startswith((b"<!doctype html", b"<html"))
    return "html" if looks_like_html else found
