"""`misir replay` and `misir worker`: what is stored is what the log says, and what other numbers would say."""

from __future__ import annotations

import json
from typing import Any

import pytest


@pytest.fixture(scope="module")
def library(shared_house: Any) -> Any:
    """A space "Kitchen" with two topics and eight pages."""
    made = shared_house.misir(
        "spaces", "create", "Kitchen", "--topic", "Bread: sourdough, oven", "--topic", "Soup: broth, ladle"
    )
    assert made.returncode == 0, made.stderr
    for number, text in enumerate(
        ("flour and yeast", "a crisp crust", "stock of bones", "carrots and leek") * 2
    ):
        page = shared_house.root / f"page {number}.md"
        page.write_text(f"# Recipe {number}\n\n{text}, for the kitchen.\n")
        captured = shared_house.misir("capture", str(page), "--space", "Kitchen")
        assert captured.returncode == 0, captured.stderr
    return shared_house


def test_a_library_is_what_its_log_says(library: Any) -> None:
    drained = library.misir("worker", "--drain")
    assert drained.returncode == 0, drained.stderr
    assert "Nothing is due any more" in drained.stdout
    checked = library.misir("replay", "--check", "--space", "Kitchen", "--json")
    assert checked.returncode == 0, checked.stderr
    (space,) = json.loads(checked.stdout)
    assert (space["signals"], space["differences"]) == (8, [])
    shown = library.misir("replay", "--check")
    assert shown.returncode == 0
    assert shown.stdout.split()[:4] == ["space", "topics", "signals", "differences"]


def test_replaying_stores_the_same_again(library: Any) -> None:
    replayed = library.misir("replay", "--space", "Kitchen")
    assert replayed.returncode == 0, replayed.stderr
    assert library.misir("replay", "--check").returncode == 0


def test_other_numbers_show_what_they_would_change_before_they_do(library: Any) -> None:
    config = library.root / "strict.json"
    config.write_text(json.dumps({"calibration": {"novelty": 0.95, "novelty_item": 0.99, "tau": 0.97}}))
    shown = library.misir("replay", "--space", "Kitchen", "--config", str(config), "--json")
    assert shown.returncode == 0, shown.stderr
    (space,) = json.loads(shown.stdout)
    assert space["n_decisions"] == 8
    assert space["n_unassigned"] == len(space["moves"]) > 0
    assert library.misir("replay", "--check").returncode == 0
    table = library.misir("replay", "--space", "Kitchen", "--config", str(config))
    assert "Nothing was written: add --apply" in table.stdout
    again = json.loads(
        library.misir("replay", "--space", "Kitchen", "--config", str(config), "--json").stdout
    )
    assert again[0]["n_unassigned"] == space["n_unassigned"]

    applied = library.misir("replay", "--space", "Kitchen", "--config", str(config), "--apply")
    assert applied.returncode == 0, applied.stderr
    assert "Applied." in applied.stdout
    assert library.misir("replay", "--check").returncode == 0
    nothing = json.loads(
        library.misir("replay", "--space", "Kitchen", "--config", str(config), "--json").stdout
    )
    assert nothing[0]["moves"] == []
    page = library.root / "later.md"
    page.write_text("# Later\n\nsourdough and oven\n")
    later = library.misir("capture", str(page), "--space", "Kitchen", "--json")
    assert json.loads(later.stdout)["subspace_id"] is None, "the kept numbers decide from now on"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not json", "must be JSON"),
        ('{"config": {"courage": 1}}', "courage"),
        ('{"calibration": {"courage": 1}}', "courage"),
        ('{"config": {"learning_rate": "fast"}}', "learning_rate"),
    ],
)
def test_numbers_that_are_none_are_refused_in_a_sentence(library: Any, text: str, said: str) -> None:
    config = library.root / "wrong.json"
    config.write_text(text)
    refused = library.misir("replay", "--space", "Kitchen", "--config", str(config))
    assert refused.returncode == 1
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr
