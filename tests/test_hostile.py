"""Bodies, numbers, strings, queries and headers made to break things: a clear 4xx each, and nothing is lost."""

from __future__ import annotations

import json
import socket
from typing import Any

import httpx
import pytest

URL = "https://a.example/"
NUMBERS = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400",
    "-1e400",
    "-1",
    "-0.1",
    "true",
    "null",
    '"7"',
    '"x"',
    "[]",
    "{}",
    "[1]",
    "9" * 400,
    "0x10",
    "1_000",
    "01",
]
FIELDS = [
    "space_id",
    "scroll_depth",
    "dwell_time_ms",
    "word_count",
    "reading_depth",
    "signal_magnitude",
    "active_time_ms",
    "subspace_id",
]
STRINGS = [
    '"a\\u0000b"',
    '"\\ud800"',
    '"\\udfff\\ud800"',
    "7",
    "true",
    "[]",
    "{}",
    '["x"]',
    '{"$gt": ""}',
    '"' + "x" * 9000 + '"',
]
WORDS = ["url", "engagement_level", "content_source", "signal_type", "embedding_model"]
RAW = [
    b"", b" ", b"{", b"}", b"[", b'"', b"nul", b"null", b"true", b"0", b"[]", b'"text"', b"\xff\xfe{", b"\xef\xbb\xbf{}", b"{}{}", b"{'a': 1}", b"a=1&b=2",
    b'{"a": 1,}', b"[" * 50_000, b'{"a":' * 20_000, b'{"space_id": 1, "space_id": {}}', b"\x00", b'{"\x00": 1}', b"<xml/>", b"%PDF-1.7", b"\x1f\x8b\x08\x00",
    b'{"__proto__": {}}', b'{"space_id": ' + b"9" * 5000 + b"}", b'{"url": "' + b"a" * 100_000 + b'"}', b'{"a": 1e' + b"9" * 1000 + b"}",
]  # fmt: skip


def hostile_bodies() -> list[bytes]:
    good = {"space_id": 1, "url": URL, "title": "t"}
    bodies = list(RAW)
    for field in FIELDS:
        bodies += [json.dumps(good | {field: "@"}).replace('"@"', number).encode() for number in NUMBERS]
    for field in WORDS:
        bodies += [json.dumps(good | {field: "@"}).replace('"@"', text).encode() for text in STRINGS]
    bodies += [
        json.dumps(good | {"embedding": value}).encode()
        for value in ([], [[]], ["a"], [None], {}, "AAAA", "%%", [0.0] * 20_000, [1e39] * 384)
    ]
    bodies += [
        json.dumps(good | {"captured_at": value}).encode()
        for value in (
            "now",
            "",
            0,
            1e18,
            "0000-01-01T00:00:00Z",
            "99999-01-01T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01",
            {},
        )
    ]
    bodies += [
        json.dumps(good | {"matched_marker_ids": value}).encode()
        for value in ("1", [0], [-1], [2**63], ["x"], [True], [1] * 51, {})
    ]
    bodies += [
        json.dumps(good | {"url": value}).encode()
        for value in (
            "",
            " ",
            "http://",
            "javascript:alert(1)",
            "http://[::1",
            "http://a b",
            "http://a:99999/",
            "//a",
            "data:text/html,x",
            "http://" + "a" * 300,
        )
    ]
    return bodies


def test_hostile_captures_are_all_refused_and_break_nothing(api: httpx.Client) -> None:
    assert api.post("/api/v1/spaces", json={"name": "S"}).status_code == 201
    bodies = hostile_bodies()
    assert len(bodies) >= 150
    accepted = []
    for body in bodies:
        answer = api.post("/api/v1/capture", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code < 500, (body[:200], answer.text)
        if answer.is_success:
            accepted.append(body)
        else:
            assert answer.headers["content-type"] == "application/problem+json"
            assert isinstance(answer.json()["detail"], str)
    # What may be missing, and numbers as text where an id is meant, are no attacks.
    harmless = (b"null", b'"7"', b"[]", b"9999999999")
    assert [body for body in accepted if not any(mark in body for mark in harmless)] == []
    assert api.post("/api/v1/capture", json={"space_id": 1, "url": URL, "title": "still fine"}).is_success


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/xml",
        "multipart/form-data",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
        "",
        "x" * 5000,
    ],
)
def test_other_kinds_of_bodies_are_refused(api: httpx.Client, content_type: str) -> None:
    answer = api.post("/api/v1/spaces", content=b"name=S", headers={"Content-Type": content_type})
    assert 400 <= answer.status_code < 500


@pytest.mark.parametrize(
    "query",
    ["q=%00", "q=%ff", "q=a&limit=1e3", "q=a&limit=-1", "q=a&limit=9" + "9" * 400, "q=a&threshold=NaN", "q=a&threshold=inf", "q=a&space_id=0", "q=a&space_id=x",
     "q=a&from=now", "q=a&from=0", "q=a&cursor=%00", "q=a&cursor=" + "A" * 600, "q[]=a", "q=" + "a" * 1001, "q=a&user_id=" + "a" * 65],
)  # fmt: skip
def test_hostile_queries_are_4xx(api: httpx.Client, query: str) -> None:
    answer = api.get(f"/api/v1/search?{query}")
    assert 400 <= answer.status_code < 500 or query == "q=%ff", answer.text
    assert answer.status_code < 500


def test_half_a_request_does_no_harm(api: httpx.Client) -> None:
    address = (api.base_url.host, api.base_url.port or 80)
    for sent in (
        b"GET",
        b"GET / HTTP/1.1\r\n",
        b"POST /api/v1/capture HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
        b"\x16\x03\x01\x02\x00",
        b"\r\n" * 100,
    ):
        with socket.create_connection(address, timeout=5) as half:
            half.sendall(sent)
    assert api.get("/health").status_code == 200


@pytest.mark.parametrize(
    "header", [("X-Request-ID", "x" * 10_000), ("Origin", "null"), ("Origin", "x" * 5000), ("Accept", "*/*;q=" + "9" * 500), ("Host", "evil.example"), ("Cookie", "a" * 8000), ("Authorization", "Bearer " + "a" * 9000), ("X-Forwarded-For", "x" * 3000)]
)  # fmt: skip
def test_hostile_headers_are_no_server_errors(api: httpx.Client, header: tuple[str, str]) -> None:
    request: Any = api.build_request("GET", "/api/v1/spaces", headers=[header])
    answer = api.send(request)
    assert answer.status_code < 500
