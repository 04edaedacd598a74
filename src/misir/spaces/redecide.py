"""What other numbers would have decided: the engine's placements made again, in log order, under them.

What a person or a client decided stays, and so do the births of topics: each signal of the engine's is placed
again among the topics there were at its time.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from psycopg.types.json import Jsonb

from misir.embed.calibration import Calibration
from misir.errors import invalid
from misir.orient.assign import AssignedBy, Assignment, assign, marker_boosts
from misir.orient.config import EngineConfig
from misir.orient.fold import Fold, Lesson
from misir.orient.vectors import Vector, cosines
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources
from misir.spaces.corrections import Move, correct, lock_spaces
from misir.spaces.drift import SQL as REFLECT
from misir.spaces.rebuild import SQL as TOPICS
from misir.spaces.rebuild import starts_of
from misir.spaces.replay import replay_space

SQL = load_statements("misir.spaces", "redecide.sql")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a deployment decides by: the engine's config and its model's calibration."""

    config: EngineConfig
    calibration: Calibration


@dataclass(frozen=True, slots=True)
class Change:
    """An artifact that would be elsewhere."""

    artifact_id: int
    title: str | None
    from_id: int | None
    from_name: str | None
    to_id: int | None
    to_name: str | None


@dataclass(frozen=True, slots=True)
class Redecided:
    """What would change in a space. largest_turn: degrees between a topic's centroid now and then."""

    space_id: int
    n_decisions: int
    n_changed: int
    n_assigned: int
    n_unassigned: int
    largest_turn: float
    moves: list[Change]


@dataclass(slots=True)
class _Stage:
    """The topics on their way through the log, and where each artifact is by now."""

    numbers: Numbers
    folds: list[Fold]
    since: list[int]
    ids: list[int]
    rows: dict[int, int]
    centroids: Vector
    places: dict[int, int | None] = field(default_factory=dict)
    texts: dict[int, int] = field(default_factory=dict)
    n_decisions: int = 0

    def candidates(self, position: int) -> Vector:
        """The centroids of the topics there were; zeros for those to come."""
        is_there = np.array([since <= position for since in self.since], dtype=bool)
        return np.where(is_there[:, None], self.centroids, 0.0).astype(np.float32)

    def learn(self, row: Row, topic_id: int, *, may_teach: bool) -> None:
        at = self.rows[topic_id]
        lesson = Lesson(row["artifact_id"], row["position"], row["base_weight"], row["x"], may_teach)
        self.folds[at].learn(lesson, self.numbers.calibration, self.numbers.config)
        self.centroids[at] = self.folds[at].state.m


