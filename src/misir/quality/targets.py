"""Targets and verdicts: a figure of every corpus, the figure that counts, and whether it is good enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

Row = dict[str, Any]
Figure = Callable[[Row], float]
Summary = Callable[[list[float]], float]
Verdict = Callable[[float], bool]

ONE_PASS: Final = "Misir, one pass alone"  # noqa: S105 - no password but one look at each text
CONSOLIDATED: Final = "Misir, with consolidation"
BOUND: Final = "k-means, true k"
STREAM_RIVALS: Final = ("sequential k-means, true k", "DBSTREAM", "DenStream")


def list_targets(measured: Sequence[Row]) -> list[Row]:
    """The targets of topics, each with the figure of every corpus, the one that counts, and the verdict."""
    both = (ONE_PASS, CONSOLIDATED)
    one, two = (
        {name: _value(name, method) for name in ("ari", "nmi", "unassigned", "ari_std")} for method in both
    )
    wanted: list[tuple[str, Figure, Summary, Verdict]] = [
        ("consolidated: ARI ≥ 1.0 × k-means (mean)", _share(two["ari"], "ari"), _mean, _at_least(1.0)),
        ("consolidated: NMI ≥ 1.05 × k-means (mean)", _share(two["nmi"], "nmi"), _mean, _at_least(1.05)),
        ("consolidated: ≤ 10 % unassigned", two["unassigned"], max, _at_most(0.10)),
        ("consolidated: topics within 2 × the truth", _topic_factor, max, _at_most(2.0)),
        ("consolidated: ARI above every stream rival's", _lead, min, _at_least(0.0)),
        ("standard deviation of ARI over orders ≤ 0.04", two["ari_std"], max, _at_most(0.04)),
        ("one pass alone: ARI ≥ 0.85 × k-means (mean)", _share(one["ari"], "ari"), _mean, _at_least(0.85)),
        ("one pass alone: ≤ 20 % unassigned", one["unassigned"], max, _at_most(0.20)),
        ("replay: difference ≤ 1e-5", lambda row: float(row["replay_difference"]), max, _at_most(1e-5)),
    ]
    return [_judged(measured, *target) for target in wanted]


def _judged(
    measured: Sequence[Row],
    target: str,
    figure: Figure,
    summary: Summary,
    is_met: Verdict,
) -> Row:
    figures = {row["name"]: figure(row) for row in measured}
    counts = summary(list(figures.values()))
    return {"target": target, "figures": figures, "counts": counts, "is_met": is_met(counts)}


def _at_least(bar: float) -> Verdict:
    return lambda value: value >= bar


def _at_most(bar: float) -> Verdict:
    return lambda value: value <= bar


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _of(corpus: Row, method: str) -> Row:
    found: Row = next(row for row in corpus["rows"] if row["method"] == method)
    return found


def _value(name: str, method: str) -> Figure:
    return lambda corpus: float(_of(corpus, method)[name])


def _share(value: Figure, name: str) -> Figure:
    """Of what k-means with the true k reaches on the same vectors."""
    return lambda corpus: value(corpus) / float(_of(corpus, BOUND)[name])


def _topic_factor(corpus: Row) -> float:
    """How many times too many, or too few."""
    found, truth = float(_of(corpus, CONSOLIDATED)["topics"]), float(corpus["n_labels"])
    return max(found, 1.0) / truth if found > truth else truth / max(found, 1.0)


def _lead(corpus: Row) -> float:
    best = max(float(_of(corpus, name)["ari"]) for name in STREAM_RIVALS)
    return float(_of(corpus, CONSOLIDATED)["ari"]) - best
