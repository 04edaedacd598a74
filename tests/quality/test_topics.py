from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from misir.orient.vectors import Vector, unit
from misir.quality import topics
from misir.quality.corpora import Corpus
from misir.quality.rivals import list_rivals
from misir.quality.targets import list_targets
from misir.quality.topics import measure, render, score

LABELS = ["a", "b", "c"] * 25


@pytest.fixture
def corpus(monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """75 texts on three axes of 16 dimensions."""
    noise = np.random.default_rng(0).normal(size=(75, 16)) * 0.05
    vectors = unit(np.eye(16)[[0, 1, 2] * 25] + noise)

    def embed(_: Corpus, __: Path) -> Vector:
        return vectors

    monkeypatch.setattr(topics, "embed_corpus", embed)
    return Corpus("three", [""] * 75, [""] * 75, LABELS, "made here")


def test_clear_subjects_are_found_by_us_and_told_in_words(corpus: Corpus, tmp_path: Path) -> None:
    results = measure([corpus], tmp_path, quick=True)
    assert json.loads(json.dumps(results)) == results
    (measured,) = results["corpora"]
    rows = {row["method"]: row for row in measured["rows"]}
    assert rows["Misir, with consolidation"]["ari"] == pytest.approx(1.0)
    assert rows["Misir, with consolidation"]["topics"] == 3
    assert rows["k-means, true k"]["ari"] == pytest.approx(1.0)
    assert {
        "DBSTREAM",
        "DenStream",
        "HDBSCAN",
        "sequential k-means, true k",
        "prototype, its 0.7",
    } <= rows.keys()
    text = render(results)
    assert "### three: 75 texts, 3 labels" in text
    assert text.count("| met |") + text.count("| missed |") == len(results["targets"])


def test_quick_means_three_orders_and_all_means_ten(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        topics, "list_rivals", lambda: [one for one in list_rivals() if "k-means" in one.name]
    )
    monkeypatch.setattr(topics, "list_targets", lambda _: [])
    assert measure([corpus], tmp_path, quick=True)["corpora"][0]["rows"][0]["orders"] == 3
    assert measure([corpus], tmp_path)["corpora"][0]["rows"][0]["orders"] == 10


def test_every_target_has_a_verdict(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        topics, "list_rivals", lambda: [one for one in list_rivals() if "k-means" in one.name]
    )
    monkeypatch.setattr(topics, "list_targets", lambda _: list_targets([measured(), measured(topics=30)]))
    found = topics.verdicts(measure([corpus], tmp_path, quick=True))
    assert len(found) == 9
    assert {what: ok for what, _, _, ok in found}[
        "topics, consolidated: topics within 2 × the truth"
    ] is False


def test_an_unassigned_text_counts_as_a_topic_of_its_own() -> None:
    truth = np.array([0, 0, 1, 1])
    perfect = score(truth, np.array([7, 7, 3, 3]))
    assert (perfect["ari"], perfect["nmi"], perfect["purity"]) == pytest.approx((1, 1, 1))
    half = score(truth, np.array([7, 7, -1, -1]))
    assert half["ari"] < 1
    assert half["unassigned"] == 0.5
    assert half["topics"] == 1
    assert score(truth, np.full(4, -1))["purity"] == 0.0


def measured(**changes: Any) -> dict[str, Any]:
    good = {"ari": 0.5, "nmi": 0.6, "unassigned": 0.0, "ari_std": 0.01, "topics": 10}
    worse = {**good, "ari": 0.1, "nmi": 0.2}
    rivals = ["sequential k-means, true k", "DBSTREAM", "DenStream"]
    rows = [{"method": name, **worse} for name in rivals]
    rows.append({"method": "k-means, true k", **good, "nmi": 0.5})
    rows.append({"method": "Misir, one pass alone", **good})
    rows.append({"method": "Misir, with consolidation", **good, **changes})
    return {"name": "set", "n_labels": 10, "replay_difference": 0.0, "rows": rows}


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({}, ""),
        ({"ari": 0.49}, "ARI ≥ 1.0"),
        ({"nmi": 0.52}, "NMI ≥ 1.05"),
        ({"unassigned": 0.11}, "10 % unassigned"),
        ({"topics": 21}, "within 2"),
        ({"topics": 4}, "within 2"),
        ({"ari_std": 0.05}, "standard deviation"),
    ],
)
def test_a_target_that_is_missed_is_said_to_be(changes: dict[str, Any], missed: str) -> None:
    failed = [one["target"] for one in list_targets([measured(**changes)]) if not one["is_met"]]
    assert len(failed) == bool(missed)
    assert all(missed in target for target in failed)


def test_every_rival_names_every_text() -> None:
    vectors = unit(np.random.default_rng(0).normal(size=(320, 8)))
    for rival in list_rivals():
        assert rival.run(vectors, 4, 0).shape == (320,)
