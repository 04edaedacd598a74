"""The pipeline of the founding document, as a yardstick: `uvicorn document:app`.

One `embed_text` for each item, then one HTTP hop for each of four statements. CLIENT=shared keeps one HTTP client,
CLIENT=request makes one for every request to the data API, as functions do that each call `create_client()`. Texts are encoded
by sentence-transformers where the extra `peers` is installed, else by our engine, one text a call on a thread of its own, which
is kinder to it. No token is verified, nothing is limited or counted.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from baseline.sentences import open_encoder
from fastapi import FastAPI, Request
from pydantic import BaseModel

from misir.embed.backends import open_backend
from misir.embed.models import resolve_model
from misir.embed.text import finish, merge_windows
from misir.settings import Settings

DATA_API = os.environ.get("DATA_API", "")
IS_SHARED = os.environ.get("CLIENT", "shared") == "shared"


class Page(BaseModel):
    url: str
    title: str
    content: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.encode = open_encoder() or our_encoder()
    async with httpx.AsyncClient(base_url=DATA_API) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


def our_encoder() -> Callable[[str], Any]:
    settings = Settings(_env_file=None)
    spec = resolve_model(settings)
    backend = open_backend(spec, settings)

    def encode(text: str) -> Any:
        pooled = backend.run(backend.split(text, "", 8)[0])
        return merge_windows(finish(pooled, dimension=spec.dimension, is_layer_normed=spec.layer_norm))

    return encode


def embed_text(app: FastAPI, text: str) -> str:
    return "[" + ",".join(map(str, app.state.encode(text).tolist())) + "]"


async def ask(app: FastAPI, name: str, **values: Any) -> list[dict[str, Any]]:
    if IS_SHARED:
        return await _post(app.state.client, name, values)
    async with httpx.AsyncClient(base_url=DATA_API) as client:
        return await _post(client, name, values)


async def _post(client: httpx.AsyncClient, name: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await client.post(f"/rpc/{name}", json=values)
    answer.raise_for_status()
    return list(answer.json())


async def capture_one(app: FastAPI, page: Page) -> dict[str, Any]:
    vector = await asyncio.to_thread(embed_text, app, f"{page.title}\n\n{page.content}")
    await ask(app, "find_artifact", url=page.url)
    topics = await ask(app, "nearest_topic", vector=vector)
    topic_id = topics[0]["id"] if topics else None
    made = await ask(app, "insert_artifact", **page.model_dump(), topic_id=topic_id)
    artifact_id = made[0]["id"]
    signal = await ask(app, "insert_signal", artifact_id=artifact_id, topic_id=topic_id, vector=vector)
    return {"artifact_id": artifact_id, "signal_id": signal[0]["id"]}


@app.post("/capture")
async def capture(page: Page, request: Request) -> dict[str, Any]:
    return await capture_one(request.app, page)


@app.post("/batch")
async def batch(pages: list[Page], request: Request) -> list[dict[str, Any]]:
    return [await capture_one(request.app, page) for page in pages]


@app.get("/search")
async def search(q: str, request: Request) -> list[dict[str, Any]]:
    vector = await asyncio.to_thread(embed_text, request.app, q)
    return await ask(request.app, "search", vector=vector)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "healthy"}
