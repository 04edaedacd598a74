from collections.abc import Callable

import httpx
import pytest

Html = Callable[..., httpx.Response]


def test_programs_get_facts_and_browsers_a_page(library: str, html: Html) -> None:
    program = httpx.get(library + "/")
    assert program.json()["codename"] == "shiro.exe"
    assert program.json()["status"] == "online"
    page = html(library + "/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "orientation engine" in page.text
    for answer in (program, page):
        assert "Accept" in answer.headers["vary"].split(", ")
    assert httpx.head(library + "/").status_code == 200


def test_pages_carry_the_headers_that_keep_them_safe(library: str, html: Html) -> None:
    for path in ("/", "/docs", "/problems/not-found"):
        headers = html(library + path).headers
        assert headers["content-security-policy"].startswith("default-src 'self';")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_it_shows_health_and_what_it_holds(library: str, html: Html) -> None:
    page = html(library + "/").text
    assert "<strong>Yes.</strong>" in page
    assert page.count("Working") == 2
    assert "6 artifacts in 2 spaces" in page
    for link in ("/docs", "/api/v1/openapi.json", "/health/ready"):
        assert f'href="{link}"' in page


def test_search_is_rendered_on_the_server(library: str, html: Html) -> None:
    page = html(library + "/", q="nap attention").text
    api = httpx.get(library + "/api/v1/search", params={"q": "nap attention"}).json()
    best = api["results"][0]
    assert f'<a href="{best["url"]}" rel="noreferrer noopener">{best["title"]}</a>' in page
    assert f"{api['count']} results for" in page
    assert "<mark>nap</mark>" in page
    assert f"(similarity {best['similarity']:.2f})" in page
    assert "in meaning, and it contains your words" in page
    assert "<strong>Sleep</strong>" in page


def test_search_in_one_space(library: str, html: Html) -> None:
    spaces = httpx.get(library + "/api/v1/spaces").json()["spaces"]
    bread = next(str(space["id"]) for space in spaces if space["name"] == "Bread")
    page = html(library + "/", q="flour", space_id=bread)
    assert f'<option value="{bread}" selected>' in page.text
    assert "What a short nap does" not in page.text
    assert html(library + "/", q="flour", space_id="").status_code == 200


def test_nothing_found_says_where_was_looked(library: str, html: Html) -> None:
    page = html(library + "/", q="zzqx vvkw qqjj")
    assert page.status_code == 200
    assert "Nothing found for “zzqx vvkw qqjj”" in page.text
    assert "6 artifacts searched" in page.text


@pytest.mark.parametrize(
    "query",
    [
        {"q": "x" * 1001},
        {"q": "a\x00b"},
        {"q": "x", "space_id": "one"},
        {"q": "x", "space_id": "9" * 40},
        {"q": "x", "cursor": "not a cursor"},
    ],
)
def test_a_wrong_question_is_a_page_that_says_so(library: str, html: Html, query: dict[str, str]) -> None:
    page = html(library + "/", **query)
    assert page.status_code == 422
    assert "This search could not be answered" in page.text
    assert 'href="/problems/validation-error"' in page.text


def test_a_space_of_nobody_is_not_found(library: str, html: Html) -> None:
    assert html(library + "/", q="x", space_id="999999").status_code == 404


def test_a_blank_question_is_none(library: str, html: Html) -> None:
    assert html(library + "/", q="   ").text == html(library + "/").text


def test_a_new_user_is_told_how_to_begin(empty: str, html: Html) -> None:
    page = html(empty + "/").text
    assert "There is no space yet" in page
    assert f"curl {empty}/api/v1/spaces" in page
    assert "Nothing to search yet" in html(empty + "/", q="anything").text


def test_an_empty_space_shows_a_capture_that_works(unread: str, html: Html) -> None:
    page = html(unread + "/").text
    space = httpx.get(unread + "/api/v1/spaces").json()["spaces"][0]["id"]
    assert "Nothing captured yet" in page
    assert f"&#34;space_id&#34;: {space}," in page


def test_signed_out_shows_nobodys_data(signed_out: str, html: Html) -> None:
    page = html(signed_out + "/", q="nap")
    assert page.status_code == 200
    assert "Searching needs signing in" in page.text
    assert "<strong>Yes.</strong>" in page.text
    for secret in ("What a short nap does", "Sleep", "Bread", "artifacts in", "<form"):
        assert secret not in page.text


def test_without_a_database_the_page_still_stands(down: str, html: Html) -> None:
    page = html(down + "/")
    assert page.status_code == 200
    assert "<strong>No.</strong>" in page.text
    assert "The database cannot be reached" in page.text
    asked = html(down + "/", q="nap")
    assert asked.status_code == 503
    assert 'href="/problems/unavailable"' in asked.text
    assert html(down + "/docs").status_code == 200


def test_without_a_model_it_answers_from_words_and_says_so(wordless: str, html: Html) -> None:
    page = html(wordless + "/", q="caffeine")
    assert page.status_code == 200
    assert "<strong>In part.</strong>" in page.text
    assert "Answered from keywords only" in page.text
    assert "Caffeine and the night" in page.text
    assert "It contains your words." in page.text
    assert "(similarity" not in page.text


def test_markup_in_titles_texts_and_questions_stays_text(library: str, html: Html) -> None:
    page = html(library + "/", q="flour <script>x</script>\"'><img src=x>").text
    assert "<script>x" not in page
    assert "<script>document" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;document" in page
    assert "A flour file, not a link" in page
    assert 'href="file' not in page


def test_static_files_are_kept_by_address(library: str) -> None:
    page = httpx.get(library + "/docs").text
    address = page.split('rel="stylesheet" href="')[1].split('"')[0]
    versioned = httpx.get(library + address)
    assert versioned.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert versioned.headers["content-type"].startswith("text/css")
    bare = httpx.get(library + "/static/misir.css")
    assert bare.headers["cache-control"] == "no-cache"
    again = httpx.get(library + "/static/misir.css", headers={"If-None-Match": bare.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("path", ["/static/nothing.css", "/static/../pages.py", "/static/%2e%2e/pages.py"])
def test_static_serves_nothing_else(library: str, path: str) -> None:
    answer = httpx.get(library + path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
