"""Signing in and out, and the look of the pages."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from misir.deps import Res
from misir.errors import MisirError, unavailable
from misir.web.app.forms import read_form
from misir.web.app.session import ACCESS, forget, keep, set_cookie
from misir.web.app.shell import HOME, SIGN_IN, THEME, THEMES, PageRoute, local_path, outside
from misir.web.page import render

router = APIRouter(prefix="/app", include_in_schema=False, route_class=PageRoute)
YEAR_S = 365 * 24 * 3600


@router.get("/sign-in")
async def get_sign_in(request: Request, res: Res) -> Response:
    """The form; where nobody has to sign in, the app itself."""
    if res.settings.MOCK_AUTH:
        return RedirectResponse(HOME, 303)
    return _form(request, can_sign_in=res.sign_in is not None)


@router.post("/sign-in")
async def post_sign_in(request: Request, res: Res) -> Response:
    """E-mail and password for a session. What is wrong is said on the form, which keeps the address."""
    form = await read_form(request)
    if res.sign_in is None:
        raise unavailable("Nobody can sign in here: SUPABASE_URL and SUPABASE_KEY are not set.")
    email, password = form.get("email") or "", form.get("password") or ""
    try:
        tokens = await res.sign_in.with_password(email, password)
    except MisirError as problem:
        return _form(request, can_sign_in=True, email=email, problem=problem)
    response = RedirectResponse(local_path(request.query_params.get("next")), 303)
    keep(response, request, tokens)
    return response


@router.post("/sign-out")
async def post_sign_out(request: Request, res: Res) -> Response:
    await read_form(request)
    access = request.cookies.get(ACCESS)
    if access and res.sign_in is not None:
        await res.sign_in.end(access)
    response = RedirectResponse(SIGN_IN, 303)
    forget(response)
    return response


@router.post("/theme")
async def post_theme(request: Request) -> Response:
    """Light, dark, or as the system says; kept in this browser."""
    form = await read_form(request)
    chosen = form.get("theme")
    response = RedirectResponse(local_path(form.get("next")), 303)
    set_cookie(response, request, THEME, chosen if chosen in THEMES else "system", YEAR_S)
    return response


def _form(
    request: Request, *, can_sign_in: bool, email: str = "", problem: MisirError | None = None
) -> Response:
    values = {"can_sign_in": can_sign_in, "email": email, "problem": problem, "page": "sign-in"}
    next_page = local_path(request.query_params.get("next"))
    status = problem.status if problem else 200
    return render("app/sign_in.html", {**outside(request), **values, "next": next_page}, status=status)
