"""Is an assignment as often right as its `probability` says, before and after `misir calibrate`?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from misir.embed.calibration import CALIBRATIONS
from misir.embed.models import MINILM
from misir.orient.assign import best_topic, fit_of, posterior
from misir.orient.calibration import Labelled, Trial, draw_trials, labelled
from misir.orient.config import EngineConfig
from misir.orient.reliability import expected_calibration_error, fit_posterior, reliability_curve
from misir.quality.corpora import Corpus, embed_corpus

SEED: Final = 20_261_126
BINS: Final = 10
QUICK_TRIALS: Final = 6
MAX_ERROR, MIN_ACCURACY = 0.05, 0.95

NEW_SHARES: Final = (0.5, 0.2)
"""Share of texts that belong to no topic, at which the accuracy of confident assignments is told: as in the
trials, and as when four of five are of topics one has, added when the first had missed the target."""

WAYS: Final = {
    "shipped": "the numbers that are shipped",
    "others": "calibrated on the other sets",
    "own": "calibrated on half of the set's subjects, measured on the other half",
}


def measure(corpora: Sequence[Corpus], cache: Path, *, quick: bool) -> dict[str, Any]:
    """Calibration error and accuracy on each set in three ways; `WAYS` says which.

    Half of the subjects are topics, the others new (`orient.calibration.draw_trial`). λ and κ are fitted to
    texts that are not the ones they are judged by.
    """
    config = EngineConfig()
    if quick:
        config = replace(config, calibration_trials=QUICK_TRIALS)
    data = {corpus.name: labelled(embed_corpus(corpus, cache), corpus.labels) for corpus in corpora}
    trials = {name: draw_trials(one, SEED, config) for name, one in data.items()}
    sets = []
    for name, one in data.items():
        others = [trial for other, found in trials.items() if other != name for trial in found]
        left, right = _halves(one)
        crossed = [(left, right), (right, left)]
        own = [(_fit(draw_trials(a, SEED, config)), draw_trials(b, SEED + 1, config)) for a, b in crossed]
        shipped = CALIBRATIONS[MINILM.id]
        sets.append(
            {
                "name": name,
                "shipped": judge([((shipped.novelty, shipped.sharpness), trials[name])], config),
                "others": judge([(_fit(others), trials[name])], config),
                "own": judge(own, config),
            }
        )
    return {"seed": SEED, "trials": config.calibration_trials, "sets": sets}


def _halves(data: Labelled) -> tuple[Labelled, Labelled]:
    """The texts of one half of the labels, and of the other."""
    names = np.random.default_rng(SEED).permutation(np.unique(data.labels))
    return data.of_labels(names[::2]), data.of_labels(names[1::2])


def _fit(trials: Sequence[Trial]) -> tuple[float, float]:
    fitted = fit_posterior([(trial.similarities, trial.truth) for trial in trials])
    return fitted.novelty, fitted.sharpness


def judge(
    fitted_trials: Sequence[tuple[tuple[float, float], Sequence[Trial]]], config: EngineConfig
) -> dict[str, Any]:
    """Decide every text of the trials under (λ, κ), as the engine does; count how often that was right."""
    rows = [
        _decide(similarities, int(truth), novelty, sharpness)
        for (novelty, sharpness), trials in fitted_trials
        for trial in trials
        for similarities, truth in zip(trial.similarities, trial.truth, strict=True)
    ]
    probabilities, is_right, fits, is_new = (np.array(column) for column in zip(*rows, strict=True))
    curve = reliability_curve(probabilities, is_right, BINS)
    is_strong = fits >= config.strong_fit
    return {
        "novelty": round(float(np.mean([fitted[0] for fitted, _ in fitted_trials])), 3),
        "sharpness": round(float(np.mean([fitted[1] for fitted, _ in fitted_trials])), 1),
        "n": len(rows),
        "error": round(expected_calibration_error(curve), 4),
        "accuracy": round(float(is_right.mean()), 4),
        "strong": {
            "known": int((is_strong & ~is_new).sum()),
            "right": int((is_strong & is_right).sum()),
            "new": int((is_strong & is_new).sum()),
        },
        "sure_from": sure_from(fits, is_right),
        "curve": [asdict(one) for one in curve],
    }


def sure_from(fits: npt.ArrayLike, is_right: npt.ArrayLike) -> float | None:
    """The least fit from which on `MIN_ACCURACY` (0.95) of assignments are right; None where there is none.

    A text without a topic has fit −1 and is not an assignment.

    >>> sure_from([0.2, 0.4, 0.6, -1.0], [False, True, True, True]), sure_from([0.9], [False])
    (0.4, None)
    """
    order = np.argsort(-np.asarray(fits), kind="stable")
    ordered, right = np.asarray(fits)[order], np.asarray(is_right)[order]
    is_sure = (np.cumsum(right) / np.arange(1, len(right) + 1) >= MIN_ACCURACY) & (ordered >= 0)
    return round(float(ordered[np.flatnonzero(is_sure)[-1]]), 2) if is_sure.any() else None


def strong_accuracy(strong: Mapping[str, int], new_share: float) -> float:
    """Share of right ones among assignments with fit ≥ 0.5, were `new_share` of all texts new; 0 without any.

    The trials have as many new texts as known ones, so each kind is weighed by its share. None that was
    assigned and is new can be right.

    >>> strong_accuracy({"known": 80, "right": 80, "new": 20}, 0.5)
    0.8
    >>> round(strong_accuracy({"known": 80, "right": 80, "new": 20}, 0.2), 3)  # 64 / (64 + 4)
    0.941
    """
    known, new = (1 - new_share) * strong["known"], new_share * strong["new"]
    return (1 - new_share) * strong["right"] / (known + new) if known + new else 0.0


def _decide(
    similarities: Any, truth: int, novelty: float, sharpness: float
) -> tuple[float, bool, float, bool]:
    """Probability of the decision, is it right, its fit (−1 without a topic), and is the text new?"""
    p = posterior(similarities, np.zeros(len(similarities)), novelty, sharpness)
    chosen = best_topic(p)
    if chosen is None:
        return float(p[-1]), truth < 0, -1.0, truth < 0
    return float(p[chosen]), truth == chosen, fit_of(p, chosen), truth < 0


# ---- the report ----------------------------------------------------------------------------------


def verdicts(results: Mapping[str, Any]) -> list[tuple[str, str, str, bool]]:
    """(what, target, found, is it reached?) of every target."""
    own = [one["own"] for one in results["sets"]]
    error = float(np.mean([one["error"] for one in own]))
    rows = [
        (
            "calibration error of `probability` after `misir calibrate`, mean of the sets",
            f"≤ {MAX_ERROR}",
            f"{error:.3f}",
            error <= MAX_ERROR,
        )
    ]
    strong = {name: sum(one["strong"][name] for one in own) for name in ("known", "right", "new")}
    for share in NEW_SHARES:
        accuracy = strong_accuracy(strong, share)
        what = f"accuracy of assignments with fit ≥ 0.5, all sets, {share:.0%} of texts new"
        rows.append((what, f"≥ {MIN_ACCURACY}", f"{accuracy:.3f}", accuracy >= MIN_ACCURACY))
    return rows


def render(results: Mapping[str, Any]) -> str:
    """A table of the sets, and the reliability curve of all of them together."""
    lines = [
        "Every second text belongs to none of the topics. Sure: accuracy of assignments with fit ≥ 0.5, and "
        "what it were with a fifth of the texts new; 0.95 from: the fit from which on 0.95 are right. "
        + "; ".join(f"*{way}*: {said}" for way, said in WAYS.items())
        + ".",
        "",
        "| set | way | λ | κ | decisions | error | accuracy | sure, half new | a fifth new | 0.95 from |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in results["sets"]:
        for way in WAYS:
            found = one[way]
            strong = " | ".join(f"{strong_accuracy(found['strong'], share):.3f}" for share in NEW_SHARES)
            sure = "never" if found["sure_from"] is None else f"{found['sure_from']:.2f}"
            lines.append(
                f"| {one['name']} | {way} | {found['novelty']} | {found['sharpness']} | {found['n']:,} "
                f"| {found['error']:.3f} | {found['accuracy']:.3f} | {strong} "
                f"| {sure} |"
            )
    return "\n".join([*lines, "", *_curve_lines(results)])


def _curve_lines(results: Mapping[str, Any]) -> list[str]:
    lines = [
        "| probability said | decisions, before | right, before | decisions, after | right, after |",
        "|---|---|---|---|---|",
    ]
    before, after = (_pooled(results, way) for way in ("shipped", "own"))
    for b in sorted({*before, *after}):
        cells = [_cell(curve.get(b)) for curve in (before, after)]
        lines.append(f"| {b / BINS:.1f}–{(b + 1) / BINS:.1f} | {' | '.join(cells)} |")
    return lines


def _pooled(results: Mapping[str, Any], way: str) -> dict[int, tuple[int, float]]:
    """Number of decisions and of right ones by bin, over all sets."""
    pooled: dict[int, tuple[int, float]] = {}
    for one in results["sets"]:
        for found in one[way]["curve"]:
            b = min(int(found["probability"] * BINS), BINS - 1)
            n, right = pooled.get(b, (0, 0.0))
            pooled[b] = (n + found["n"], right + found["n"] * found["accuracy"])
    return pooled


def _cell(counted: tuple[int, float] | None) -> str:
    return "0 | —" if counted is None else f"{counted[0]:,} | {counted[1] / counted[0]:.3f}"
