"""What every page has around it: who is there, their spaces, what just happened; and refusals as pages."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, Literal
from urllib.parse import quote, urlsplit

import orjson
import psycopg
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.responses import RedirectResponse, Response

from misir.deps import now, resources_of
from misir.errors import MisirError, not_found
from misir.plumbing.http import as_problem
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources
from misir.spaces.schemas import Standing, TopicChange
from misir.web.app import words
from misir.web.app.forms import leave_secret, secret_of, token_of
from misir.web.app.session import forget, keep, set_cookie
from misir.web.negotiate import wants_html
from misir.web.page import counted, render

SQL = load_statements("misir.web.app", "app.sql")

FLASH: Final = "misir_said"
THEME: Final = "misir_theme"
THEMES: Final = ("system", "light", "dark")
HOME: Final = "/app"
N_TOLD: Final = 4
SIGN_IN: Final = "/app/sign-in"
DATA: Final = ("/api/", "/metrics", "/health", "/dashboard/api")
"""What is for programs, whatever they say they accept."""

Answer = Callable[[Request], Coroutine[Any, Any, Response]]


class PageRoute(APIRoute):
    """A route whose refusals are pages, too: 401 leads to signing in, the rest says what happened."""

    def get_route_handler(self) -> Answer:
        answer = super().get_route_handler()

        async def page(request: Request) -> Response:
            try:
                response = await answer(request)
            except RequestValidationError:
                response = await refuse(request, not_found("This page"))
            except MisirError as problem:
                response = await refuse(request, problem)
            except psycopg.OperationalError as lost:
                response = await refuse(request, as_problem(lost))
            leave_secret(response, request)
            if (tokens := getattr(request.state, "new_tokens", None)) is not None:
                keep(response, request, tokens)
            return response

        return page


async def refuse(request: Request, problem: MisirError) -> Response:
    if problem.status == 401:
        response: Response = RedirectResponse(f"{SIGN_IN}?next={quote(local_path(request.url.path))}", 303)
        forget(response)
        return response
    return show_problem(request, problem)


def page_of(request: Request, problem: MisirError) -> Response | None:
    """A refusal outside the app's own routes as a page, where a browser asked; the API's stay JSON."""
    is_page = not request.url.path.startswith(DATA) and wants_html(request)
    return show_problem(request, problem) if is_page else None


def show_problem(request: Request, problem: MisirError) -> Response:
    state = request.scope.get("state", {})
    values = {"problem": problem, "page": "problem", "request_id": state.get("request_id")}
    response = render("app/problem.html", {**values, **outside(request)}, status=problem.status)
    response.headers.update(problem.headers)
    return response


def local_path(path: str | None) -> str:
    """An address below /app, or the app's first page: nobody is led elsewhere after signing in.

    >>> local_path("/app/search?q=a"), local_path("//evil.example"), local_path("/app/../x")
    ('/app/search?q=a', '/app', '/app')
    """
    parts = urlsplit(path or "")
    is_ours = parts.path == HOME or parts.path.startswith(HOME + "/")
    is_plain = not (parts.scheme or parts.netloc or "\\" in (path or "") or "/../" in parts.path + "/")
    return path if path and is_ours and is_plain else HOME


async def show(
    request: Request,
    me: uuid.UUID,
    template: str,
    values: Mapping[str, Any],
    *,
    page: str,
    space_id: int | None = None,
    status: int = 200,
) -> Response:
    """A page for somebody who is signed in; `page` and `space_id` say what of the menu it is."""
    res = resources_of(request)
    flash = read_flash(request.cookies.get(FLASH))
    frame = {
        **outside(request),
        "menu": await list_menu(res, me),
        "page": page,
        "space_id": space_id,
        "flash": flash,
        "can_sign_out": not res.settings.MOCK_AUTH,
        "now": now(),
        "config": res.config,
        "words": words,
    }
    response = render(template, {**frame, **values}, status=status)
    if flash is not None:
        response.delete_cookie(FLASH, path=HOME)
    return response


async def list_menu(res: Resources, me: uuid.UUID) -> list[dict[str, Any]]:
    """The live spaces as the menu names them, the most recently opened ones being no business of ours."""
    async with res.database.as_user(me) as tx:
        return await (await tx.ask(SQL.list_menu_spaces)).fetchall()


def outside(request: Request) -> dict[str, Any]:
    """What a page needs even for nobody."""
    settings = resources_of(request).settings
    theme = request.cookies.get(THEME, "system")
    return {
        "name": settings.PROJECT_NAME,
        "version": settings.VERSION,
        "csrf": token_of(secret_of(request)),
        "theme": theme if theme in THEMES else "system",
        "here": local_path(request.url.path + (f"?{request.url.query}" if request.url.query else "")),
    }


def go(
    request: Request,
    where: str | None,
    said: str | None = None,
    *,
    undo: str | None = None,
    changes: Sequence[TopicChange] = (),
) -> Response:
    """To a page after a form, which tells there what was done; `undo` is where a form takes it back."""
    response = RedirectResponse(local_path(where), 303)
    if said is not None:
        flash = {
            "said": said,
            "undo": undo,
            "before": _stand(changes, "before"),
            "after": _stand(changes, "after"),
        }
        packed = base64.urlsafe_b64encode(orjson.dumps(flash)).decode()
        set_cookie(response, request, FLASH, packed, 60, samesite="strict")
    return response


def _stand(changes: Sequence[TopicChange], when: Literal["before", "after"]) -> str | None:
    """How the topics that a correction touched stood, in a line a cookie can carry."""
    told = []
    for change in changes[:N_TOLD]:
        standing: Standing = getattr(change, when)
        focus = f", focus {standing.confidence:.2f}" if standing.enough_data else ""
        told.append(f"“{change.name[:60]}” {counted(standing.artifact_count, 'item')}{focus}")
    return "; ".join(told) or None


def read_flash(packed: str | None) -> dict[str, str | None] | None:
    """What `go` left, or None; whatever else a cookie may hold is nothing.

    >>> read_flash("eyJzYWlkIjoiRG9uZSJ9")
    {'said': 'Done', 'undo': None, 'before': None, 'after': None}
    """
    try:
        found = orjson.loads(base64.urlsafe_b64decode(packed or ""))
        known = {name: found.get(name) for name in ("said", "undo", "before", "after")}
    except (binascii.Error, ValueError, AttributeError):
        return None
    is_ours = isinstance(known["said"], str) and all(isinstance(one, str | None) for one in known.values())
    if known["undo"] is not None and is_ours:
        known["undo"] = local_path(known["undo"])
    return known if is_ours else None
