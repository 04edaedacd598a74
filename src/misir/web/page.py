"""Templates to answers: one Jinja environment, one set of headers, static files that may be kept for ever."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"

HEADERS: Final = {
    # Nothing from elsewhere and nothing inline: what slips through the escaping still cannot run.
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # The question stands in our address; the sites people go to from here must not learn it.
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept",
}


def render(template: str, values: Mapping[str, Any], *, status: int = 200) -> HTMLResponse:
    """A page for a person: never kept by shared caches, always asked for again."""
    body = _environment().get_template(template).render(values)
    return HTMLResponse(body, status, headers={**HEADERS, "Cache-Control": "private, no-cache"})


class CachedFiles(StaticFiles):
    """Files of the package: an address with its content's hash may be kept for ever."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        is_versioned = scope["query_string"] == f"v={_digest(path)}".encode()
        keep = "public, max-age=31536000, immutable" if is_versioned else "no-cache"
        response.headers["Cache-Control"] = keep
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["asset"] = asset
    made.filters |= {"counted": counted, "day": day, "prose": prose, "web_link": web_link}
    return made


def asset(name: str) -> str:
    """The address of a static file, which changes with its content."""
    return f"/static/{name}?v={_digest(name)}"


@cache
def _digest(name: str) -> str:
    shipped = {file.name: file for file in STATIC.iterdir()}
    return hashlib.sha256(shipped[name].read_bytes()).hexdigest()[:16] if name in shipped else ""


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "space"), counted(2000, "artifact")
    ('1 space', '2,000 artifacts')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def day(moment: datetime) -> str:
    return f"{moment.day} {moment:%b %Y}"


def prose(text: str) -> Markup:
    """Escaped text whose `backticks` are code.

    >>> print(prose("send `<b>`"))
    send <code>&lt;b&gt;</code>
    """
    # Escaped first; the two tags put in afterwards are the only ones.
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704


def web_link(url: str) -> str | None:
    """The address when it leads to the web; None for note:, file:, javascript: and what cannot be read.

    >>> web_link("https://a.example/x"), web_link("javascript:alert(1)"), web_link("http:///x")
    ('https://a.example/x', None, None)
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in {"http", "https"} and parts.hostname else None
