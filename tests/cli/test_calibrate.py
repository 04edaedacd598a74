"""`misir calibrate` on a file and on a library: figures a person can read, figures a program can read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

SUBJECTS = {
    "soil": "compost mulch loam clay worms humus peat tilth manure lime",
    "stars": "nebula galaxy comet orbit telescope planet eclipse quasar meteor pulsar",
    "bread": "flour yeast dough oven crust rye sourdough knead loaf crumb",
    "chess": "rook bishop knight pawn castling checkmate gambit endgame opening king",
}
NAMES = {"mu", "sigma", "tau", "novelty", "novelty_item", "sharpness", "margin_gate", "search_threshold"}


def texts() -> list[dict[str, str]]:
    return [
        {"label": label, "title": word, "text": f"About {word} and {other}, as one meets them with {label}."}
        for label, words in SUBJECTS.items()
        for word, other in zip(words.split(), reversed(words.split()), strict=True)
    ]


def write(path: Path, lines: list[Any]) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def test_a_file_is_measured_beside_what_is_shipped(shared_house: Any) -> None:
    write(
        shared_house.root / "texts.jsonl",
        [*texts(), "", {"label": "rare", "title": "One", "text": "Of its kind."}],
    )
    shown = shared_house.misir("calibrate", "texts.jsonl", "--output", "found.json", "--seed", "3")
    assert shown.returncode == 0, shown.stderr
    lines = {line.split()[0]: line.split()[1:] for line in shown.stdout.splitlines()}
    assert lines["value"] == ["shipped", "measured", "n", "spread"]
    assert set(lines) >= NAMES
    assert "40 texts of 4 labels: texts.jsonl." in shown.stdout
    found = json.loads((shared_house.root / "found.json").read_text())
    assert set(found["calibration"]) == set(found["measured"]) == NAMES
    assert lines["tau"][1] == f"{found['measured']['tau']['value']:.3f}"
    assert found["calibration"]["mu"] < found["calibration"]["novelty"] < found["calibration"]["tau"]
    assert (found["seed"], found["texts"], found["labels"]) == (3, 40, 4)


def test_without_titles_the_search_threshold_stays_as_shipped(shared_house: Any) -> None:
    untitled = [{"label": one["label"], "text": one["text"]} for one in texts()]
    write(shared_house.root / "untitled.jsonl", untitled)
    found = json.loads(shared_house.misir("calibrate", "untitled.jsonl", "--json").stdout)
    assert "search_threshold" not in found["measured"]
    assert found["calibration"]["search_threshold"] == 0.2


def test_a_library_is_measured_by_its_topics(shared_house: Any) -> None:
    topics = [f"--topic={label}: {words.replace(' ', ', ')}" for label, words in SUBJECTS.items()]
    space = json.loads(shared_house.misir("spaces", "create", "All", *topics, "--json").stdout)["id"]
    empty = json.loads(shared_house.misir("spaces", "create", "Empty", "--json").stdout)["id"]
    # One process for all the pages: the command line would start one for each.
    server = shared_house.serve("--no-demo")
    with httpx.Client(base_url=server.url, timeout=60) as api:
        for one in texts():
            page = {"space_id": space, "url": f"https://d.example/{one['title']}", "content": one["text"]}
            assert api.post("/api/v1/capture", json=page | {"title": one["title"]}).status_code == 201
    found = shared_house.misir("calibrate", "--json")
    assert found.returncode == 0, found.stderr
    measured = json.loads(found.stdout)
    assert measured["labels"] == 4
    assert 24 <= measured["texts"] <= 40
    assert set(measured["measured"]) == NAMES
    refused = shared_house.misir("calibrate", "--space", str(empty))
    assert refused.returncode == 1
    assert "at least 4 labels with 6 texts each; here 0 of 0 have as many." in refused.stderr
    server.end()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([{"label": "a", "text": "x"}], "at least 4 labels with 6 texts each; here 0 of 1 have as many."),
        (["{}"], "line 1: text: Field required."),
        ([{"label": "a", "text": "x"}, "nonsense"], "line 2: the line: Invalid JSON"),
        ([{"label": None, "text": "x"}], "line 1: label"),
    ],
)
def test_a_file_that_will_not_do_is_refused_in_one_sentence(
    shared_house: Any, lines: list[Any], said: str
) -> None:
    write(shared_house.root / "bad.jsonl", lines)
    refused = shared_house.misir("calibrate", "bad.jsonl")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert said in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_a_file_that_is_not_there_is_refused(shared_house: Any) -> None:
    refused = shared_house.misir("calibrate", "missing.jsonl")
    assert refused.returncode == 1
    assert "missing.jsonl cannot be read" in refused.stderr
