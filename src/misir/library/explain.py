"""Why is this artifact where it is? Every number behind its place, and the same in a sentence."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from misir.embed.calibration import Calibration
from misir.errors import not_found
from misir.library.views import SQL
from misir.orient.assign import FitGrade, Withheld, calibrated, fit_grade
from misir.plumbing.db import Tx
from misir.resources import Resources

Row = dict[str, Any]
Names = Mapping[tuple[str, int], str]


class ConsideredTopic(BaseModel):
    """A topic that was considered, and what spoke for it."""

    subspace_id: int
    name: str | None
    similarity: float = Field(description="Cosine of the text and the topic's centroid, then.")
    boost: float = Field(description="Added because one of its markers matched.")
    probability: float


class NamedMarker(BaseModel):
    id: int
    label: str | None


class DecisionNumbers(BaseModel):
    """What the last signal decided, with the numbers it rested on."""

    signal_id: int
    seq: int
    subspace_id: int | None
    assigned_by: str | None
    similarity: float | None
    relevance: float | None = Field(description="The similarity on the model's scale, 0..1.")
    raw_margin: float | None
    probability: float
    none_probability: float | None = Field(description="Of belonging to none of the topics.")
    fit: float
    grade: FitGrade
    candidates: list[ConsideredTopic] = Field(description="The likeliest, best first.")
    candidate_count: int
    matched_markers: list[NamedMarker]
    engagement_level: str
    base_weight: float
    taught_weight: float = Field(description="What this signal taught its topic.")
    updates_centroid: bool
    withheld: list[str] = Field(description="Why it taught nothing, in words; empty when it may teach.")
    config_version: int
    occurred_at: datetime
    created_at: datetime


class MoveOfArtifact(BaseModel):
    """A correction that moved it. A standing one after the last signal has the last word."""

    correction_id: int
    kind: str
    actor: str
    from_subspace_id: int | None
    to_subspace_id: int | None
    undone: bool
    created_at: datetime


class Explanation(BaseModel):
    artifact_id: int
    subspace_id: int | None
    subspace_name: str | None
    assigned_by: str | None
    similarity: float | None = Field(description="To its topic, when it was last measured.")
    probability: float | None
    fit: float
    summary: str = Field(description="The same in a sentence.")
    decision: DecisionNumbers
    corrections: list[MoveOfArtifact]
    calibration: dict[str, float] = Field(description="What the model's cosines mean now (docs/maths.md).")


async def explain(res: Resources, user_id: uuid.UUID, artifact_id: int) -> Explanation:
    """One artifact's place, explained. 404 unknown artifact."""
    asked = {"artifact_id": artifact_id}
    async with res.database.as_user(user_id) as tx:
        found = await tx.ask(SQL.get_artifact, asked)
        decisions = await tx.ask(SQL.load_decision, asked)
        moves = await tx.ask(SQL.list_moves_of, asked)
        artifact = await found.fetchone()
        if artifact is None:
            raise not_found("The artifact")
        decision = await decisions.fetchone() or {}
        corrections = [MoveOfArtifact(**row) for row in await moves.fetchall()]
        names = await _load_names(tx, artifact, decision)
    numbers = _numbers(res, decision, names)
    return Explanation(
        artifact_id=artifact_id,
        subspace_id=artifact["subspace_id"],
        subspace_name=names.get(("topic", artifact["subspace_id"] or 0)),
        assigned_by=artifact["assigned_by"],
        similarity=artifact["similarity"],
        probability=artifact["probability"],
        fit=artifact["fit"] or 0.0,
        summary=summarise(artifact, numbers, corrections, names),
        decision=numbers,
        corrections=corrections,
        calibration=asdict(res.embedder.calibration),
    )


async def _load_names(tx: Tx, artifact: Row, decision: Row) -> Names:
    topic_ids = {one["subspace_id"] for one in decision["candidates"]}
    topic_ids |= {artifact["subspace_id"], decision["subspace_id"]} - {None}
    wanted = {"topic_ids": list(topic_ids), "marker_ids": decision["matched_marker_ids"]}
    rows = await (await tx.ask(SQL.name_topics_and_markers, wanted)).fetchall()
    return {(row["what"], row["id"]): row["name"] for row in rows}


def _numbers(res: Resources, decision: Row, names: Names) -> DecisionNumbers:
    fit = decision["fit"] or 0.0
    shown = {
        "fit": fit,
        "probability": decision["probability"] or 0.0,
        "relevance": _relevance(decision["similarity"], res.embedder.calibration),
        "grade": fit_grade(fit, res.config),
        "candidates": [
            ConsideredTopic(**one, name=names.get(("topic", one["subspace_id"])))
            for one in decision["candidates"]
        ],
        "matched_markers": [
            NamedMarker(id=one, label=names.get(("marker", one))) for one in decision["matched_marker_ids"]
        ],
        "withheld": [Withheld[reason.upper()].value for reason in decision["withheld"]],
    }
    return DecisionNumbers(**{**decision, **shown})


def _relevance(similarity: float | None, calibration: Calibration) -> float | None:
    return None if similarity is None else float(calibrated(similarity, calibration.mu, calibration.tau))


def summarise(
    artifact: Row, decision: DecisionNumbers, corrections: Sequence[MoveOfArtifact], names: Names
) -> str:
    """Who had the last word, and why."""
    name = names.get(("topic", artifact["subspace_id"] or 0))
    standing = next((move for move in corrections if not move.undone), None)
    if artifact["assigned_by"] == "user":
        where = f"in “{name}”" if name else "in no topic"
        return f"A person put it {where}; the engine leaves it there."
    if standing is not None and standing.to_subspace_id == artifact["subspace_id"] != decision.subspace_id:
        where = f"into “{name}”" if name else "out of its topic"
        return f"A correction ({standing.kind}) moved it {where} after it was captured."
    if decision.assigned_by == "client" and name:
        return f"The client named “{name}”; its similarity there is {decision.similarity or 0:.2f}."
    if name is None:
        return _why_none(decision)
    lead = f"a lead of {decision.fit:.2f} over the next likeliest ({decision.grade.value})"
    return f"“{name}” was likeliest of {decision.candidate_count}, p = {decision.probability:.2f}, {lead}."


def _why_none(decision: DecisionNumbers) -> str:
    if not decision.candidates:
        return "There was no topic to compare it with."
    best = decision.candidates[0]
    return (
        f"None of {decision.candidate_count} topics was likelier than none at all: the nearest, "
        f"“{best.name}”, has similarity {best.similarity:.2f} and p = {best.probability:.2f}."
    )
