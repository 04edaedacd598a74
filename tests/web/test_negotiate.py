import pytest

from misir.web.negotiate import prefers_html


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
        "text/*",
        "TEXT/HTML ; Q=0.5, application/json;q=0.4",
        "application/json;q=0, */*;q=0.1",
    ],
)
def test_browsers_get_html(accept: str) -> None:
    assert prefers_html(accept)


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "",
        "*/*",
        "application/json",
        "application/json, text/html;q=0.9",
        "text/html, application/json",  # a tie is for programs
        "text/html;q=0, */*",
        "text/html;q=nan",
        "text/html;q=9",
        "image/png",
        ",;=,q=1",
    ],
)
def test_programs_get_json(accept: str | None) -> None:
    assert not prefers_html(accept)
