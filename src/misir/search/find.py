"""Search: embed the question, ask both legs, fuse, show."""

from __future__ import annotations

import html
import time
import uuid
from dataclasses import dataclass
from typing import Any, Final

from pgvector import HalfVector
from psycopg import AsyncCursor
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from misir.errors import MisirError, not_found
from misir.orient.assign import Calibration
from misir.orient.vectors import Vector
from misir.paging import decode_cursor, encode_cursor
from misir.plumbing.db import Tx
from misir.plumbing.metrics import observe_search
from misir.resources import Resources
from misir.search.fuse import mixed_scores, order_by_score
from misir.search.meaning import SQL, ask_meaning, measure_library, read_meaning
from misir.search.schemas import Leg, Mode, SearchAnswer, SearchHit, SearchRequest
from misir.spaces.views import SQL as SPACES

EXACT_NAME: Final = 10.0
"""What an exact name is worth beside text ranks and mixed scores, more than any; a whole title twice that."""


@dataclass(frozen=True, slots=True)
class _Ranked:
    """Artifact ids, best first, with the score the order follows, and which leg found which."""

    ids: list[int]
    scores: dict[int, float]
    found: dict[Leg, set[int]]

    def matched_by(self, artifact_id: int) -> list[Leg]:
        return [leg for leg, ids in self.found.items() if artifact_id in ids]


async def search(res: Resources, user_id: uuid.UUID, request: SearchRequest) -> SearchAnswer:
    """What is nearest to the question, by meaning, by word, or by both.

        embed the question                  no connection held
        ONE read: semantic leg, keyword leg, what is shown of the hits

    Without a model it answers from keywords and says so, unless mode=semantic, which is then a 503.
    Raises MisirError 404 for a space that is not the user's, 503 without a database.
    """
    started = time.perf_counter()
    vector, mode, notice = await _embed_question(res, request)
    # Planned once: what differs between libraries is their size, and `measure_library` asks for that.
    async with res.database.as_user(user_id, plans="force_generic_plan", reads_only=True) as tx:
        await _require_spaces(tx, request.spaces)
        ranked, newest_id = await _rank(tx, res, request, vector, mode)
        page, next_cursor = _page(ranked, request, newest_id)
        shown = await _ask_hits(tx, res, request, vector, page) if page else None
    # Fetched after the block: the rows have come with the commit.
    hits = {} if shown is None else {row["artifact_id"]: row for row in await shown.fetchall()}
    observe_search(mode, time.perf_counter() - started)
    results = [_hit(hits[one], ranked.scores[one], ranked.matched_by(one)) for one in page if one in hits]
    return SearchAnswer(
        results=results,
        query=request.q,
        count=len(results),
        dimension_used=res.embedder.dimension,
        mode_used=mode,
        notice=notice,
        next_cursor=next_cursor,
    )


async def _embed_question(res: Resources, request: SearchRequest) -> tuple[Vector | None, Mode, str | None]:
    try:
        made = await res.embedder.embed_text(request.q, "query")
    except MisirError as error:
        if request.mode == "semantic" or error.slug not in {"model-unavailable", "model-busy"}:
            raise
        notice = None if request.mode == "keyword" else f"Answered from keywords only: {error.detail}"
        return None, "keyword", notice
    return made.vector, request.mode, None


async def _require_spaces(tx: Tx, space_ids: list[int] | None) -> None:
    for cursor in [await tx.ask(SPACES.space_exists, space_id=space_id) for space_id in space_ids or []]:
        if await cursor.fetchone() is None:
            raise not_found("The space")


async def _rank(
    tx: Tx, res: Resources, request: SearchRequest, vector: Vector | None, mode: Mode
) -> tuple[_Ranked, int]:
    """Ask the legs the mode needs, both in one round trip, and put their answers in one order.

    What was captured after the first page is left out of the later ones; the second result says what that is.
    """
    library = await measure_library(tx)
    semantic = keyword = None
    if vector is not None and mode != "keyword":
        semantic = await ask_meaning(tx, res, vector, request.threshold, _filters(request), library)
    if mode != "semantic":
        filters = Jsonb(_keyword_filters(request))
        keyword = await tx.ask(SQL.keyword_hits, q=request.q, k=res.config.search_candidates, filters=filters)
    near = await read_meaning(tx, semantic) if semantic is not None else []
    worded = await keyword.fetchall() if keyword is not None else []
    newest_id = _position(request)[2] if request.cursor else library.newest_id
    near, worded = ([row for row in rows if row["artifact_id"] <= newest_id] for rows in (near, worded))
    return _order(mode, near, worded, res.embedder.calibration, res.config.meaning_share), newest_id


