"""The documents against the program: what exists is described, and what a document points to is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer
from fastapi import FastAPI

from misir import cli
from misir.app import create_app
from misir.embed.calibration import CALIBRATIONS, UNMEASURED, Calibration
from misir.embed.models import MINILM, NOMIC
from misir.orient.config import EngineConfig
from misir.plumbing.migrate import MIGRATIONS, VECTOR_COLUMNS
from misir.settings import Settings
from misir.web import pages, system

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
MARKDOWN = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
DECISIONS = sorted(DOCS.glob("decisions/[0-9]*.md"))
SQL = "\n".join(path.read_text("utf-8") for path in sorted(MIGRATIONS.glob("*.sql")))

_FENCE = re.compile(r"^ *(```+).*?^ *\1 *$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *#* *$", re.MULTILINE)
_CURL_URL = re.compile(r"https?://(?:localhost|127\.0\.0\.1):\d+(/[^\s'\"`?#]*)?")


def read(*parts: str) -> str:
    return ROOT.joinpath(*parts).read_text("utf-8")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app(Settings(_env_file=None))


def paths_of(app: FastAPI) -> list[str]:
    """Every address the app answers, the pages included."""
    own = [*app.routes, *system.router.routes, *pages.router.routes]
    return sorted({*(getattr(route, "path", "") for route in own), *app.openapi()["paths"]} - {""})


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as forges make them."""
    found: set[str] = set()
    for heading in _HEADING.findall(_FENCE.sub("", path.read_text("utf-8"))):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", text).replace(" ", "-"))
    return found


def links(path: Path) -> Iterator[tuple[Path, str]]:
    """Relative links outside code: the file each leads to, and its anchor."""
    text = re.sub(r"`[^`\n]*`", "", _FENCE.sub("", path.read_text("utf-8")))
    for target in _LINK.findall(text):
        if not re.match(r"[a-z]+:", target):
            file, _, anchor = target.partition("#")
            yield (path.parent / file if file else path), anchor


def rows(text: str) -> dict[str, str]:
    """First cell in backticks → the rest of its line, of every table of a document."""
    return dict(re.findall(r"^\| *`([^`]+)` *\|(.*)\|$", text, re.MULTILINE))


# ---- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_is_documented(name: str) -> None:
    documented = rows(read("docs", "settings.md"))
    assert len(documented.get(name, "")) > 20, f"docs/settings.md has no row for {name}"
    assert re.search(rf"^# {name}=", read(".env.example"), re.MULTILINE), f".env.example lacks {name}"


def test_no_setting_is_documented_that_does_not_exist() -> None:
    known = set(Settings.model_fields)
    assert set(rows(read("docs", "settings.md"))) == known
    assert set(re.findall(r"^#? ?([A-Z][A-Z_]+)=", read(".env.example"), re.MULTILINE)) == known


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_the_documented_default_is_the_real_one(name: str) -> None:
    default = Settings.model_fields[name].default
    cell = rows(read("docs", "settings.md"))[name].partition("|")[0].strip()
    if default in {None, ()}:
        assert cell == "—"
    elif isinstance(default, tuple):
        assert all(part in cell for part in ("localhost", "127.0.0.1", "3000", "5173"))
    else:
        assert cell == f"`{default}`"


# ---- routes and commands -------------------------------------------------------------------------


def operations(openapi: dict[str, Any]) -> list[str]:
    return [
        f"{method.upper()} {path}"
        for path, item in openapi["paths"].items()
        for method in item
        if method in {"get", "post", "put", "patch", "delete"}
    ]


