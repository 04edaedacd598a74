"""`GET /metrics` for Prometheus, `GET /dashboard` for people, and who may read them."""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Annotated, Any, Final

import psycopg
from fastapi import APIRouter, Depends, Request
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response

from misir.deps import Res
from misir.errors import MisirError, forbidden
from misir.plumbing.client_ip import Network, client_ip, is_loopback_peer
from misir.plumbing.http import as_problem
from misir.plumbing.metrics import read_exposition, read_families
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources
from misir.settings import Settings
from misir.web.dashboard import read_dashboard
from misir.web.page import render

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
READ: Final = ["GET", "HEAD"]
SQL = load_statements("misir.web", "dashboard.sql")
N_TABLES: Final = 12
FORWARDING: Final = {"forwarded", "x-real-ip"}


async def require_insider(request: Request, res: Res) -> None:
    """With METRICS_TOKEN whoever has it; else this machine, and the networks of METRICS_ALLOW."""
    settings = res.settings
    if settings.METRICS_TOKEN is not None:
        if not _has_token(request.headers, settings.METRICS_TOKEN):
            raise _token_wanted()
    elif not (is_loopback_peer(request.scope) or _is_allowed(request, settings)):
        raise forbidden(
            "Metrics are for this machine and the networks of METRICS_ALLOW, not through a proxy: set "
            "METRICS_TOKEN on the server and send it as Bearer token or as Basic password."
        )


def _is_allowed(request: Request, settings: Settings) -> bool:
    """The address a trusted proxy names, or the caller's own; what an unknown proxy forwards is refused."""
    trusted = settings.TRUSTED_PROXIES
    names = {name.lower() for name in request.headers}
    is_forwarded = any(name in FORWARDING or name.startswith("x-forwarded-") for name in names)
    if is_forwarded and not _is_within(client_ip(request.scope), trusted):
        return False
    return _is_within(client_ip(request.scope, trusted), settings.METRICS_ALLOW)


def _is_within(address: str, networks: Sequence[Network]) -> bool:
    try:
        return any(ip_address(address) in network for network in networks)
    except ValueError:  # a test client's name
        return False


def _has_token(headers: Headers, token: str) -> bool:
    sent = headers.getlist("authorization")
    scheme, _, given = sent[0].partition(" ") if len(sent) == 1 else ("", "", "")
    if scheme.lower() == "basic":
        given = _password(given)
    elif scheme.lower() != "bearer":
        return False
    return secrets.compare_digest(given.strip().encode(), token.encode())


def _password(given: str) -> str:
    try:
        return base64.b64decode(given, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""


def _token_wanted() -> MisirError:
    return MisirError(
        401,
        "unauthorized",
        "Metrics need the server's METRICS_TOKEN: send it as Bearer token, or as Basic password.",
        headers={"WWW-Authenticate": 'Basic realm="Misir metrics", charset="UTF-8"'},
    )


router = APIRouter(include_in_schema=False, dependencies=[Depends(require_insider)])


@router.api_route("/metrics", methods=READ)
async def get_metrics() -> Response:
    """Prometheus text, all workers together."""
    text = await asyncio.to_thread(read_exposition)
    return Response(text, media_type=TEXT, headers={"Cache-Control": "no-store"})


async def dashboard(res: Res) -> dict[str, Any]:
    families, database = await asyncio.gather(asyncio.to_thread(read_families), measure_database(res))
    return read_dashboard(families, res.settings.VERSION, database)


async def measure_database(res: Resources) -> dict[str, Any]:
    """Sizes and connections, or why they are not known: the dashboard stands while the database is away."""
    try:
        async with res.database.as_nobody() as tx:
            whole = await tx.ask(SQL.measure_database)
            tables = await tx.ask(SQL.measure_tables, limit=N_TABLES)
            return {**(await whole.fetchone() or {}), "tables": await tables.fetchall(), "problem": None}
    except MisirError as problem:
        return {"tables": [], "problem": problem.detail}
    except psycopg.OperationalError as lost:
        return {"tables": [], "problem": as_problem(lost).detail}


Dashboard = Annotated[dict[str, Any], Depends(dashboard)]


@router.api_route("/dashboard/api", methods=READ)
async def get_dashboard_json(read: Dashboard) -> Response:
    """The dashboard's figures: raw, and under `shown` as the page writes them."""
    return JSONResponse(read, headers={"Cache-Control": "no-store"})


@router.api_route("/dashboard", methods=READ)
async def get_dashboard(read: Dashboard, res: Res) -> Response:
    """How the service is doing, over all workers."""
    frame = {"name": res.settings.PROJECT_NAME, "version": res.settings.VERSION}
    return render("dashboard.html", {"shown": read["shown"], **frame})