def _order(
    mode: Mode,
    near: list[dict[str, Any]],
    worded: list[dict[str, Any]],
    calibration: Calibration,
    meaning_share: float,
) -> _Ranked:
    """One order from the legs' rows. Where words count exact names come first, of them whole titles."""
    meant = {row["artifact_id"]: row["similarity"] for row in near}
    said = {row["artifact_id"]: row["rank"] for row in worded}
    names = {row["artifact_id"]: EXACT_NAME * (1 + row["is_title"]) for row in worded if row["is_exact"]}
    found: dict[Leg, set[int]] = {"meaning": {*meant}, "words": {*said}, "name": {*names}}
    scores = {"semantic": meant, "keyword": said}.get(mode)
    if scores is None:
        scores = mixed_scores(meant, said, mu=calibration.mu, tau=calibration.tau, share=meaning_share)
    scores = {item: score + names.get(item, 0.0) for item, score in scores.items()}
    return _Ranked(order_by_score(scores), scores, found)


def _filters(request: SearchRequest) -> dict[str, Any]:
    return {
        "space_ids": request.spaces,
        "subspace_id": request.subspace_id,
        "source": request.source,
        "domain": request.domain,
        "engagement_level": request.engagement_level,
        "from_at": request.from_at,
        "to_at": request.to_at,
    }


def _keyword_filters(request: SearchRequest) -> dict[str, Any]:
    """The same filters as the function takes them: only those that are set."""
    filters = _filters(request)
    filters["from"], filters["to"] = filters.pop("from_at"), filters.pop("to_at")
    return {name: value for name, value in filters.items() if value is not None}


def _page(ranked: _Ranked, request: SearchRequest, newest_id: int) -> tuple[list[int], str | None]:
    """Ids of the page, and where the next starts: after a score and an id, so new hits do not shift it."""
    ids = ranked.ids
    if request.cursor:
        score, last_id, _ = _position(request)
        ids = [one for one in ids if (-ranked.scores[one], -one) > (-score, -last_id)]
    page = ids[: request.limit]
    if len(ids) <= request.limit:
        return page, None
    return page, encode_cursor(float(ranked.scores[page[-1]]), page[-1], newest_id)


def _position(request: SearchRequest) -> tuple[float, int, int]:
    score, last_id, newest_id = decode_cursor(request.cursor or "", (float, int, int))
    return score, last_id, newest_id


async def _ask_hits(
    tx: Tx, res: Resources, request: SearchRequest, vector: Vector | None, artifact_ids: list[int]
) -> AsyncCursor[DictRow]:
    return await tx.ask(
        SQL.load_hits,
        q=request.q,
        artifact_ids=artifact_ids,
        vector=None if vector is None else HalfVector(vector),
        model=res.embedder.fingerprint,
    )


def _hit(row: dict[str, Any], score: float, matched_by: list[Leg]) -> SearchHit:
    headline = row.pop("headline")
    similarity = row.pop("similarity")
    return SearchHit(
        **row,
        similarity=similarity or 0.0,
        score=score,
        matched_by=matched_by,
        highlights=highlights(headline),
    )


def highlights(headline: str | None) -> list[str]:
    r"""Passages with a found word, escaped for HTML; the marks are the only tags.

    >>> highlights("a \x02<b>\x03 c\x01no mark here")
    ['a <mark>&lt;b&gt;</mark> c']
    """
    passages = (headline or "").split("\x01")
    return [
        html.escape(passage.strip()).replace("\x02", "<mark>").replace("\x03", "</mark>")
        for passage in passages
        if "\x02" in passage
    ]
