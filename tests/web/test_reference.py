import html as markup
import shlex
import subprocess
from typing import Any

import httpx
import pytest

from misir.web.reference import Part, curl_line, read_reference, type_of


@pytest.fixture(scope="module")
def openapi(library: str) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.get(library + "/api/v1/openapi.json").json()
    return answer


def test_every_route_and_object_is_on_the_page(library: str, openapi: dict[str, Any]) -> None:
    page = httpx.get(library + "/docs").text
    reference = read_reference(openapi, base_url=library, with_token=False)
    routes = [route for _, group in reference.groups for route in group]
    assert len(routes) == sum(len(item) for item in openapi["paths"].values())
    assert len({route.anchor for route in routes}) == len(routes)
    for route in routes:
        assert f'id="{route.anchor}"' in page
        assert (
            markup.escape(route.curl, quote=True).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")
            in page
        )
    for name in openapi["components"]["schemas"]:
        assert f'id="object-{name}"' in page


def test_parameters_fields_and_answers(openapi: dict[str, Any]) -> None:
    reference = read_reference(openapi, base_url="http://m", with_token=False)
    routes = {(route.method, route.path): route for _, group in reference.groups for route in group}
    search = routes["GET", "/api/v1/search"]
    q, mode = (next(one for one in search.parameters if one.name == name) for name in ("q", "mode"))
    assert q.is_required
    assert [part.text for part in mode.type] == ["hybrid | semantic | keyword"]
    assert "Default: `hybrid`" in mode.note
    capture = routes["POST", "/api/v1/capture"]
    assert next(one for one in capture.body if one.name == "url").note == "At most 8,192 characters."
    assert next(one for one in capture.answers if one.status == "404").type == [Part("Problem", "Problem")]


def test_the_example_lines_answer(library: str, openapi: dict[str, Any]) -> None:
    reference = read_reference(openapi, base_url=library, with_token=False)
    for route in (route for _, group in reference.groups for route in group if route.method == "GET"):
        command = shlex.split(route.curl.replace("\\\n", ""))
        found = subprocess.run(
            [*command, "-s", "-o", "/dev/null", "-w", "%{http_code}"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout in {"200", "403", "404"}, route.curl


def test_a_token_is_named_only_where_one_is_needed() -> None:
    data = curl_line("get", "/api/v1/x", {}, {}, base_url="http://m", with_token=True)
    assert 'Authorization: Bearer $MISIR_TOKEN"' in data
    assert "Bearer" not in curl_line("get", "/health", {}, {}, base_url="http://m", with_token=True)


def test_types_nobody_foresaw_have_words() -> None:
    assert type_of({}, {}) == [Part("anything")]
    assert type_of({"$ref": "#/components/schemas/Gone"}, {}) == [Part("Gone")]
    assert [part.text for part in type_of({"anyOf": [{"type": "integer"}, {"type": "null"}]}, {})] == [
        "integer",
        "or",
        "null",
    ]


def test_a_hostile_host_header_stays_text(library: str) -> None:
    page = httpx.get(library + "/docs", headers={"Host": 'a"><script>x</script>'})
    assert "<script>x" not in page.text
