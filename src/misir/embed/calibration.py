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
    # Measured on 424 docstrings of Python's standard library in ten subjects (2026-11-23): margins of correct
    # assignments have their 10th percentile at 0.055, the cosine to the own centroid its 90th at 0.70 (over
    # general texts, which lie further apart, lower), and κ = 25 gives the least calibration error (0.014 of
    # 5..30). μ and σ are of general texts: encyclopedia leads 0.04 ± 0.08, one-line descriptions 0.09 ± 0.09,
    # docstrings of different subjects 0.14 ± 0.10. λ lies at the 95th to 99th percentile of those.
    MINILM.id: Calibration(
        mu=0.08,
        sigma=0.09,
        tau=0.65,
        novelty=0.30,
        novelty_item=0.45,
        sharpness=25.0,
        margin_gate=0.05,
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
    0.3
    """
    return CALIBRATIONS.get(spec.id, UNMEASURED)
