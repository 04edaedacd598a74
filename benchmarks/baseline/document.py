"""The pipeline of the founding document, as a yardstick: `uvicorn document:app`.

One `embed_text` for each item, then one HTTP hop for each of four statements. CLIENT=shared keeps one HTTP client,
CLIENT=request makes one for every request, as the prototype does. The model is ours, one text a call on a thread of its own:
kinder to it than sentence-transformers would be. No token is verified, nothing is limited or counted.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
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
    settings = Settings(_env_file=None)
    spec = resolve_model(settings)
    app.state.spec, app.state.backend = spec, open_backend(spec, settings)
    async with httpx.AsyncClient(base_url=DATA_API) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


def embed_text(app: FastAPI, text: str) -> str:
    spec, backend = app.state.spec, app.state.backend
    windows, _ = backend.split(text, "", 8)
    pooled = backend.run(windows)
    vector = merge_windows(finish(pooled, dimension=spec.dimension, is_layer_normed=spec.layer_norm))
    return "[" + ",".join(map(str, vector.tolist())) + "]"


@asynccontextmanager
async def client_of(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    if IS_SHARED:
        yield app.state.client
        return
    async with httpx.AsyncClient(base_url=DATA_API) as client:
        yield client


async def ask(client: httpx.AsyncClient, name: str, **values: Any) -> list[dict[str, Any]]:
    answer = await client.post(f"/rpc/{name}", json=values)
    answer.raise_for_status()
    return list(answer.json())


async def capture_one(app: FastAPI, client: httpx.AsyncClient, page: Page) -> dict[str, Any]:
    vector = await asyncio.to_thread(embed_text, app, f"{page.title}\n\n{page.content}")
    await ask(client, "find_artifact", url=page.url)
    topics = await ask(client, "nearest_topic", vector=vector)
    topic_id = topics[0]["id"] if topics else None
    made = await ask(client, "insert_artifact", **page.model_dump(), topic_id=topic_id)
    artifact_id = made[0]["id"]
    signal = await ask(client, "insert_signal", artifact_id=artifact_id, topic_id=topic_id, vector=vector)
    return {"artifact_id": artifact_id, "signal_id": signal[0]["id"]}


@app.post("/capture")
async def capture(page: Page, request: Request) -> dict[str, Any]:
    async with client_of(request.app) as client:
        return await capture_one(request.app, client, page)


@app.post("/batch")
async def batch(pages: list[Page], request: Request) -> list[dict[str, Any]]:
    async with client_of(request.app) as client:
        return [await capture_one(request.app, client, page) for page in pages]


@app.get("/search")
async def search(q: str, request: Request) -> list[dict[str, Any]]:
    vector = await asyncio.to_thread(embed_text, request.app, q)
    async with client_of(request.app) as client:
        return await ask(client, "search", vector=vector)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "healthy"}