def test_every_route_is_documented_and_no_other(app: FastAPI) -> None:
    text = read("docs", "api", "README.md")
    documented = set(re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /[^`\s]*)`", text))
    described = set(operations(app.openapi()))
    assert len(described) > 10
    assert sorted(described - documented) == []
    pages = {f"GET {path}" for path in paths_of(app)} | {
        "GET /metrics",
        "GET /dashboard",
        "GET /dashboard/api",
    }
    assert sorted(one for one in documented - described - pages if "?" not in one) == []


def commands() -> list[str]:
    """Every command that does something, as it is typed."""
    found: list[str] = []

    def walk(command: Any, words: list[str]) -> None:
        names = command.list_commands(None) if hasattr(command, "list_commands") else []
        if not command.hidden and words and (not names or command.invoke_without_command):
            found.append(" ".join(words))
        for name in names:
            walk(command.get_command(None, name), [*words, name])

    walk(typer.main.get_command(cli.app), [])
    return sorted(found)


def options(words: list[str]) -> list[str]:
    command: Any = typer.main.get_command(cli.app)
    for word in words:
        command = command.get_command(None, word)
    shown = [one for one in command.params if not getattr(one, "hidden", False)]
    given = [flag for one in shown for flag in [*one.opts, *one.secondary_opts] if flag.startswith("--")]
    return [flag for flag in given if flag != "--help"]


@pytest.mark.parametrize("command", commands())
def test_every_command_and_option_is_documented(command: str) -> None:
    sections = re.split(r"^## ", read("docs", "cli.md"), flags=re.MULTILINE)
    section = next((one for one in sections if one.startswith(f"misir {command}\n")), "")
    assert section, f"docs/cli.md has no section for misir {command}"
    assert [flag for flag in options(command.split()) if flag not in section] == []


def test_no_command_is_documented_that_does_not_exist() -> None:
    documented = re.findall(r"^## misir (.+)$", read("docs", "cli.md"), re.MULTILINE)
    assert sorted(documented) == commands()


def test_the_curl_lines_lead_somewhere(app: FastAPI) -> None:
    patterns = [re.compile(re.sub(r"\\\{[^}]*\}", "[^/]+", re.escape(path))) for path in paths_of(app)]
    for path in MARKDOWN:
        for address in _CURL_URL.findall(path.read_text("utf-8")):
            assert address in {"", "/v1", "/…"} or any(one.fullmatch(address) for one in patterns), (
                f"{name_of(path)} names {address}, which no route answers"
            )
    assert len(_CURL_URL.findall(read("README.md"))) >= 3


# ---- the database and the engine -----------------------------------------------------------------


def test_every_table_migration_role_and_vector_column_is_documented() -> None:
    text = read("docs", "database", "README.md")
    tables = re.findall(r"create table misir\.(\w+)", SQL)
    assert len(tables) > 10
    documented = rows(text)
    assert [table for table in tables if table not in documented] == []
    assert [path.name for path in sorted(MIGRATIONS.glob("*.sql")) if path.name not in documented] == []
    roles = set(re.findall(r"\('(\w+)', 'nologin", SQL))
    functions = set(re.findall(r"create function ((?:misir|auth)\.\w+)", SQL))
    columns = {f"{table}.{column}" for table, column, _ in VECTOR_COLUMNS}
    assert sorted(one for one in roles | functions | columns if one not in text) == []


@pytest.mark.parametrize("name", [field.name for field in fields(EngineConfig)])
def test_every_number_of_the_engine_is_documented(name: str) -> None:
    text = read("docs", "maths.md")
    assert f"`{name}`" in text, f"docs/maths.md does not name {name}"
    value = getattr(EngineConfig(), name)
    shown = {str(value), f"{value:g}", f"{value:,}", f"{value:.2f}"}
    after = re.findall(rf"`{name}`([^`]{{0,20}})", " ".join(text.split()))
    assert any(one in said for said in after for one in shown), f"docs/maths.md gives {name} another default"


@pytest.mark.parametrize("name", [field.name for field in fields(Calibration)])
def test_every_number_of_a_model_is_documented(name: str) -> None:
    line = next(line for line in read("docs", "maths.md").splitlines() if f"`{name}`" in line)
    documented = [float(cell) for cell in line.split("|")[-4:-1]]
    known = [CALIBRATIONS[MINILM.id], CALIBRATIONS[NOMIC.id], UNMEASURED]
    assert documented == [getattr(calibration, name) for calibration in known]


# ---- the documents themselves --------------------------------------------------------------------


@pytest.mark.parametrize("path", MARKDOWN, ids=name_of)
def test_relative_links_resolve(path: Path) -> None:
    for target, anchor in links(path):
        assert target.exists(), f"{name_of(path)} links to {target}, which is not there"
        if anchor:
            assert anchor in anchors(target), f"{name_of(path)} links to #{anchor} of {target.name}"


@pytest.mark.parametrize(
    "link", ["../architecture/backend.md", "../api/README.md", "../database/README.md", "README.md"]
)
def test_the_founding_documents_links_resolve(link: str) -> None:
    """Its own place is docs/deployment/; these are the related documents it names from there."""
    target = DOCS / "deployment" / link
    assert target.is_file()
    assert len(target.read_text("utf-8")) > 1000


@pytest.mark.parametrize("path", MARKDOWN, ids=name_of)
def test_every_document_can_be_reached_from_the_readme(path: Path) -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop().resolve()
        if page not in reached and page.suffix == ".md" and page.is_file():
            reached.add(page)
            waiting += [target for target, _ in links(page)]
    assert path.resolve() in reached


@pytest.mark.parametrize("path", DECISIONS, ids=name_of)
def test_a_decision_has_its_parts_and_its_place_in_the_list(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.startswith(f"# {path.name[:4]}: ")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings == ["Context", "Decision", "Consequences", "Evidence"]
    assert path.name in read("docs", "decisions", "README.md")


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = [int(path.name[:4]) for path in DECISIONS]
    assert numbers == list(range(1, len(numbers) + 1))


def test_what_a_document_names_in_the_source_exists() -> None:
    """`src/misir/…` and `tests/…` paths, and the names of tests."""
    tests = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for path in MARKDOWN:
        text = path.read_text("utf-8")
        for named in re.findall(r"`((?:src/misir|tests)/[\w./]+)`", text):
            assert (ROOT / named).exists(), f"{name_of(path)} names {named}"
        for named in re.findall(r"`(test_\w+)`", text):
            assert f"def {named}(" in tests, f"{name_of(path)} names {named}"


def test_the_fixed_words_are_in_the_glossary() -> None:
    words = "space subspace artifact signal marker margin fit confidence drift velocity OSCL WESA SDD ISS"
    text = read("docs", "glossary.md")
    for word in [*words.split(), "engagement level", "latent < discovered < engaged < saturated"]:
        assert re.search(rf"^\| {re.escape(word)}|{re.escape(word)}", text, re.MULTILINE), word


def test_the_changelog_begins_with_this_version() -> None:
    assert f"## [{Settings.model_fields['VERSION'].default}]" in read("docs", "changelog.md")
