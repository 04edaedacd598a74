import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

import misir
from misir.plumbing.errors_http import SLUGS
from misir.web.problems import PROBLEMS

SOURCE = Path(misir.__file__).parent


def slugs_in_code() -> Iterator[str]:
    """The second argument of every MisirError(...) that is written out, and the tables of errors.py."""
    yield from SLUGS.values()
    yield "http-error"  # errors.answer_http's fallback
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "MisirError":
                given = [*node.args[1:2], *(k.value for k in node.keywords if k.arg == "slug")]
                yield from (str(one.value) for one in given if isinstance(one, ast.Constant))


def test_every_slug_in_the_code_has_a_page() -> None:
    used = set(slugs_in_code())
    assert {"not-found", "model-mismatch", "migration-refused"} <= used
    assert not used - set(PROBLEMS)


@pytest.mark.parametrize("slug", PROBLEMS)
def test_a_page_says_what_it_means_and_what_to_do(
    library: str, html: Callable[..., httpx.Response], slug: str
) -> None:
    page = html(f"{library}/problems/{slug}")
    assert page.status_code == 200
    assert "What it means" in page.text
    assert "What to do" in page.text
    facts = httpx.get(f"{library}/problems/{slug}").json()
    assert facts["type"] == f"/problems/{slug}"
    assert facts["title"] == PROBLEMS[slug].title


def test_an_unknown_one_is_a_problem_itself(library: str) -> None:
    answer = httpx.get(library + "/problems/nonsense")
    assert answer.status_code == 404
    assert answer.json()["type"] == "/problems/not-found"
