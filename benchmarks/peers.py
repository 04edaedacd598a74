"""What a user would take instead: `python benchmarks/peers.py [--full] [--json]`. Needs the extra `peers`.

Chroma, LanceDB, Qdrant and mem0 as libraries on local disk, and Misir through its own functions on a PostgreSQL of its own; all take turns in
one run. They keep a vector and a payload; Misir also keeps words, the log, and learns. Recall@10 against numpy stands beside every latency.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from baseline.sentences import open_model
from ground import ME, VOCABULARY, Row, interleaved, plain_row, postgres, ratio_row, resources, run
from pgvector.psycopg import register_vector
from search import World

from misir.capture.batch import capture_batch
from misir.capture.pipeline import capture
from misir.capture.schemas import CaptureRequest
from misir.resources import Resources
from misir.spaces.create import create_space
from misir.spaces.schemas import NewSpace

N_ALL, N_MINE, K = 10_000, 2_000, 10
N_BATCH = 100


class Peer:
    """A vector store: rows of a tenant go in, the nearest of one tenant come out."""

    name: str

    def add(self, tenant: str, ids: list[int], vectors: np.ndarray) -> None:
        raise NotImplementedError

    def search(self, tenant: str, query: np.ndarray) -> list[int]:
        raise NotImplementedError


class Chroma(Peer):
    name = "chromadb"

    def __init__(self, folder: Path) -> None:
        import chromadb  # noqa: PLC0415 - an extra

        client = chromadb.PersistentClient(path=str(folder / "chroma"))
        self.rows = client.create_collection(
            "pages", metadata={"hnsw:space": "cosine"}, embedding_function=None
        )

    def add(self, tenant: str, ids: list[int], vectors: np.ndarray) -> None:
        self.rows.add(
            ids=[str(one) for one in ids], embeddings=vectors, metadatas=[{"tenant": tenant}] * len(ids)
        )

    def search(self, tenant: str, query: np.ndarray) -> list[int]:
        found = self.rows.query(query_embeddings=[query], n_results=K, where={"tenant": tenant}, include=[])
        return [int(one) for one in found["ids"][0]]


class Lance(Peer):
    name = "lancedb"

    def __init__(self, folder: Path) -> None:
        import lancedb  # noqa: PLC0415 - an extra
        import pyarrow as pa  # noqa: PLC0415

        vector = pa.list_(pa.float32(), 384)
        schema = pa.schema([("id", pa.int64()), ("tenant", pa.string()), ("vector", vector)])
        self.rows = lancedb.connect(folder / "lance").create_table("pages", schema=schema)

    def add(self, tenant: str, ids: list[int], vectors: np.ndarray) -> None:
        pairs = zip(ids, vectors, strict=True)
        self.rows.add([{"id": one, "tenant": tenant, "vector": vector} for one, vector in pairs])

    def search(self, tenant: str, query: np.ndarray) -> list[int]:
        asked = self.rows.search(query).metric("cosine").where(f"tenant = '{tenant}'", prefilter=True)
        return asked.limit(K).select(["id", "_distance"]).to_arrow()["id"].to_pylist()


class Qdrant(Peer):
    name = "qdrant local"

    def __init__(self, folder: Path) -> None:
        from qdrant_client import QdrantClient, models  # noqa: PLC0415 - an extra

        self.models = models
        self.client = QdrantClient(path=str(folder / "qdrant"))
        size = models.VectorParams(size=384, distance=models.Distance.COSINE)
        self.client.create_collection("pages", vectors_config=size)

    def add(self, tenant: str, ids: list[int], vectors: np.ndarray) -> None:
        pairs = zip(ids, vectors.tolist(), strict=True)
        points = [self.models.PointStruct(id=one, vector=v, payload={"tenant": tenant}) for one, v in pairs]
        self.client.upsert("pages", points)

    def search(self, tenant: str, query: np.ndarray) -> list[int]:
        same = self.models.FieldCondition(key="tenant", match=self.models.MatchValue(value=tenant))
        wanted = self.models.Filter(must=[same])
        found = self.client.query_points(
            "pages", query=query, limit=K, query_filter=wanted, with_payload=False
        )
        return [int(one.id) for one in found.points]


def open_mem0(folder: Path) -> Callable[[str], Any] | None:
    """mem0's `add` of a text as it is, without its language model: its own embedder and stores, on local disk."""
    os.environ |= {"MEM0_TELEMETRY": "False", "MEM0_DIR": str(folder / "mem0")}
    try:
        from mem0 import Memory  # noqa: PLC0415 - an extra
    except ImportError:
        print("mem0 is not installed: pip install 'misir[peers]'")
        return None
    open_model().save(str(folder / "model"))
    store = {"path": str(folder / "mem0" / "store"), "on_disk": True, "embedding_model_dims": 384}
    model = {"model": str(folder / "model"), "embedding_dims": 384}
    memory = Memory.from_config(
        {
            "vector_store": {"provider": "qdrant", "config": store},
            "embedder": {"provider": "huggingface", "config": model},
            "llm": {"provider": "openai", "config": {"api_key": "never asked"}},
            "history_db_path": str(folder / "mem0" / "history.db"),
        }
    )
    return lambda text: memory.add(text, user_id=str(ME), infer=False)


