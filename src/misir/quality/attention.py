"""Does a topic's centroid follow what was read deeply? Two themes in one topic, one read, one skimmed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from misir.orient.calibration import Labelled, labelled
from misir.orient.centroid import teach, untaught
from misir.orient.config import EngineConfig
from misir.orient.reading import EngagementLevel
from misir.orient.vectors import Floats, cosines, unit
from misir.orient.weight import base_weight
from misir.quality.corpora import Corpus, embed_corpus

SEED: Final = 20_261_127
ITEMS: Final = 20
"""Texts read of each theme."""

ORDERS, QUICK_ORDERS = 20, 4
MAX_DEVIATION: Final = 0.10

LEVELS: Final = {
    "saturated": EngagementLevel.SATURATED,
    "engaged": EngagementLevel.ENGAGED,
}
"""How deeply the one theme was read; the other is latent."""


def measure(corpora: Sequence[Corpus], cache: Path, *, quick: bool) -> dict[str, Any]:
    """For each set and depth: by how much the centroid is nearer to the deep theme, measured and predicted.

    Themes are a subject and the one nearest to it. Predicted from the weights alone: the centroid of
    w_deep · mean(deep) + w_latent · mean(skimmed).
    """
    sets = []
    for corpus in corpora:
        data = labelled(embed_corpus(corpus, cache), corpus.labels)
        found = {name: _measure_depth(data, level, quick=quick) for name, level in LEVELS.items()}
        sets.append({"name": corpus.name, **found, "equal": _measure_depth(data, None, quick=quick)})
    return {"seed": SEED, "items": ITEMS, "orders": QUICK_ORDERS if quick else ORDERS, "sets": sets}


def _measure_depth(data: Labelled, deep: EngagementLevel | None, *, quick: bool) -> dict[str, Any]:
    """`deep` None: both themes are skimmed alike, as for a tool that does not look at attention."""
    rng = np.random.default_rng(SEED)
    pairs = [
        _gaps(data, label, other, deep, rng)
        for label, other in enumerate(nearest_subjects(data))
        for _ in range(QUICK_ORDERS if quick else ORDERS)
    ]
    measured, predicted = np.array(pairs).T
    return {
        "runs": len(pairs),
        "measured": round(float(measured.mean()), 4),
        "predicted": round(float(predicted.mean()), 4),
        "ratio": round(float(measured.mean() / predicted.mean()), 4) if deep else None,
        "spread": round(float((measured - predicted).std()), 4),
    }


def nearest_subjects(data: Labelled) -> list[int]:
    """For each label, counted from 0 in their order, the other whose centroid is nearest."""
    centroids = unit([data.vectors[data.labels == label].sum(axis=0) for label in np.unique(data.labels)])
    similarities = centroids @ centroids.T
    np.fill_diagonal(similarities, -1.0)
    return [int(row.argmax()) for row in similarities]


def _gaps(
    data: Labelled, label: int, other: int, deep: EngagementLevel | None, rng: np.random.Generator
) -> tuple[float, float]:
    """cos(centroid, deep theme) − cos(centroid, skimmed theme): as learned, and as the weights predict."""
    config, skimmed = EngineConfig(), EngagementLevel.LATENT
    names = np.unique(data.labels)
    themes = [rng.permutation(data.vectors[data.labels == names[i]])[:ITEMS] for i in (label, other)]
    levels = (deep or skimmed, skimmed)
    reading = [(x, level) for theme, level in zip(themes, levels, strict=True) for x in theme]
    state = untaught(data.vectors.shape[1])
    for i in rng.permutation(len(reading)):
        x, level = reading[i]
        state = teach(state, x, base_weight(level, config), config)
    means = [theme.mean(axis=0) for theme in themes]
    mix = sum(base_weight(level, config) * mean for level, mean in zip(levels, means, strict=True))
    return _gap(state.m, means), _gap(mix, means)


def _gap(m: Any, means: Sequence[Floats]) -> float:
    near, far = cosines(m, np.stack(means))
    return float(near - far)


# ---- the report ----------------------------------------------------------------------------------


def verdicts(results: Mapping[str, Any]) -> list[tuple[str, str, str, bool]]:
    """(what, target, found, is it reached?) of every target."""
    ratios = [one[level]["ratio"] for one in results["sets"] for level in LEVELS]
    worst = max(ratios, key=lambda ratio: abs(ratio - 1))
    return [
        (
            "attention: learned gap / gap the weights predict, worst set and depth",
            f"1 ± {MAX_DEVIATION}",
            f"{worst:.3f}",
            abs(worst - 1) <= MAX_DEVIATION,
        )
    ]


def render(results: Mapping[str, Any]) -> str:
    """A table of the sets and depths."""
    lines = [
        f"{results['items']} texts of each of two neighbouring subjects, in random order, in one topic; the",
        "first subject read at the depth given, the second latent. Gap: cosine of the centroid to the first",
        "minus to the second. Without regard to depth (*equal*) it is about 0.",
        "",
        "| set | depth | runs | gap learned | gap predicted | ratio | deviation of a single run |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in results["sets"]:
        for level in (*LEVELS, "equal"):
            found = one[level]
            ratio = "—" if found["ratio"] is None else f"{found['ratio']:.3f}"
            lines.append(
                f"| {one['name']} | {level} | {found['runs']} | {found['measured']:.3f} "
                f"| {found['predicted']:.3f} | {ratio} | {found['spread']:.3f} |"
            )
    return "\n".join(lines)
