"""A library on its way to another model: embed, replay, swap, measure again. Repeated, it goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import psycopg

from misir.embed.embedder import Embedder
from misir.embed.models import ModelSpec
from misir.errors import MisirError, conflict
from misir.plumbing.connect import connect, learn_types
from misir.plumbing.db import Database
from misir.plumbing.migrate import migrate
from misir.plumbing.replica import Connection
from misir.reembed.replay import Folded, Space, fold_space, list_spaces, list_stale
from misir.reembed.swap import NotYetError, as_service, swap
from misir.reembed.texts import (
    SQL,
    OnStep,
    Work,
    begin,
    count_work,
    embed_pending,
    forget,
    sample_pending,
)
from misir.resources import Resources, build_resources, read_stored, usable
from misir.settings import Settings
from misir.spaces.corrections import SQL as LOG
from misir.spaces.corrections import grade

LOCK_KEY: Final = 0x7265656D626564  # "reembed"
N_SAMPLE: Final = 8
N_ROUNDS: Final = 3
"""Replays of what was captured during the last replay; what is left then is replayed while others wait."""

GRADE_AT_ONCE: Final = 500

Bar = Callable[[str, int], AbstractContextManager[OnStep]]
"""Shows a step of so many parts; what it gives hears of each that is done."""


@dataclass(frozen=True, slots=True)
class StoredModel:
    """The model the library is of, by what the database says: it need not be on this machine."""

    fingerprint: str
    dimension: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a library stands: its model, and whether what follows a swap has still to be done."""

    model: StoredModel
    is_unfinished: bool
    is_under_way: bool


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a move would do, and how long one text takes here, as measured on a few of them."""

    work: Work
    seconds_per_text: float | None

    @property
    def seconds(self) -> float | None:
        left = self.work.total - self.work.done
        return None if self.seconds_per_text is None else left * self.seconds_per_text


@asynccontextmanager
async def alone(url: str) -> AsyncIterator[Connection]:
    """A connection of the schema's owner that can become the service role. 409 when another move runs."""
    try:
        owner = await connect(url, await learn_types(url))
    except psycopg.OperationalError:
        raise MisirError(503, "database-unavailable", "The database cannot be reached.") from None
    try:
        await owner.set_autocommit(True)
        row = await (await owner.execute(SQL.begin_alone, {"key": LOCK_KEY})).fetchone() or {}
        if not row["is_alone"]:
            raise conflict("Another `misir reembed` is at it: wait until it is done, or end it.")
        await _become_able(owner)
        yield owner
    finally:
        await owner.close()


async def _become_able(owner: Connection) -> None:
    """Only a superuser may become a role it was not granted; an owner that made the role may grant it."""
    try:
        await owner.execute("set role misir_service")
    except psycopg.errors.InsufficientPrivilege:
        await owner.execute("grant misir_service to current_user")
    else:
        await owner.execute("reset role")


async def read_standing(owner: Connection) -> Standing:
    rows = await (await owner.execute(SQL.read_models)).fetchall()
    models: dict[str, Any] = {row["key"]: row["value"] for row in rows}
    if "embedding_model" not in models:
        raise MisirError(503, "not-migrated", "The database has no model yet: run `misir migrate`.")
    way = models.get("reembedding")
    is_swapped = way is not None and way.get("is_swapped", False)
    return Standing(
        StoredModel(**models["embedding_model"]), is_swapped, is_under_way=way is not None and not is_swapped
    )