def read_numbers(file: Path, config: EngineConfig, calibration: Calibration) -> Numbers:
    """The numbers in a JSON file over those in use, as the next version. 422 for what is none of ours."""
    try:
        said = orjson.loads(file.read_bytes())
        changed = said.get("config", {}) | {"version": config.version + 1}
        measured = {name: float(value) for name, value in said.get("calibration", {}).items()}
        return Numbers(EngineConfig.from_json(config.to_json() | changed), replace(calibration, **measured))
    except OSError as error:
        raise invalid(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise invalid(
            f'{file} must be JSON such as {{"calibration": {{"novelty": 0.3}}}}: {error}'
        ) from error


async def redecide_space(res: Resources, user_id: uuid.UUID, space_id: int, numbers: Numbers) -> Redecided:
    """Place every signal of the engine's again under other numbers; writes nothing."""
    async with res.database.as_user(user_id, patience_s=None) as tx:
        topics = await (await tx.ask(SQL.load_lives, space_id=space_id)).fetchall()
        seeds = await tx.ask(TOPICS.load_seed_vectors, topic_ids=[row["id"] for row in topics])
        links = await (await tx.ask(SQL.load_links, space_id=space_id)).fetchall()
        stage = _set_stage(topics, await seeds.fetchall(), numbers, res.embedder.dimension)
        topics_of: dict[int, list[int]] = {}
        for link in links:
            topics_of.setdefault(link["marker_id"], []).append(link["subspace_id"])
        async for rows in tx.stream(SQL.stream_decisions, space_id=space_id, model=res.embedder.fingerprint):
            for row in rows:
                _decide_again(stage, row | {"x": row["vector"].to_numpy().astype(np.float32)}, topics_of)
        found = await (await tx.ask(SQL.list_engines, space_id=space_id)).fetchall()
    return _describe(space_id, stage, topics, found)


def _set_stage(topics: Sequence[Row], seeds: Sequence[Row], numbers: Numbers, dimension: int) -> _Stage:
    starts = list(starts_of([row["id"] for row in topics], seeds, numbers.config, dimension).values())
    return _Stage(
        numbers,
        folds=[Fold(start, row["learning_rate"]) for start, row in zip(starts, topics, strict=True)],
        since=[row["since"] for row in topics],
        ids=[row["id"] for row in topics],
        rows={row["id"]: index for index, row in enumerate(topics)},
        centroids=np.array([start.m for start in starts], dtype=np.float32).reshape(-1, dimension),
    )


def _decide_again(stage: _Stage, row: Row, topics_of: Mapping[int, Sequence[int]]) -> None:
    """One signal: what a person, a client or a birth decided holds; the rest is decided under the numbers."""
    artifact_id = row["artifact_id"]
    if row["final_by"] == "user" or row["assigned_by"] == "client" or row["is_founder"]:
        topic_id, may_teach = row["home_id"], row["may_teach"]
    else:
        assignment = _assign(stage, row, topics_of)
        topic_id = None if assignment.index is None else stage.ids[assignment.index]
        may_teach = assignment.updates_centroid
        stage.n_decisions += 1
    stage.places[artifact_id], stage.texts[artifact_id] = topic_id, row["embedding_id"]
    if topic_id is not None:
        stage.learn(row, topic_id, may_teach=may_teach)


def _assign(stage: _Stage, row: Row, topics_of: Mapping[int, Sequence[int]]) -> Assignment:
    at_home = stage.places.get(row["artifact_id"])
    stays = at_home is not None and stage.texts.get(row["artifact_id"]) == row["embedding_id"]
    lit = {topic_id for marker in row["matched_marker_ids"] for topic_id in topics_of.get(marker, ())}
    calibration, config = stage.numbers.calibration, stage.numbers.config
    return assign(
        row["x"],
        stage.candidates(row["position"]),
        marker_boosts([topic_id in lit for topic_id in stage.ids], calibration.mu, config),
        calibration,
        config,
        forced=stage.rows[at_home] if stays and at_home is not None else None,
        by=AssignedBy.CLIENT if stays else AssignedBy.ENGINE,
        updates_centroid=row["client_teaches"],
    )


def _describe(space_id: int, stage: _Stage, topics: Sequence[Row], found: Sequence[Row]) -> Redecided:
    names = {row["id"]: row["name"] for row in topics}
    moves = [
        Change(
            row["id"], row["title"], row["subspace_id"], names.get(row["subspace_id"]), to, names.get(to or 0)
        )
        for row in found
        for to in [stage.places.get(row["id"])]
        if row["id"] in stage.places and to != row["subspace_id"]
    ]
    turns = [
        float(cosines(row["centroid"].to_numpy(), stage.centroids[stage.rows[row["id"]]][None])[0])
        for row in topics
        if row["centroid"] is not None and row["state"] != "retired"
    ]
    return Redecided(
        space_id,
        n_decisions=stage.n_decisions,
        n_changed=sum(move.from_id is not None and move.to_id is not None for move in moves),
        n_assigned=sum(move.from_id is None for move in moves),
        n_unassigned=sum(move.to_id is None for move in moves),
        largest_turn=float(np.degrees(np.arccos(min(turns, default=1.0)))),
        moves=moves,
    )


async def apply_redecided(
    res: Resources, user_id: uuid.UUID, found: Sequence[Redecided], numbers: Numbers, now: datetime
) -> None:
    """Keep the numbers, make the moves, as one `consolidate` correction a space, and fold under them.

    Takes lock_spaces_for_update. Other users' topics learn under the new numbers from their next signal on;
    `misir replay --user` folds theirs.
    """
    kept = {"engine": numbers.config.to_json(), "calibration": asdict(numbers.calibration)}
    version = numbers.config.version
    async with res.database.as_service(user_id) as tx:
        for key, value in kept.items():
            await tx.ask(REFLECT.keep_numbers, key=key, value=Jsonb(value), version=version)
    res.use_numbers(numbers.config, numbers.calibration)
    for one in found:
        moves = [
            Move(move.artifact_id, move.from_id, move.to_id, _engine_if(move.to_id), teaches=True)
            for move in one.moves
        ]
        async with res.database.as_user(user_id, patience_s=None) as tx:
            await lock_spaces(tx, [one.space_id])
            if moves:
                payload = {"config_version": numbers.config.version, "dissolved": []}
                await correct(
                    tx, res, one.space_id, "consolidate", moves, now, actor="engine", payload=payload
                )
        await replay_space(res, user_id, one.space_id, now)


def _engine_if(topic_id: int | None) -> AssignedBy | None:
    return None if topic_id is None else AssignedBy.ENGINE
