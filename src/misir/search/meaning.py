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


@dataclass(frozen=True, slots=True)
class Meaning:
    """The semantic leg, asked: the cursor of its first answer, and what to ask if that is not enough."""

    cursor: AsyncCursor[DictRow]
    asked: dict[str, Any]
    is_indexed: bool
    is_whole: bool


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
    if not library.is_scanned:
        await tx.ask(SQL.use_vector_index)
        cursor = await tx.ask(SQL.indexed_hits, asked)
        await tx.ask(SQL.prefer_no_index)
        return Meaning(cursor, asked, is_indexed=True, is_whole=False)
    is_filtered = any(value is not None for value in filters.values())
    cursor = await tx.ask(SQL.semantic_hits if is_filtered else SQL.nearest_hits, asked)
    return Meaning(cursor, asked, is_indexed=False, is_whole=is_filtered)


async def read_meaning(tx: Tx, leg: Meaning) -> list[DictRow]:
    """Hits, nearest first. Where the quick way found fewer than there may be, all vectors are asked."""
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