def open_peers(folder: Path) -> list[Peer]:
    found: list[Peer] = []
    for kind in (Chroma, Lance, Qdrant):
        try:
            found.append(kind(folder))
        except ImportError:
            print(f"{kind.name} is not installed: pip install 'misir[peers]'")
    return found


def bound(work: Callable[[int], Any]) -> Callable[[int], Awaitable[Any]]:
    async def go(number: int) -> None:
        work(number)

    return go


async def searches(world: World, peers: list[Peer], n: int) -> list[Row]:
    """One tenant's nearest ten, among the rows of many."""
    ids, vectors = world.rows[ME]
    queries = [world.query(is_held=True) for _ in range(n)]
    found: dict[str, list[list[int]]] = {}

    def keep(name: str, number: int, hits: list[int]) -> None:
        found.setdefault(name, [[] for _ in queries])[number] = hits[:K]

    async def ours(number: int) -> None:
        keep("misir", number, await world.search(ME, queries[number]))

    def theirs(peer: Peer) -> Callable[[int], Awaitable[Any]]:
        return bound(lambda number: keep(peer.name, number, peer.search(str(ME), queries[number])))

    ways = {"misir": ours} | {peer.name: theirs(peer) for peer in peers}
    for way in ways.values():
        await way(0)
    taken = await interleaved(n, **ways)
    rows = []
    for name, seconds in taken.items():
        recall = np.mean(
            [len({*hits} & {*world.dot(ME, q, K)}) / K for hits, q in zip(found[name], queries, strict=True)]
        )
        what = f"search in {len(ids):,} rows of {world.n_all:,}"
        rows.append(plain_row(f"{what}, {name}", float(np.median(seconds)) * 1e3, "ms"))
        rows.append(plain_row(f"{what}, {name}: recall@{K}", float(recall), "share"))
    assert vectors.shape[0] == len(ids)
    return rows + _against(taken, "search", {"chromadb": 5, "lancedb": 4, "qdrant local": 20})


