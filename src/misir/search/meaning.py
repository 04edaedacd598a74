"""The semantic leg: exact for most libraries, by the vector index for very large ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pgvector import HalfVector
from psycopg import AsyncCursor
from psycopg.rows import DictRow

from misir.embed.calibration import Calibration, calibration_for
from misir.embed.models import NOMIC
from misir.orient.vectors import Vector
from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources

SQL = load_statements("misir.search", "search.sql")

ALWAYS_EXACT: Final = 3_000
"""Vectors that are scanned whatever else the server holds."""

SCAN_SHARE: Final = 75
"""The larger all libraries together, the longer an exact scan of one is worth it: up to √(75·N) vectors."""

SCANNED_IF_LOST: Final = 200_000
"""Vectors that are scanned when the index found nothing near: a quarter of a second at most."""

NEVER: Final = -2.0
"""Below every cosine."""

NEAR_SHARE: Final = 3
"""Nearest vectors looked at for each hit wanted: some are of changed texts, or of pages in the trash."""


@dataclass(frozen=True, slots=True)
class Library:
    """How large a user's library is and all of them are, about; and the newest artifact id at this moment."""

    n_mine: int
    n_all: int
    newest_id: int

    @property
    def is_scanned(self) -> bool:
        """Is an exact scan cheaper than the index, at the recall that matters?

        >>> Library(3_000, 10_000, 0).is_scanned, Library(3_001, 10_000, 0).is_scanned
        (True, False)
        >>> Library(8_000, 1_000_000, 0).is_scanned, Library(9_000, 1_000_000, 0).is_scanned
        (True, False)
        """
        return self.n_mine <= max(ALWAYS_EXACT, math.isqrt(SCAN_SHARE * self.n_all))

    @property
    def is_scanned_if_lost(self) -> bool:
        return self.n_mine <= SCANNED_IF_LOST


@dataclass(frozen=True, slots=True)
class Meaning:
    """The semantic leg, asked: the cursor of its first answer, and what to ask if that is not enough."""

    cursor: AsyncCursor[DictRow]
    asked: dict[str, Any]
    is_indexed: bool
    is_filtered: bool
    lost_below: float
    """Where the nearest that the index found is no nearer than this cosine, the library is scanned."""

    @property
    def is_whole(self) -> bool:
        """Was every vector asked that the filters let through?"""
        return self.is_filtered and not self.is_indexed


async def measure_library(tx: Tx) -> Library:
    row = await (await tx.ask(SQL.measure_library)).fetchone()
    return Library(**(row or {}))


async def ask_meaning(
    tx: Tx, res: Resources, vector: Vector, threshold: float | None, filters: dict[str, Any], library: Library
) -> Meaning:
    """Send the semantic leg; `read_meaning` waits for its answer."""
    n_wanted = res.config.search_candidates
    asked = {
        **filters,
        "vector": HalfVector(vector),
        "model": res.embedder.fingerprint,
        "max_distance": 1 - mapped_threshold(threshold, res.embedder.calibration),
        "k": n_wanted,
        "n_near": NEAR_SHARE * n_wanted,
    }
    is_filtered = any(value is not None for value in filters.values())
    if library.is_scanned:
        return await _scan(tx, asked, is_filtered=is_filtered)
    await tx.ask(SQL.use_vector_index)
    cursor = await tx.ask(SQL.indexed_hits, asked)
    await tx.ask(SQL.prefer_no_index)
    lost_below = res.embedder.calibration.novelty if library.is_scanned_if_lost else NEVER
    return Meaning(cursor, asked, True, is_filtered, lost_below)


async def _scan(tx: Tx, asked: dict[str, Any], *, is_filtered: bool) -> Meaning:
    cursor = await tx.ask(SQL.semantic_hits if is_filtered else SQL.nearest_hits, asked)
    return Meaning(cursor, asked, False, is_filtered, NEVER)


async def read_meaning(tx: Tx, leg: Meaning) -> list[DictRow]:
    """Hits, nearest first.

    The index finds its way from like to like: among texts that are all unlike the question it gets lost, and
    finds a third of the nearest ten of 100,000. So where nothing is near, all vectors are scanned, and where
    the quick way found fewer than there may be, all of them are asked.
    """
    rows = await leg.cursor.fetchall()
    if rows and rows[0]["similarity"] < leg.lost_below:
        leg = await _scan(tx, leg.asked, is_filtered=leg.is_filtered)
        rows = await leg.cursor.fetchall()
    if not leg.is_whole and _may_lack(rows, leg):
        rows = await (await tx.ask(SQL.semantic_hits, leg.asked)).fetchall()
    least = 1 - leg.asked["max_distance"]
    return [row for row in rows if row["similarity"] >= least]


def _may_lack(rows: Sequence[DictRow], leg: Meaning) -> bool:
    """Could there be more hits than these? Not where there are enough, and not where the end was reached."""
    if len(rows) >= leg.asked["k"]:
        return False
    if not rows:  # nothing is near, or all that is near is of texts that have changed
        return True
    if leg.is_indexed:
        return bool(rows[0]["reach"] <= leg.asked["max_distance"])
    return bool(rows[0]["n_near"] >= leg.asked["n_near"])


def mapped_threshold(threshold: float | None, calibration: Calibration) -> float:
    """A threshold on the production model's scale, as a cosine of this model; without one, this model's own.

    Both scales are lined up at μ (unrelated) and τ (a topic's own): t' = μ' + (t − μ)·(τ' − μ')/(τ − μ).
    """
    if threshold is None:
        return calibration.search_threshold
    production = calibration_for(NOMIC)
    share = (threshold - production.mu) / (production.tau - production.mu)
    return calibration.mu + share * (calibration.tau - calibration.mu)
