"""The report: parts that are there are measured, parts that are not are named, the page says where figures come from."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from misir.errors import MisirError
from misir.orient.vectors import Vector, unit
from misir.quality import attention, reliability, report
from misir.quality.corpora import Corpus


def clusters(corpus: Corpus, _: Path | None = None) -> Vector:
    """Texts around a direction of their subject, far nearer to each other than the model's are."""
    rng = np.random.default_rng(len(corpus.name))
    centres = {label: rng.normal(size=24) for label in sorted({*corpus.labels})}
    return unit([centres[label] + 0.8 * rng.normal(size=24) for label in corpus.labels])


def made(name: str) -> Corpus:
    labels = [label for label in "abcdefghij" for _ in range(16)]
    return Corpus(name, labels, labels, labels, "made up")


@pytest.fixture
def corpora(monkeypatch: pytest.MonkeyPatch) -> list[Corpus]:
    for module in (reliability, attention):
        monkeypatch.setattr(module, "embed_corpus", clusters)
    return [made("one"), made("other")]


@pytest.fixture
def calibrated(corpora: list[Corpus], tmp_path: Path) -> dict[str, Any]:
    return reliability.measure(corpora, tmp_path, quick=True)


def test_calibration_lowers_the_error_of_the_probability(calibrated: dict[str, Any]) -> None:
    found, _ = calibrated["sets"]
    assert found["own"]["error"] < found["shipped"]["error"]
    assert sum(one["n"] for one in found["own"]["curve"]) == found["own"]["n"]
    text = reliability.render(calibrated)
    assert f"| one | own | {found['own']['novelty']}" in text
    assert {what for what, *_ in reliability.verdicts(calibrated)} == {
        "calibration error of `probability` after `misir calibrate`, mean of the sets",
        "accuracy of assignments with fit ≥ 0.5, all sets, 50% of texts new",
        "accuracy of assignments with fit ≥ 0.5, all sets, 20% of texts new",
    }


def test_a_verdict_on_calibration_can_be_no() -> None:
    bad = {"n": 10, "error": 0.2, "strong": {"known": 0, "right": 0, "new": 0}}
    assert [ok for *_, ok in reliability.verdicts({"sets": [{"own": bad}]})] == [False] * 3


def test_the_centroid_follows_what_was_read_deeply(corpora: list[Corpus], tmp_path: Path) -> None:
    found = attention.measure(corpora, tmp_path, quick=True)
    one, _ = found["sets"]
    assert one["saturated"]["measured"] > one["engaged"]["measured"] > 0.2
    assert abs(one["equal"]["measured"]) < 0.1
    assert "| one | saturated |" in attention.render(found)
    assert attention.measure(corpora, tmp_path, quick=True) == found


def test_a_verdict_on_attention_is_on_the_worst_ratio() -> None:
    one = {"saturated": {"ratio": 0.85}, "engaged": {"ratio": 1.05}}
    assert attention.verdicts({"sets": [one]})[0][2:] == ("0.850", False)


# ---- the command ---------------------------------------------------------------------------------


class Fake(ModuleType):
    """A part that measures nothing."""

    def measure(self, corpora: list[str], cache: Path, *, quick: bool) -> dict[str, Any]:
        return {"seed": 7, "corpora": corpora, "quick": quick, "is_cached": cache.is_dir()}

    def render(self, results: dict[str, Any]) -> str:
        return f"{len(results['corpora'])} corpora."

    def verdicts(self, results: dict[str, Any]) -> list[tuple[str, str, str, bool]]:
        return [("speed", "≥ 1", "2", True), ("grace", "≥ 1", "0", results["quick"])]


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two parts of which one is there, and corpora that need no network."""
    monkeypatch.setattr(report, "PARTS", {"fake": "Fake", "ghost": "Ghost"})
    monkeypatch.setitem(sys.modules, "misir.quality.fake", Fake("misir.quality.fake"))
    corpora = ModuleType("misir.quality.corpora")
    corpora.load_corpora = lambda _: ["a", "b"]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "misir.quality.corpora", corpora)


def run(tmp_path: Path, *words: str) -> tuple[Any, Path, Path]:
    page, figures = tmp_path / "docs" / "quality.md", tmp_path / "results" / "quality.json"
    where = ["--output", str(page), "--results", str(figures), "--cache", str(tmp_path / "cache")]
    return CliRunner().invoke(report.bench_app, ["quality", *where, *words]), page, figures


@pytest.mark.usefixtures("parts")
def test_the_page_says_target_verdict_seed_commit_and_versions(tmp_path: Path) -> None:
    done, page, figures = run(tmp_path)
    assert done.exit_code == 0, done.output
    text = page.read_text("utf-8")
    assert "| speed | ≥ 1 | 2 | yes |" in text
    assert "| grace | ≥ 1 | 0 | **no** |" in text
    assert "## Fake" in text
    assert "Seed 7." in text
    assert "full run" in text
    assert "2 corpora." in text
    measured = json.loads(figures.read_text("utf-8"))["fake"]
    assert measured["environment"]["commit"] in text
    assert f"numpy {measured['environment']['numpy']}" in text
    assert measured["results"]["is_cached"]


@pytest.mark.usefixtures("parts")
def test_a_part_that_this_version_lacks_is_named_and_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.find_part("ghost") is None
    assert "Ghost: not measured, this version has no misir.quality.ghost." in capsys.readouterr().err
    _, page, _ = run(tmp_path)
    assert "Ghost" not in page.read_text("utf-8")


@pytest.mark.usefixtures("parts")
def test_parts_that_are_not_run_keep_their_figures(tmp_path: Path) -> None:
    _, page, figures = run(tmp_path, "--quick")
    before = json.loads(figures.read_text("utf-8"))
    done, _, _ = run(tmp_path, "--only", "ghost")
    assert done.exit_code == 0
    assert json.loads(figures.read_text("utf-8")) == before
    assert "quick run" in page.read_text("utf-8")


@pytest.mark.usefixtures("parts")
def test_an_unknown_part_is_refused(tmp_path: Path) -> None:
    done, _, _ = run(tmp_path, "--only", "luck")
    assert isinstance(done.exception, MisirError)
    assert "no part 'luck': choose from fake, ghost" in done.exception.detail


def test_a_missing_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def import_module(name: str) -> ModuleType:
        raise ModuleNotFoundError(f"No module named 'river' for {name}", name="river")

    monkeypatch.setattr("importlib.import_module", import_module)
    with pytest.raises(MisirError, match=r"Drift needs river, .* pip install 'misir\[quality\]'"):
        report.find_part("drift")


@pytest.mark.usefixtures("parts")
def test_texts_that_cannot_be_had_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load_corpora(cache: Path) -> list[str]:
        raise subprocess.CalledProcessError(1, ["apt-get"])

    monkeypatch.setattr(sys.modules["misir.quality.corpora"], "load_corpora", load_corpora)
    done, page, _ = run(tmp_path)
    assert isinstance(done.exception, MisirError)
    assert "could not be had" in done.exception.detail
    assert not page.exists()


def test_outside_a_checkout_the_commit_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert report.environment()["commit"] == "unknown"
