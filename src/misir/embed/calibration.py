"""What a cosine means, per model (engine §4). Every calibrated number of Misir stands in this file."""

from __future__ import annotations

from dataclasses import dataclass

from misir.embed.models import MINILM, NOMIC, ModelSpec


@dataclass(frozen=True)
class Calibration:
    """The yardstick of one model's cosines; all but `sharpness` and `sigma` lie in [−1, 1].

    mu: mean cosine of two unrelated texts; calibrated(cos) is 0 there.
    sigma: standard deviation of that cosine, > 0.
    tau: 90th percentile of the cosine to the own centroid on labelled texts; calibrated(cos) is 1 there.
    novelty: λ, the cosine of "none of these topics": below it a text is new.
    novelty_item: λ_item, the cosine all three pairs of items need to become a topic, set so that chance
        births are at most 1 in 1,000 unrelated items.
    sharpness: κ, the slope of the posterior p_i ∝ exp(κ·cos_i), > 0.
    margin_gate: 10th percentile of d2 − d1 on correct assignments; below it nothing is taught.
    search_threshold: default cosine below which the semantic leg of a search drops a row.
    """

    mu: float
    sigma: float
    tau: float
    novelty: float
    novelty_item: float
    sharpness: float
    margin_gate: float
    search_threshold: float


CALIBRATIONS: dict[str, Calibration] = {
    # Measured with `misir calibrate` on six labelled sets (quality/corpora.py: newsgroups, news wires,
    # package descriptions, a computing dictionary, dictionary glosses, docstrings; 2026-11-25), each value
    # the middle of the six: μ 0.05 to 0.19, σ 0.08 to 0.11, τ 0.61 to 0.78, κ 14 to 21, margin gate 0.03 to
    # 0.08. λ is measured as 0.35 to 0.54 (middle 0.41) for topics that have learned from 3 to 20 texts and
    # as 0.22 to 0.33 for topics that know only a name; λ_item as 0.44 to 0.72 (middle 0.58). Both are shipped
    # lower than their middles: a declared topic must take its first texts, and one pass alone leaves the
    # more texts in no topic the higher they are. The calibration error on these same six sets is then 0.05
    # in the mean; with λ 0.30 it is 0.09, and of 36 changes of the demo library to a subject that nobody
    # declared 11 gave birth to a topic within 15 texts instead of 19.
    MINILM.id: Calibration(
        mu=0.10,
        sigma=0.09,
        tau=0.65,
        novelty=0.35,
        novelty_item=0.45,
        sharpness=17.0,
        margin_gate=0.04,
        search_threshold=0.20,
    ),
    # Not measured by us: stated starting values. nomic's cosines sit high and close together (unrelated
    # English texts at about 0.45–0.5 with the document prefix), so the scale starts there, the steps
    # above it are shorter than MiniLM's and the posterior is steeper.
    NOMIC.id: Calibration(
        mu=0.47,
        sigma=0.06,
        tau=0.80,
        novelty=0.60,
        novelty_item=0.70,
        sharpness=30.0,
        margin_gate=0.02,
        search_threshold=0.55,
    ),
}

# A model nobody measured: MiniLM's scale with a wide σ, higher bars for "not new" and for birth, and the
# documented margin gate of 0.1, so that it rather leaves a text unassigned than teaches a topic wrongly.
UNMEASURED = Calibration(
    mu=0.10,
    sigma=0.12,
    tau=0.70,
    novelty=0.40,
    novelty_item=0.60,
    sharpness=20.0,
    margin_gate=0.1,
    search_threshold=0.20,
)


def calibration_for(spec: ModelSpec) -> Calibration:
    """The calibration shipped for `spec`; a truncated or otherwise served known model shares its model's.

    >>> calibration_for(MINILM).novelty
    0.35
    """
    return CALIBRATIONS.get(spec.id, UNMEASURED)
