"""Search, measured through the product: a throw-away library is captured, and `misir.search` is asked."""

from __future__ import annotations

import asyncio
import hashlib
import math
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np

from misir.capture.pipeline import capture
from misir.capture.schemas import CaptureRequest
from misir.embed.embedder import Embedder
from misir.orient.vectors import Vector
from misir.quality.corpora import Corpus, embed_corpus
from misir.quality.questions import QuestionSet, load_questions
from misir.resources import Resources, opened
from misir.search.find import search
from misir.search.schemas import Mode, SearchRequest
from misir.serve import attached
from misir.settings import Settings, load_settings
from misir.spaces.create import create_space
from misir.spaces.schemas import NewSpace

TOP: Final = 10
"""Hits that count as found."""

QUICK: Final = 120
"""Questions of a set in a quick run; all answers are there to be confused with."""

EMBED_AT_ONCE: Final = 32
MODES: Final[Sequence[Mode]] = get_args(Mode)

TARGETS: Final = {"Python FAQ: question → answer": 0.95, "Python documentation: title → section": 0.88}
"""Least recall@10 of hybrid search, where quality.md names one; on every set it must reach the better leg."""

NAMES: Final = "Names of Python's classes: name → its documentation"


@dataclass(frozen=True)
class Pages:
    """What one space holds, its vectors, and for each question the page that answers it."""

    name: str
    titles: Sequence[str | None]
    texts: Sequence[str]
    vectors: Vector
    questions: Sequence[tuple[str, int]]
    source: str


def measure(corpora: Sequence[Corpus], cache: Path, *, quick: bool) -> dict[str, Any]:
    """recall@10, MRR and nDCG@10 of each mode on each set, at the defaults a user gets."""
    with tempfile.TemporaryDirectory(prefix="misir-quality-") as folder:
        settings = load_settings(
            _env_file=None, MOCK_AUTH=True, MISIR_DATA_DIR=folder, RATE_LIMIT_ENABLED=False
        )
        with attached(settings):
            return asyncio.run(_measure(settings, corpora, cache, quick=quick))


async def _measure(
    settings: Settings, corpora: Sequence[Corpus], cache: Path, *, quick: bool
) -> dict[str, Any]:
    sets: list[dict[str, Any]] = []
    async with opened(settings) as res:
        for pages in _all_pages(corpora, cache, res.embedder):
            space_id, ids = await _capture_all(res, pages)
            asked = pages.questions[:QUICK] if quick else pages.questions
            ranks = {mode: [await _rank(res, space_id, mode, q, ids[i]) for q, i in asked] for mode in MODES}
            sets.append(
                {
                    "name": pages.name,
                    "source": pages.source,
                    "questions": len(asked),
                    "pages": len(ids),
                    "modes": {mode: figures(found) for mode, found in ranks.items()},
                }
            )
        threshold = res.embedder.calibration.search_threshold
    return {"top": TOP, "threshold": threshold, "sets": sets}


def _all_pages(corpora: Sequence[Corpus], cache: Path, embedder: Embedder) -> list[Pages]:
    named = next(corpus for corpus in corpora if corpus.name == "stdlib")
    return [
        *(_answer_pages(one, cache, embedder) for one in load_questions(cache)),
        Pages(
            NAMES,
            named.titles,
            named.texts,
            embed_corpus(named, cache),
            [(title, i) for i, title in enumerate(named.titles)],
            named.source,
        ),
    ]


def _answer_pages(one: QuestionSet, cache: Path, embedder: Embedder) -> Pages:
    vectors = embed_answers(one, cache, embedder)
    questions = [(question, i) for i, question in enumerate(one.questions)]
    return Pages(one.name, [None] * len(one.answers), one.answers, vectors, questions, one.source)


def embed_answers(one: QuestionSet, cache: Path, embedder: Embedder) -> Vector:
    """(n, D) unit vectors of the answers, as captures would get; kept in `cache` by model and texts."""
    digest = hashlib.sha256("\0".join([embedder.fingerprint, *one.answers]).encode()).hexdigest()
    path = cache / f"answers-{digest[:16]}.npy"
    if not path.exists():
        made = [
            made.vector
            for i in range(0, len(one.answers), EMBED_AT_ONCE)
            for made in embedder.embed_texts(one.answers[i : i + EMBED_AT_ONCE])
        ]
        np.save(path, np.stack(made).astype(np.float16))
    return np.asarray(np.load(path), dtype=np.float32)


