"""What `misir capture` was given becomes a capture."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from misir.capture.pipeline import capture
from misir.capture.schemas import Captured, CaptureRequest
from misir.ingest.fetch import kind_of
from misir.ingest.ingest import ingest_file, ingest_url
from misir.ingest.schemas import FetchRequest, UploadRequest
from misir.resources import Resources
from misir.shell import checked


async def ingest_source(res: Resources, user_id: uuid.UUID, sent: dict[str, Any], now: datetime) -> Captured:
    """What `misir capture` was given (sources.py): a file to read, a page to fetch, or a text as it is."""
    data = sent.pop("data", None)
    if data is not None:
        kind = kind_of(data, "", sent["url"])
        return await ingest_file(res, user_id, checked(UploadRequest, **sent), data, kind, now)
    if "content" not in sent and "title" not in sent:
        return await ingest_url(res, user_id, checked(FetchRequest, **sent), now)
    return await capture(res, user_id, checked(CaptureRequest, **sent), now)
