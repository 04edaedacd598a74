"""What `misir capture` is given: a file, the address of a page, or standard input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

from misir.errors import invalid
from misir.orient.reading import ContentSource
from misir.orient.urls import WEB_SCHEMES

TO_BE_READ: Final = {".html", ".htm", ".xhtml", ".pdf"}
"""Endings of files that are no plain text: Misir reads them as it reads a page (ingest/)."""


def read_source(
    source: str, *, title: str | None, url: str | None, content_file: str | None
) -> dict[str, Any]:
    """What a capture sends of a file, a page or standard input.

    With `data`, the file itself, which is to be read; a page with neither title nor text is to be fetched.
    """
    if source.partition(":")[0].lower() in WEB_SCHEMES:
        return _read_page(source, title, content_file)
    if Path(source).suffix.lower() in TO_BE_READ:
        return {"url": url or Path(source).absolute().as_uri(), "title": title, "data": _read_bytes(source)}
    text = _read_text(source)
    title = title or _heading(text) or (None if source == "-" else Path(source).stem)
    if source != "-":
        return {
            "url": url or Path(source).absolute().as_uri(),
            "title": title,
            "content": text,
            "content_source": "note",
        }
    if not (title or url):
        raise invalid("A text from standard input needs a name: pass --title or --url.")
    kind = ContentSource.WEB if url else ContentSource.NOTE
    return {"url": url or f"note:{title}", "title": title, "content": text, "content_source": kind}


def _read_page(url: str, title: str | None, content_file: str | None) -> dict[str, Any]:
    text = None if content_file is None else _read_text(content_file)
    if text is None and title is None:
        return {"url": url}
    return {"url": url, "title": title or _heading(text or ""), "content": text, "content_source": "web"}


def _read_bytes(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise invalid(f"{name} cannot be read: {error.strerror}.") from error


def _read_text(name: str) -> str:
    """The text of a file, or of standard input. Raises MisirError for what is not plain text."""
    try:
        text = (sys.stdin.buffer.read() if name == "-" else _read_bytes(name)).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise invalid(f"{name} is not text in UTF-8: pass a text or markdown file.") from None
    if Path(name).suffix.lower() in TO_BE_READ or _looks_like_html(text):
        raise invalid(f"{name} is HTML: call it .html, and its text is read.")
    if not text.strip():
        raise invalid(f"{name} is empty: there is nothing to capture.")
    return text


def _looks_like_html(text: str) -> bool:
    return text.lstrip()[:15].lower().startswith(("<!doctype html", "<html"))


def _heading(text: str) -> str | None:
    """The first heading of a markdown text."""
    headings = (line.lstrip("#").strip() for line in text.splitlines() if line.startswith("#"))
    return next((heading for heading in headings if heading), None)
