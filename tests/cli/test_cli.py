"""Each command as people and programs meet it: help, table, JSON, exit code, sentence."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

COMMANDS = [
    "serve",
    "import",
    "export",
    "migrate",
    "calibrate",
    "replay",
    "worker",
    "bench quality",
    "demo",
    "capture",
    "search",
    "spaces",
    "spaces create",
]


def one_sentence(stderr: str) -> str:
    """The one line of a refusal; steps of the database may stand above it only on a terminal."""
    lines = stderr.strip().splitlines()
    assert len(lines) == 1, stderr
    assert lines[0].startswith("misir: ")
    assert lines[0].endswith(".")
    return lines[0]


@pytest.fixture(scope="module")
def library(shared_house: Any) -> Any:
    """A house with a space "Python" and one page in it."""
    made = shared_house.misir(
        "spaces",
        "create",
        "Python",
        "--topic",
        "Files: csv files, paths",
        "--topic",
        "Network: sockets",
        "--json",
    )
    assert made.returncode == 0, made.stderr
    note = shared_house.root / "csv notes.md"
    note.write_text("# Reading tables\n\nThe csv module reads comma separated values, row by row.\n")
    assert shared_house.misir("capture", str(note), "--space", "python").returncode == 0
    return shared_house


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example_and_the_exit_codes(shared_house: Any, command: str) -> None:
    shown = shared_house.misir(*command.split(), "--help")
    assert shown.returncode == 0
    assert f"misir {command}" in shown.stdout.partition("Examples:")[2]
    assert "Exit codes: 0 done" in shown.stdout


def test_the_spaces_as_a_table_and_as_json(library: Any) -> None:
    table = library.misir("spaces").stdout
    assert "Python" in table
    assert "topics" in table
    (space,) = json.loads(library.misir("spaces", "--json").stdout)
    assert (space["name"], space["subspace_count"], space["artifact_count"]) == ("Python", 2, 1)


def test_a_search_finds_the_note_by_meaning(library: Any) -> None:
    found = library.misir("search", "spreadsheet rows", "--json")
    (hit,) = json.loads(found.stdout)["results"]
    assert hit["title"] == "Reading tables"
    assert hit["url"].endswith("/csv%20notes.md")
    assert "Reading tables" in library.misir("search", "spreadsheet rows", "--space", "1").stdout


def test_the_same_file_twice_is_one_page(library: Any) -> None:
    again = json.loads(library.misir("capture", str(library.root / "csv notes.md"), "--json").stdout)
    assert not again["is_new"]


def test_standard_input_needs_a_name(library: Any) -> None:
    refused = library.misir("capture", "-", stdin="Sockets carry bytes.")
    assert refused.returncode == 1
    assert "--title or --url" in one_sentence(refused.stderr)
    taken = library.misir("capture", "-", "--title", "Sockets", "--json", stdin="Sockets carry bytes.")
    assert json.loads(taken.stdout)["is_new"]


def test_a_page_is_fetched_or_takes_its_text(library: Any) -> None:
    page = "https://docs.example.org/select"
    refused = library.misir("capture", "http://127.0.0.1:9/")
    assert refused.returncode == 1
    assert "must be a public address" in refused.stderr
    taken = library.misir(
        "capture", page, "--content-file", "-", "--json", stdin="# Select\n\nWaits for sockets."
    )
    assert json.loads(taken.stdout)["is_new"]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("page.txt", b"<!DOCTYPE html><p>hello</p>", "is HTML"),
        ("photo.txt", b"\xff\xfe\x00\xd8", "is not text in UTF-8"),
        ("blank.txt", b" \n", "is empty"),
        ("absent.txt", None, "cannot be read: No such file or directory"),
    ],
)
def test_what_is_not_plain_text_is_refused(house: Any, name: str, data: bytes | None, reason: str) -> None:
    path = Path(house.root / name)
    if data is not None:
        path.write_bytes(data)
    refused = house.misir("capture", str(path))
    assert refused.returncode == 1
    assert reason in one_sentence(refused.stderr)
    assert not house.data.exists(), "nothing was started for it"


def test_an_unknown_space_is_refused_with_those_there_are_and_made_on_demand(library: Any) -> None:
    note = str(library.root / "csv notes.md")
    refused = library.misir("capture", note, "--space", "Gardening")
    assert refused.returncode == 1
    sentence = one_sentence(refused.stderr)
    assert "no space 'Gardening'" in sentence
    assert "Python (1)" in sentence
    stranger = ("--user", str(uuid.uuid4()))
    made = library.misir("capture", note, "--space", "Gardening", "--create", *stranger, "--json")
    assert json.loads(made.stdout)["is_new"]
    spaces = json.loads(library.misir("spaces", *stranger, "--json").stdout)
    assert [space["name"] for space in spaces] == ["Gardening"]


def test_migrate_finds_nothing_left_to_do(library: Any) -> None:
    answer = json.loads(library.misir("migrate", "--json").stdout)
    assert answer["applied"] == []
    assert answer["count"] > 0


def test_migrating_a_foreign_database_needs_its_owner(house: Any) -> None:
    refused = house.misir("migrate", DATABASE_URL="postgresql://app@localhost/misir")
    assert refused.returncode == 1
    assert "DATABASE_MIGRATE_URL" in one_sentence(refused.stderr)


def test_wrong_usage_is_2(house: Any) -> None:
    assert house.misir("search").returncode == 2
    assert house.misir("search", "csv", "--mode", "psychic").returncode == 2
    assert house.misir("invent").returncode == 2


def test_a_wrong_variable_is_named(house: Any) -> None:
    refused = house.misir("spaces", LOG_LEVEL="LOUD")
    assert refused.returncode == 1
    assert "LOG_LEVEL" in one_sentence(refused.stderr)


def test_two_topics_of_one_name_are_refused(house: Any) -> None:
    refused = house.misir("spaces", "create", "X", "--topic", "A: b", "--topic", "a: c")
    assert refused.returncode == 1
    assert "two subspaces have the same name" in refused.stderr


def test_notes_come_in_go_out_and_are_taken_back(library: Any) -> None:
    folder = library.root / "notes"
    (folder / "garden").mkdir(parents=True)
    (folder / "garden" / "soil.md").write_text("# Soil\n\nWorms carry compost down.")
    (folder / ".hidden.md").write_text("not this one")
    taken = json.loads(library.misir("import", str(folder), "--space", "Notes", "--create", "--json").stdout)
    assert (taken["state"], taken["format"], taken["new_count"]) == ("done", "notes", 1)
    exported = library.misir("export")
    kinds = [json.loads(line)["kind"] for line in exported.stdout.splitlines()]
    assert (kinds[0], kinds[-1]) == ("misir-export", "end")
    undone = library.misir("import", "--undo", str(taken["id"]))
    assert f"Import {taken['id']} is undone: 1 new" in undone.stdout
    assert "1 taken back" in undone.stdout
