"""POST a page; GET what may be sent."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response

from misir.capture.batch import capture_batch
from misir.capture.guide import describe_capture
from misir.capture.pipeline import capture
from misir.capture.schemas import BatchAnswer, BatchRequest, Captured, CaptureGuide, CaptureRequest
from misir.deps import Me, Now, Res, problems, require_same_user, spend
from misir.gate import gated_router
from misir.idempotency import Once
from misir.limits import batch_items

router = gated_router(tag="capture")


@router.get("/capture", responses=problems())
async def get_capture(me: Me, res: Res) -> CaptureGuide:
    """Does my token work, and what may I send? Fields, sizes, and the five latest captures."""
    return await describe_capture(res, me)


CAPTURED: dict[int | str, dict[str, Any]] = {
    200: {"model": Captured},
    202: {"model": Captured, "description": "Kept: the embedding model is away, it is placed later."},
    **problems(404, 409, 413),
}


@router.post("/artifacts/capture", status_code=201, response_model=Captured, responses=CAPTURED)
@router.post("/capture", status_code=201, response_model=Captured, responses=CAPTURED)
@router.post("/artifacts", status_code=201, response_model=Captured, responses=CAPTURED)
async def post_capture(
    me: Me, res: Res, now: Now, body: CaptureRequest, response: Response, once: Once
) -> Captured | Response:
    """Capture one visit to one page: 201 for a new artifact, 200 for a known one, 202 without a model."""
    require_same_user(res, me, body.user_id)
    async with once.turn():
        captured = await capture(res, me, body, now, once)
    response.status_code = 202 if captured.pending else 201 if captured.is_new else 200
    return once.kept or captured


@router.post("/artifacts/batch", response_model=BatchAnswer, responses=problems(413))
async def post_batch(
    me: Me, res: Res, now: Now, body: BatchRequest, request: Request, once: Once
) -> BatchAnswer | Response:
    """Capture up to 500 visits. Always 200 for a valid envelope: each item succeeds or fails for itself."""
    require_same_user(res, me, body.user_id)
    await spend(res.limiter, request.scope, batch_items(res.settings, me), len(body.artifacts))
    async with once.turn():
        await once.open_alone()
        answer = await capture_batch(res, me, body.artifacts, now)
        await once.close_alone(200, answer)
    return once.kept or answer
