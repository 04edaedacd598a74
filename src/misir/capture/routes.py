"""POST a page; GET what may be sent."""

from __future__ import annotations

from fastapi import APIRouter, Response

from misir.capture.guide import describe_capture
from misir.capture.pipeline import capture
from misir.capture.schemas import Captured, CaptureGuide, CaptureRequest
from misir.deps import Me, Now, Res, problems, require_same_user

router = APIRouter(tags=["capture"])


@router.get("/capture", responses=problems())
async def get_capture(me: Me, res: Res) -> CaptureGuide:
    """Does my token work, and what may I send? Fields, sizes, and the five latest captures."""
    return await describe_capture(res, me)


@router.post(
    "/artifacts/capture", status_code=201, responses={200: {"model": Captured}, **problems(404, 409, 413)}
)
@router.post("/capture", status_code=201, responses={200: {"model": Captured}, **problems(404, 409, 413)})
@router.post("/artifacts", status_code=201, responses={200: {"model": Captured}, **problems(404, 409, 413)})
async def post_capture(me: Me, res: Res, now: Now, body: CaptureRequest, response: Response) -> Captured:
    """Capture one visit to one page: 201 for a new artifact, 200 for a known one."""
    require_same_user(res, me, body.user_id)
    captured = await capture(res, me, body, now)
    response.status_code = 201 if captured.is_new else 200
    return captured
