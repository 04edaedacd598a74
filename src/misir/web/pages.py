"""The pages people see."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI

from misir.deps import Res
from misir.web.system import describe

router = APIRouter(include_in_schema=False)


@router.get("/")
async def get_root(res: Res) -> dict[str, Any]:
    return describe(res.settings.PROJECT_NAME, res.settings.VERSION)


def mount_static(app: FastAPI) -> None:
    del app