@asynccontextmanager
async def opened(
    settings: Settings, embedder: Embedder, model: StoredModel, *, with_model: bool = True
) -> AsyncIterator[Resources]:
    """The library as it is, of `model`, with the embedder of the model to come."""
    res = build_resources(settings, embedder=embedder)

    def use_numbers(stored: Mapping[str, Any]) -> None:
        """The engine's own; a calibration is of the model that leaves, unless that is this one."""
        kept = stored if model.fingerprint == embedder.fingerprint else {}
        config, _ = read_stored({"engine": stored.get("engine", {})}, embedder.calibration)
        _, calibration = read_stored(dict(kept), embedder.calibration)
        res.use_numbers(config, calibration if "calibration" in kept else None)

    res.database = Database(
        res.locate_database, model, locate_service=res.locate_service, use_numbers=use_numbers, pool_size=1
    )
    await res.start(with_model=with_model)
    async with usable(res):
        yield res


async def forecast(res: Resources) -> Forecast:
    """Counts, and embeds a few texts to see how long one takes; keeps nothing."""
    async with res.database.as_service(patience_s=None) as tx:
        work = await count_work(tx)
    texts = await sample_pending(res.database.as_service, N_SAMPLE)
    if not texts:
        return Forecast(work, None)
    await res.embedder.embed_texts_batch(["a first text, so that the model is warm"])
    started = time.perf_counter()
    await res.embedder.embed_texts_batch(texts)
    return Forecast(work, (time.perf_counter() - started) / len(texts))


async def abandon(owner: Connection) -> None:
    """Drop what was prepared."""
    async with owner.transaction(), as_service(owner) as tx:
        await forget(tx)


async def move(owner: Connection, res: Resources, was: StoredModel, bar: Bar) -> Work:
    """All of it up to the swap, after which the library is of `res.embedder`'s model."""
    async with res.database.as_service(patience_s=None) as tx:
        await begin(tx, res.embedder.spec)
    folded: Folded = {}
    while True:
        async with res.database.as_service(patience_s=None) as tx:
            work = await count_work(tx)
        with bar("Embedding", work.total - work.done) as on_step:
            touched = await embed_pending(res.database.as_service, res.embedder, on_step)
        for space_id in touched:
            folded.pop(space_id, None)
        await _replay(res, folded, bar)
        try:
            with bar("Swapping", 1):
                await swap(owner, res, folded, was.fingerprint, datetime.now(UTC))
        except NotYetError:
            continue
        return work


async def _replay(res: Resources, folded: Folded, bar: Bar) -> None:
    """Replay every space, and those again in which something happens meanwhile."""
    for _ in range(N_ROUNDS):
        async with res.database.as_service(patience_s=None) as tx:
            stale = list_stale(await list_spaces(tx), folded)
        if not stale:
            return
        with bar("Replaying", len(stale)) as on_step:
            for space in stale:
                async with res.database.as_service(space.user_id, patience_s=None) as tx:
                    folded[space.id] = (space, await fold_space(tx, res, space))
                on_step(1)


async def finish(res: Resources, url: str, spec: ModelSpec, bar: Bar) -> None:
    """After the swap: the vectors' index, and how well each artifact fits where it is, in the new cosines."""
    await asyncio.to_thread(migrate, url, model=spec)
    async with res.database.as_service(patience_s=None) as tx:
        spaces = await list_spaces(tx)
    with bar("Measuring fits", len(spaces)) as on_step:
        for space in spaces:
            await _grade(res, space)
            on_step(1)
    async with res.database.as_service() as tx:
        await tx.ask(SQL.forget_models, keys=["reembedding"])


async def _grade(res: Resources, space: Space) -> None:
    after_id = 0
    while True:
        async with res.database.as_service(space.user_id, patience_s=None) as tx:
            await tx.ask(LOG.lock_spaces_for_update, space_ids=[space.id])
            asked = {"space_id": space.id, "after_id": after_id, "limit": GRADE_AT_ONCE}
            rows = await (await tx.ask(SQL.list_artifacts, asked)).fetchall()
            if not rows:
                return
            ids = [row["id"] for row in rows]
            await grade(tx, res, space.id, ids)
            await tx.ask(SQL.tell_fractions, artifact_ids=ids, model=res.embedder.fingerprint)
            after_id = ids[-1]