async def _capture_all(res: Resources, pages: Pages) -> tuple[int, list[int]]:
    """The space, and the artifacts' ids in the pages' order; by the pipeline, with the vectors we know."""
    me, now = res.settings.mock_user_id, datetime.now(UTC)
    space_id = (await create_space(res, me, NewSpace.model_validate({"name": pages.name}), now)).id
    ids = []
    for i, (title, text) in enumerate(zip(pages.titles, pages.texts, strict=True)):
        sent = {
            "space_id": space_id,
            "url": f"https://quality.example/{space_id}/{i}",
            "title": title,
            "content": text,
            "embedding": pages.vectors[i].tolist(),
            "embedding_model": res.embedder.fingerprint,
        }
        request = CaptureRequest.model_validate(sent)
        ids.append((await capture(res, me, request, now)).artifact_id)
    return space_id, ids


async def _rank(res: Resources, space_id: int, mode: Mode, question: str, answer: int) -> int | None:
    """Where the answer stands, from 1; None when it is not among the first `TOP`."""
    asked = {"q": question, "mode": mode, "space_id": space_id, "limit": TOP}
    request = SearchRequest.model_validate(asked)
    found = [hit.artifact_id for hit in (await search(res, res.settings.mock_user_id, request)).results]
    return found.index(answer) + 1 if answer in found else None


def figures(ranks: Sequence[int | None]) -> dict[str, float]:
    """recall, MRR and nDCG of one right answer each, and how often it came first.

    With one answer nDCG is the mean of 1/log₂(1 + rank) (Järvelin and Kekäläinen 2002).

    >>> figures([1, 3, None])
    {'recall': 0.6667, 'mrr': 0.4444, 'ndcg': 0.5, 'first': 0.3333}
    """
    values = {
        "recall": statistics.fmean(rank is not None for rank in ranks),
        "mrr": statistics.fmean(0 if rank is None else 1 / rank for rank in ranks),
        "ndcg": statistics.fmean(0 if rank is None else 1 / math.log2(1 + rank) for rank in ranks),
        "first": statistics.fmean(rank == 1 for rank in ranks),
    }
    return {name: round(value, 4) for name, value in values.items()}


# ---- the report ----------------------------------------------------------------------------------


def verdicts(results: Mapping[str, Any]) -> list[tuple[str, str, str, bool]]:
    """(what, target, found, is it reached?) of every target."""
    rows = []
    for one in results["sets"]:
        hybrid, better = one["modes"]["hybrid"], _better_leg(one)
        rows.append(
            (
                f"search, hybrid recall@{TOP}, {one['name']}",
                f"≥ {better:.3f}, the better leg",
                f"{hybrid['recall']:.3f}",
                hybrid["recall"] >= better,
            )
        )
        if one["name"] in TARGETS:
            least = TARGETS[one["name"]]
            what = f"search, hybrid recall@{TOP}, {one['name']}"
            rows.append((what, f"≥ {least}", f"{hybrid['recall']:.3f}", hybrid["recall"] >= least))
        if one["name"] == NAMES:
            rows.append(
                ("search, exact names first", "1.000", f"{hybrid['first']:.3f}", hybrid["first"] == 1.0)
            )
    return rows


def _better_leg(one: Mapping[str, Any]) -> float:
    return max(float(one["modes"][mode]["recall"]) for mode in ("keyword", "semantic"))


def render(results: Mapping[str, Any]) -> str:
    """A table of every set and mode."""
    lines = [
        "Each question has one right answer among the pages of its set. Captured and asked through the",
        f"product, at its defaults (semantic threshold {results['threshold']}).",
        "",
        f"| set | mode | recall@{TOP} | MRR | nDCG@{TOP} | first |",
        "|---|---|---|---|---|---|",
    ]
    for one in results["sets"]:
        name = f"{one['name']} ({one['questions']} questions, {one['pages']} pages)"
        for mode, found in one["modes"].items():
            shown = " | ".join(f"{found[key]:.3f}" for key in ("recall", "mrr", "ndcg", "first"))
            lines.append(f"| {name} | {mode} | {shown} |")
    sources = dict.fromkeys(f"- {one['name']}: {one['source']}" for one in results["sets"])
    return "\n".join([*lines, "", *sources])
