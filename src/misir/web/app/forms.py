"""Forms of the pages: read, bounded, and proven to come from a page of ours."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from fastapi import Request
from starlette.responses import Response

from misir.errors import forbidden, invalid
from misir.web.app.session import set_cookie

COOKIE: Final = "misir_csrf"
FIELD: Final = "csrf"
MAX_FIELDS: Final = 1_000


class Form:
    """What was sent: the last value of a name, or all of them. Blank is missing."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._pairs = pairs

    def get(self, name: str) -> str | None:
        found = [value for key, value in self._pairs if key == name]
        return (found[-1].strip() or None) if found else None

    def all(self, name: str) -> list[str]:
        return [value for key, value in self._pairs if key == name and value.strip()]

    def ids(self, name: str) -> list[int]:
        return [_number(name, value) for key, value in self._pairs if key == name and value.strip()]

    def id(self, name: str) -> int | None:
        found = self.ids(name)
        return found[-1] if found else None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._pairs)


def _number(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and 0 < int(value[:20]) < 2**63):
        raise invalid(f"{name} is chosen from a list: go back and choose again.")
    return int(value)


async def read_form(request: Request) -> Form:
    """The form's fields, once it is certain that a page of ours sent them. Raises MisirError 403 and 422."""
    require_same_site(request)
    try:
        pairs = parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise invalid("The form cannot be read: go back and send it again.") from None
    form = Form(pairs)
    require_ours(request, form)
    return form


def require_ours(request: Request, form: Form) -> None:
    """The form has the image of the secret that this browser has. Raises MisirError 403."""
    expected = token_of(request.cookies.get(COOKIE, ""))
    if not expected or not hmac.compare_digest(expected.encode(), (form.get(FIELD) or "").encode()):
        raise forbidden("This form is out of date: go back, reload the page, and send it again.")


def require_same_site(request: Request) -> None:
    """What a browser says about where a form comes from must not be another site."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    is_foreign = site not in {None, "same-origin", "none"} or (
        # A page under `Referrer-Policy: no-referrer` sends `null`; what it is then rests on the token.
        origin not in {None, "null"} and urlsplit(origin or "").netloc != request.headers.get("host")
    )
    if is_foreign:
        raise forbidden("This form was sent by another site, which may not act for you.")


def token_of(secret: str) -> str:
    """What a page puts into its forms: a secret's image, so that the secret itself is on no page."""
    return hmac.new(secret.encode(), b"misir form", "sha256").hexdigest() if secret else ""


def secret_of(request: Request) -> str:
    """The browser's secret, a new one where it has none; `leave_secret` sends a new one along."""
    known = request.cookies.get(COOKIE, "")
    if len(known) >= 32:
        return known
    made = getattr(request.state, "new_secret", None) or secrets.token_urlsafe(32)
    request.state.new_secret = made
    return str(made)


def leave_secret(response: Response, request: Request) -> None:
    made: Any = getattr(request.state, "new_secret", None)
    if made is not None:
        set_cookie(response, request, COOKIE, made, samesite="strict")
