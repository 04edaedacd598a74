"""The application: settings in, ASGI app out. Importing this opens nothing; the lifespan does."""

from __future__ import annotations

import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware

from misir.admin import routes as admin
from misir.admin.keys import following_purges
from misir.analytics import routes as analytics
from misir.capture import routes as capture
from misir.deps import Problem
from misir.embed.embedder import Embedder
from misir.errors import MisirError
from misir.exports import routes as exports
from misir.imports import routes as imports
from misir.imports.source import MAX_FILE
from misir.ingest import routes as ingest
from misir.ingest.fetch import MAX_BYTES
from misir.insights import routes as insights
from misir.jobs.worker import working
from misir.library import routes as library
from misir.limits import policy_of
from misir.plumbing.confined import MIB
from misir.plumbing.errors_http import install_error_handlers
from misir.plumbing.http import BodyLimit, CatchAll, CrossOrigin, HeadIsGet, RequestId, TrailingSlash
from misir.plumbing.limit_http import AddressLimit
from misir.plumbing.log import configure_logging
from misir.plumbing.memory import keep_memory_low
from misir.plumbing.routing import FoundRoute
from misir.profile import profile_routes as profile
from misir.profile import routes as account
from misir.resources import build_resources
from misir.search import routes as search
from misir.sessions import routes as sessions
from misir.settings import Settings, load_settings
from misir.spaces import correction_routes as corrections
from misir.spaces import routes as spaces
from misir.spaces import topic_routes as topics
from misir.vitals import vital_signs
from misir.web import metrics, pages, system
from misir.web.app import routes as web_app
from misir.web.app.shell import page_of
from misir.webhooks import routes as webhooks

ROOMS = (
    capture, spaces, topics, corrections, sessions, library, search, insights, analytics, profile, account,
    ingest, imports, exports, webhooks, admin, system, pages, web_app, metrics,
)  # fmt: skip
EXPOSED_HEADERS = (
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Request-ID",
    "Link",
    "Idempotency-Replayed",
)
ALLOWED_HEADERS = ("Authorization", "Content-Type", "Idempotency-Key", "X-Request-ID")
FILE_ROUTES = {
    "/api/v1/imports": MAX_FILE + MIB,
    "/api/v1/artifacts/ingest": MAX_BYTES + MIB,
    "/app/settings/transfer": MAX_FILE + MIB,
    "/app/start/import": MAX_FILE + MIB,
}
"""What takes files, and how much of them: the file, and what a form writes around it."""

EXTENSION_SCHEMES = ("chrome-extension", "moz-extension", "safari-web-extension")


def create_app(settings: Settings, *, embedder: Embedder | None = None) -> FastAPI:
    """Misir with these settings; `embedder` replaces the configured model where a test controls meaning."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        resources = app.state.resources = build_resources(settings, embedder=embedder)
        async with vital_signs(resources):
            await resources.start()
            async with working(resources), following_purges(resources):
                yield
            await resources.close()

    app = FastAPI(
        title=settings.PROJECT_NAME,
        version=settings.VERSION,
        summary="Captures what you read, places it by meaning, and finds it again by meaning.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        middleware=middleware(settings),
    )
    install_error_handlers(app)
    app.state.page_of = page_of
    app.router.routes.append(FoundRoute())
    for room in ROOMS:  # their own objects: included routers would be searched one route after another
        app.router.routes.extend(room.router.routes)
    pages.mount_static(app)
    _describe_problems(app)
    return app


def middleware(settings: Settings) -> list[Middleware]:
    """Pure ASGI, outermost first: a 500 and a 413 pass the request id and CORS on their way out, too."""
    origins = [*settings.CORS_ORIGINS]
    origins += [f"{scheme}://{name}" for name in settings.CORS_EXTENSION_IDS for scheme in EXTENSION_SCHEMES]
    cors = Middleware(
        CrossOrigin,
        allow_origins=origins,
        allow_credentials=True,
        allow_methods=("GET", "HEAD", "POST", "PATCH", "DELETE"),
        allow_headers=ALLOWED_HEADERS,
        expose_headers=EXPOSED_HEADERS,
        max_age=600,
    )
    return [
        Middleware(RequestId),
        cors,
        *_address_limit(settings),
        Middleware(BodyLimit, files=FILE_ROUTES),
        Middleware(TrailingSlash),
        Middleware(HeadIsGet),
        Middleware(CatchAll),
    ]


def _address_limit(settings: Settings) -> list[Middleware]:
    if not settings.RATE_LIMIT_ENABLED:
        return []
    return [
        Middleware(
            AddressLimit,
            unauthenticated=policy_of(settings, "unauthenticated"),
            pages=policy_of(settings, "pages"),
            trusted=settings.TRUSTED_PROXIES,
        )
    ]


def _describe_problems(app: FastAPI) -> None:
    """Put the one error shape into the OpenAPI document, where every route's refusals refer to it."""
    make = app.openapi

    def openapi() -> dict[str, object]:
        schema = make()
        schema["components"]["schemas"].setdefault("Problem", Problem.model_json_schema())
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def app_from_environment() -> FastAPI:
    """For `main:app`. A wrong variable ends the process with one sentence, not with a stack trace."""
    try:
        settings = load_settings()
        configure_logging(settings.LOG_LEVEL, settings.LOG_FORMAT)
        app = create_app(settings)
    except MisirError as error:
        sys.exit(f"misir: {error.detail}")
    keep_memory_low()
    # What is there by now stays: looking it through for garbage takes 150 ms, in which nobody is answered.
    gc.freeze()
    return app
