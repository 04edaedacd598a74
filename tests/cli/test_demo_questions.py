"""Twelve questions a person might ask the demo library, none in the words of the title it seeks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

QUESTIONS = json.loads(Path(__file__).with_name("demo_questions.json").read_text())
NAMES = {
    "csv": "csv",
    "DictReader": "csv.DictReader",
    "socket": "socket",
    "difflib": "difflib",
    "timedelta": "datetime.timedelta",
    "Popen": "subprocess.Popen",
}

Ask = Callable[..., list[str]]


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


@pytest.fixture(scope="module")
def ask(shared_house: Any) -> Iterator[Ask]:
    """A server with the whole demo, loaded as at a first start; gives the titles a search finds."""
    server = shared_house.serve()
    done = shared_house.data / "demo.done"
    shared_house.wait_until(done.exists, "the whole demo", 300)
    with httpx.Client(base_url=f"{server.url}/api/v1", timeout=30) as client:

        def titles(question: str, mode: str = "hybrid") -> list[str]:
            found = client.get("/search", params={"q": question, "mode": mode, "limit": 5})
            return [hit["title"] for hit in found.raise_for_status().json()["results"]]

        yield titles


@pytest.mark.parametrize("one", QUESTIONS, ids=lambda one: one["expected"][0])
def test_no_question_uses_a_word_of_the_title_it_seeks(one: dict[str, Any]) -> None:
    assert not words(one["question"]) & words(" ".join(one["expected"]))


@pytest.mark.slow
def test_questions_and_exact_names_find_their_documents(ask: Ask) -> None:
    found = {one["question"]: (one["expected"], ask(one["question"])) for one in QUESTIONS}
    assert found["how do I read a spreadsheet-like file"][1][0] == "csv"
    missed = {
        question: titles for question, (expected, titles) in found.items() if not {*expected} & {*titles}
    }
    assert len(QUESTIONS) == 12
    assert len(missed) <= 2, missed
    for name, title in NAMES.items():  # here, too: a test of its own would load the library again in xdist
        assert [ask(name, mode)[0] for mode in ("hybrid", "keyword")] == [title, title]
