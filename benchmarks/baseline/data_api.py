"""A data API as the founding document's pipeline meets it: one HTTP hop a statement, JSON in and out.

Four statements, each in a transaction of its own, on tables of its own (schema `document`): vectors travel as text, the
centroid is moved by a trigger, as the document has it. `uvicorn data_api:app`, DOCUMENT_DATABASE_URL says where.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

SCHEMA = b"""
create schema if not exists document;
create table document.topic (id bigint primary key, centroid vector(384));
create table document.artifact (
  id bigint generated always as identity primary key, url text unique, title text, content text, topic_id bigint);
create table document.signal (
  id bigint generated always as identity primary key, artifact_id bigint, topic_id bigint, embedding vector(384), weight real);
create index on document.signal using hnsw (embedding vector_cosine_ops);
create function document.learn() returns trigger language plpgsql as $$
begin
  update document.topic t set centroid = (
    select avg(s.embedding) from document.signal s where s.topic_id = new.topic_id) where t.id = new.topic_id;
  return new;
end $$;
create trigger learn after insert on document.signal for each row execute function document.learn();
"""
STATEMENTS = {
    "find_artifact": "select id from document.artifact where url = %(url)s",
    "nearest_topic": "select id, 1 - (centroid <=> %(vector)s::vector) as similarity from document.topic "
    "order by centroid <=> %(vector)s::vector limit 1",
    "insert_artifact": "insert into document.artifact (url, title, content, topic_id) "
    "values (%(url)s, %(title)s, %(content)s, %(topic_id)s) returning id",
    "insert_signal": "insert into document.signal (artifact_id, topic_id, embedding, weight) "
    "values (%(artifact_id)s, %(topic_id)s, %(vector)s::vector, 1) returning id",
    "search": "select a.id, a.title, a.url, 1 - (s.embedding <=> %(vector)s::vector) as similarity "
    "from document.signal s join document.artifact a on a.id = s.artifact_id "
    "order by s.embedding <=> %(vector)s::vector limit 20",
}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    url = os.environ["DOCUMENT_DATABASE_URL"]
    async with AsyncConnectionPool(url, min_size=4, max_size=8, kwargs={"row_factory": dict_row}) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/rpc/{name}")
async def call(name: str, request: Request) -> list[dict[str, Any]]:
    values = await request.json()
    async with request.app.state.pool.connection() as conn:
        return await (await conn.execute(STATEMENTS[name], values)).fetchall()


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "healthy"}
