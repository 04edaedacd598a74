"""Search is measured on questions whose answer is known, through the product."""

from __future__ import annotations

from pathlib import Path

import pytest

from misir.quality import search
from misir.quality.corpora import LOADERS, Corpus
from misir.quality.questions import MIN_ANSWER, QuestionSet, _chosen, read_sections

ANSWERS = {
    "How do I read a table of comma separated values?": "The csv module yields one list of strings a row.",
    "How can two threads share a counter?": "Hold a lock while you add to it, so that no update is lost.",
    "Which time zone is it elsewhere?": "zoneinfo knows the time zones of places, and when they change.",
}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    one = QuestionSet("Three", [*ANSWERS], [*ANSWERS.values()], "here")
    monkeypatch.setattr(search, "load_questions", lambda _: [one])
    monkeypatch.setattr(search, "QUICK", 3)


@pytest.mark.usefixtures("few")
def test_a_library_is_captured_and_asked_in_every_mode(tmp_path: Path) -> None:
    whole = LOADERS["stdlib"](tmp_path)
    names = [
        i for i, title in enumerate(whole.titles) if title in {"operator", "ast.operator", "csv.DictReader"}
    ]
    few = Corpus(
        "stdlib",
        *([column[i] for i in names] for column in (whole.titles, whole.texts, whole.labels)),
        "here",
    )
    found = search.measure([few], tmp_path, quick=True)
    three, named = found["sets"]
    assert (three["questions"], three["pages"]) == (3, 3)
    assert set(three["modes"]) == {"hybrid", "semantic", "keyword"}
    assert three["modes"]["hybrid"]["recall"] >= 0.6
    assert three["modes"]["hybrid"]["first"] >= 0.6
    assert named["modes"]["hybrid"]["first"] == 1.0
    text = search.render(found)
    assert "| Three (3 questions, 3 pages) | hybrid |" in text
    assert [what for what, *_ in search.verdicts(found)][-1] == "search, exact names first"


def test_a_verdict_on_search_can_be_no() -> None:
    modes = {mode: {"recall": recall, "first": 0.5} for mode, recall in (("hybrid", 0.7), ("keyword", 0.8))}
    modes["semantic"] = {"recall": 0.6, "first": 0.5}
    for name in (*search.TARGETS, search.NAMES):
        assert [ok for *_, ok in search.verdicts({"sets": [{"name": name, "modes": modes}]})] == [
            False,
            False,
        ]


def test_sections_are_read_without_their_markup() -> None:
    source = """
.. _label:

=====
Title
=====

See :func:`~os.path.join` and `the docs <https://example.org>`_.

.. function:: join(a, *b)

   Puts **them** together::

      join("a")

.. index::
   single: joining

Second part
-----------

Less.
"""
    assert list(read_sections(source)) == [
        ("Title", 'See os.path.join and the docs. join(a, *b) Puts them together: join("a") single: joining'),
        ("Second part", "Less."),
    ]
    assert list(read_sections("No heading.")) == []


def test_only_answers_worth_finding_are_kept_in_an_order_of_their_own() -> None:
    pairs = [(f"question {n}", f"{n} " * MIN_ANSWER) for n in range(5)]
    chosen = _chosen("name", [*pairs, ("short", "no"), ("", "x" * MIN_ANSWER)], "source")
    assert sorted(chosen.questions) == [question for question, _ in pairs]
    assert _chosen("name", pairs[::-1], "source") == chosen
