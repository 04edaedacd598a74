"""The pages people see. Each is a thin face: the data comes from the functions behind the API."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import JSONResponse, Response

from misir.deps import Now, Res
from misir.errors import not_found
from misir.resources import Resources
from misir.web.home import explain_match, read_home
from misir.web.negotiate import wants_html
from misir.web.page import STATIC, CachedFiles, render
from misir.web.problems import PROBLEMS
from misir.web.reference import read_reference
from misir.web.system import describe

router = APIRouter(include_in_schema=False)
READ = ["GET", "HEAD"]


@router.api_route("/", methods=READ)
async def get_root(request: Request, res: Res, now: Now) -> Response:
    """What Misir is: a few facts for a program, the first page with its search for a person."""
    if not wants_html(request):
        facts = describe(res.settings.PROJECT_NAME, res.settings.VERSION)
        return JSONResponse(facts, headers={"Vary": "Accept"})
    home = await read_home(res, request, now)
    calibration = res.embedder.calibration
    return render(
        "home.html",
        {"home": home, "explain": lambda hit: explain_match(hit, calibration), **_frame(request, res)},
        status=home.status,
    )


@router.api_route("/docs", methods=READ)
async def get_docs(request: Request, res: Res) -> Response:
    """The API reference, made here from the OpenAPI document: it needs no network and no script."""
    frame = _frame(request, res)
    reference = read_reference(
        request.app.openapi(), base_url=frame["base_url"], with_token=not res.settings.MOCK_AUTH
    )
    return render("docs.html", {"reference": reference, "problems": PROBLEMS, **frame})


@router.api_route("/problems/{slug}", methods=READ)
async def get_problem(slug: str, request: Request, res: Res) -> Response:
    """Where the `type` of an error leads."""
    if slug not in PROBLEMS:
        raise not_found("The explanation of this problem")
    page = PROBLEMS[slug]
    if not wants_html(request):
        return JSONResponse({"type": f"/problems/{slug}", **page._asdict()}, headers={"Vary": "Accept"})
    return render("problem.html", {"slug": slug, "problem": page, **_frame(request, res)})


def mount_static(app: FastAPI) -> None:
    app.mount("/static", CachedFiles(directory=STATIC), name="static")


def _frame(request: Request, res: Resources) -> dict[str, str]:
    """What every page's header and footer say."""
    return {
        "name": res.settings.PROJECT_NAME,
        "version": res.settings.VERSION,
        "base_url": str(request.base_url).rstrip("/"),
    }