def _against(taken: dict[str, list[float]], what: str, targets: dict[str, float]) -> list[Row]:
    """How many times as long the others take; medians of fifths of the rounds."""
    size = max(len(taken["misir"]) // 5, 1)
    groups = [slice(at, at + size) for at in range(0, size * 5, size)]
    medians = {
        name: [float(np.median(all_[one])) for one in groups if all_[one]] for name, all_ in taken.items()
    }
    rows = []
    for name, theirs in medians.items():
        if name == "misir":
            continue
        row = ratio_row(f"{what}: {name} over Misir", theirs, medians["misir"], None)
        goal = targets.get(name)
        verdict = None if goal is None else "met" if row["value"] >= goal else "missed"
        rows.append(row | {"target": None if goal is None else f"≥ {goal}", "verdict": verdict})
    return rows


class Batches:
    """A hundred pages with their vectors, or with texts of 50 words that everybody embeds with our model."""

    def __init__(self, res: Resources, space_id: int) -> None:
        self.res, self.space_id = res, space_id
        self.chance = np.random.default_rng(7)
        self.numbers = iter(range(10**7, 10**9))

    def texts(self) -> list[str]:
        return [" ".join(self.chance.choice(VOCABULARY, 50)) for _ in range(N_BATCH)]

    def titles(self) -> list[str]:
        return [" ".join(self.chance.choice(VOCABULARY, 8)) for _ in range(N_BATCH)]

    def vectors(self) -> np.ndarray:
        made = self.chance.normal(0, 1, (N_BATCH, self.res.embedder.dimension)).astype(np.float32)
        return made / np.linalg.norm(made, axis=1)[:, None]

    async def take_in(self, parts: list[dict[str, Any]]) -> None:
        pages = [
            {
                "space_id": self.space_id,
                "url": f"https://p.example/{next(self.numbers)}",
                "title": title,
                **part,
            }
            for title, part in zip(self.titles(), parts, strict=True)
        ]
        answer = await capture_batch(self.res, ME, pages, datetime.now(UTC))
        assert answer.count == N_BATCH

    async def supplied(self, _: int) -> None:
        model = self.res.embedder.fingerprint
        await self.take_in([{"embedding": one.tolist(), "embedding_model": model} for one in self.vectors()])

    async def embedded(self, _: int) -> None:
        await self.take_in([{"content": text} for text in self.texts()])

    async def one(self, n_words: int) -> None:
        """One capture, one client, through the whole pipeline."""
        page = {"space_id": self.space_id, "url": f"https://p.example/{next(self.numbers)}"}
        text = " ".join(self.chance.choice(VOCABULARY, n_words))
        answer = await capture(
            self.res, ME, CaptureRequest(**page, title=text[:60], content=text), datetime.now(UTC)
        )
        assert answer.artifact_id

    def add(self, peer: Peer) -> Callable[[int], Awaitable[Any]]:
        return bound(
            lambda _: peer.add(str(ME), [next(self.numbers) for _ in range(N_BATCH)], self.vectors())
        )

    def add_texts(self, peer: Peer) -> Callable[[int], Awaitable[Any]]:
        async def go(_: int) -> None:
            made = [await self.res.embedder.embed_text(text) for text in self.texts()]
            ids = [next(self.numbers) for _ in range(N_BATCH)]
            peer.add(str(ME), ids, np.array([one.vector for one in made]))

        return go


async def batches(res: Resources, peers: list[Peer], n: int) -> list[Row]:
    space = await create_space(res, ME, NewSpace(name="peers"), datetime.now(UTC))
    them = Batches(res, space.id)
    supplied = await interleaved(n, misir=them.supplied, **{peer.name: them.add(peer) for peer in peers})
    chroma = {peer.name: them.add_texts(peer) for peer in peers if peer.name == "chromadb"}
    embedded = await interleaved(n, misir=them.embedded, **chroma)
    what = f"batch of {N_BATCH} with vectors"
    rows = [
        plain_row(f"{what}, {name}", float(np.median(taken)) * 1e3, "ms") for name, taken in supplied.items()
    ]
    rows += _against(supplied, what, {})
    return rows + _against(embedded, f"batch of {N_BATCH} × 50 words, one text a call", {"chromadb": 1.2})


async def captures(res: Resources, remember: Callable[[str], Any], n: int) -> list[Row]:
    """One page after the other, beside mem0."""
    space = await create_space(res, ME, NewSpace(name="mem0"), datetime.now(UTC))
    them, rows = Batches(res, space.id), list[Row]()
    for n_words in (50, 200):
        theirs = bound(lambda _, n=n_words: remember(" ".join(them.chance.choice(VOCABULARY, n))))
        taken = await interleaved(n, misir=lambda _, n=n_words: them.one(n), mem0=theirs)
        what = f"capture of {n_words} words"
        rows += [
            plain_row(f"{what}, {name}", float(np.median(seconds)) * 1e3, "ms")
            for name, seconds in taken.items()
        ]
        rows += _against(taken, what, {"mem0": 2})
    return rows


async def measure(*, is_full: bool = False, is_huge: bool = False) -> list[Row]:  # noqa: ARG001 - one size
    """Rows of {name, value, unit, target, verdict}."""
    with (
        tempfile.TemporaryDirectory() as name,
        postgres() as url,
        psycopg.connect(url, autocommit=True) as owner,
    ):
        register_vector(owner)
        peers = await asyncio.to_thread(open_peers, Path(name))
        async with resources(url) as res:
            world = World(owner, res)
            world.add(ME, N_MINE)
            while world.n_all < N_ALL:
                world.add(uuid.uuid4(), 1_000)
            owner.execute("vacuum analyze misir.embedding, misir.artifact")
            for peer in peers:
                for tenant, (ids, vectors) in world.rows.items():
                    for start in range(0, len(ids), 1_000):
                        peer.add(
                            str(tenant), ids[start : start + 1_000].tolist(), vectors[start : start + 1_000]
                        )
            started = time.perf_counter()
            rows = await searches(world, peers, 100 if is_full else 40)
            rows += await batches(res, peers, 20 if is_full else 10)
            remember = await asyncio.to_thread(open_mem0, Path(name))
            if remember is not None:
                rows += await captures(res, remember, 60 if is_full else 30)
            return [*rows, plain_row("measuring, all told", time.perf_counter() - started, "s")]


if __name__ == "__main__":
    run(measure, "peers", (__doc__ or "").partition("\n")[0])
