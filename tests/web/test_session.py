"""Signing in to the app: the cookie session, its renewal and end, and forms that only our pages can send."""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest

SECRET = "a secret that only this test's auth server knows, long enough"
USERS = {"ada@example.org": uuid.UUID(int=0xADA), "bob@example.org": uuid.UUID(int=0xB0B)}
PASSWORD = "correct horse battery"
HTML = {"Accept": "text/html"}


class AuthServer:
    """Supabase's part: passwords in, tokens out; a refresh token is good once."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.refresh: dict[str, str] = {}
        self.lifetime_s = 3600
        self.is_down = False
        auth = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
                status, said = auth.answer(self.path, sent, self.headers)
                body = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, sent: dict[str, str], headers: Any) -> tuple[int, dict[str, Any]]:
        grant = parse_qs(urlsplit(path).query).get("grant_type", ["logout"])[0]
        self.asked.append(grant)
        if self.is_down:
            return 500, {}
        if headers["apikey"] != "anon-key":
            return 401, {"error": "no api key"}
        if grant == "password" and sent.get("password") == PASSWORD and sent.get("email") in USERS:
            return 200, self.tokens(sent["email"])
        if grant == "refresh_token" and (email := self.refresh.pop(sent["refresh_token"], None)):
            return 200, self.tokens(email)
        return 400, {"error": "invalid_grant"}

    def tokens(self, email: str) -> dict[str, str]:
        now = int(time.time())
        claims = {
            "sub": str(USERS[email]), "role": "authenticated", "aud": "authenticated",
            "iss": f"{self.url}/auth/v1", "iat": now, "exp": now + self.lifetime_s,
        }  # fmt: skip
        refresh = uuid.uuid4().hex
        self.refresh[refresh] = email
        return {"access_token": jwt.encode(claims, SECRET, "HS256"), "refresh_token": refresh}


@pytest.fixture(scope="module")
def auth() -> Iterator[AuthServer]:
    server = AuthServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def base(auth: AuthServer, start: Callable[..., str], until_ready: Callable[[str], str]) -> str:
    return until_ready(
        start(MOCK_AUTH=False, SUPABASE_URL=auth.url, SUPABASE_KEY="anon-key", SUPABASE_JWT_SECRET=SECRET)
    )


@pytest.fixture
def browser(base: str) -> Iterator[httpx.Client]:
    """Cookies are kept, redirects are not followed."""
    with httpx.Client(base_url=base, headers=HTML, timeout=20) as client:
        yield client


def token_on(page: httpx.Response) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', page.text)
    assert found, page.text[:500]
    return found[1]


def sign_in(browser: httpx.Client, email: str, password: str = PASSWORD, **query: str) -> httpx.Response:
    token = token_on(browser.get("/app/sign-in"))
    form = {"csrf": token, "email": email, "password": password}
    return browser.post("/app/sign-in", params=query, data=form)


def make_space(browser: httpx.Client, name: str) -> str:
    token = token_on(browser.get("/app/start"))
    made = browser.post("/app/start", data={"csrf": token, "name": name, "intention": "Know it"})
    assert made.status_code == 303, made.text
    return str(made.headers["location"])


def test_nobody_is_led_to_the_door_and_back(browser: httpx.Client) -> None:
    refused = browser.get("/app/search?q=a")
    assert (refused.status_code, refused.headers["location"]) == (303, "/app/sign-in?next=/app/search")
    wrong = sign_in(browser, "ada@example.org", "guess", next="/app/search")
    assert wrong.status_code == 401
    assert 'value="ada@example.org"' in wrong.text
    assert "guess" not in wrong.text
    right = sign_in(browser, "ada@example.org", next="/app/search")
    assert (right.status_code, right.headers["location"]) == (303, "/app/search")
    assert browser.get("/app/search").status_code == 200
    elsewhere = sign_in(browser, "ada@example.org", next="//evil.example/app")
    assert elsewhere.headers["location"] == "/app"


def test_the_session_is_for_pages_only_and_not_for_scripts(browser: httpx.Client, base: str) -> None:
    given = sign_in(browser, "ada@example.org").headers.get_list("set-cookie")
    for cookie in (one for one in given if one.startswith(("misir_access", "misir_refresh"))):
        assert all(part in cookie for part in ("HttpOnly", "SameSite=lax", "Path=/app"))
    assert len(given) == 2
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies.jar)
    assert "misir_access=" in cookies
    answer = httpx.get(base + "/api/v1/spaces", headers={"Cookie": cookies})
    assert answer.status_code == 401


def test_an_ended_token_is_renewed_once_however_many_ask(browser: httpx.Client, auth: AuthServer) -> None:
    auth.lifetime_s = 1  # within the early time: due at once
    sign_in(browser, "ada@example.org")
    auth.lifetime_s = 3600
    cookies = dict(browser.cookies)
    auth.asked.clear()

    def look(_: int) -> httpx.Response:
        return httpx.get(
            f"{str(browser.base_url).rstrip(chr(47))}/app/settings", headers=HTML, cookies=cookies, timeout=20
        )

    with ThreadPoolExecutor(6) as pool:
        pages = list(pool.map(look, range(6)))
    assert [page.status_code for page in pages] == [200] * 6
    assert auth.asked == ["refresh_token"]
    renewed = {page.cookies["misir_access"] for page in pages}
    assert len(renewed) == 1
    assert renewed != {cookies["misir_access"]}


def test_what_cannot_be_renewed_is_a_sign_in_and_what_cannot_be_asked_is_not(
    browser: httpx.Client, auth: AuthServer
) -> None:
    auth.lifetime_s = 1
    sign_in(browser, "bob@example.org")
    auth.lifetime_s, auth.is_down = 3600, True
    down = browser.get("/app/settings")
    assert down.status_code == 503
    assert "set-cookie" not in down.headers, "a session must outlive a sign-in service that is away"
    auth.is_down = False
    auth.refresh.clear()
    ended = browser.get("/app/settings")
    assert ended.status_code == 303
    assert ended.headers["location"].startswith("/app/sign-in")
    assert "misir_access" not in browser.cookies


def test_a_forged_cookie_is_nobody(browser: httpx.Client) -> None:
    claims = {"sub": str(USERS["ada@example.org"]), "exp": int(time.time()) + 900, "role": "authenticated"}
    browser.cookies.set("misir_access", jwt.encode(claims, "x" * 40, "HS256"), path="/app")
    assert browser.get("/app/settings").status_code == 303


def test_forms_come_from_our_pages_only(browser: httpx.Client) -> None:
    sign_in(browser, "ada@example.org")
    token = token_on(browser.get("/app/start"))
    form = {"csrf": token, "name": "Planted"}

    def status(sent: dict[str, str], **headers: str) -> int:
        return browser.post("/app/start", data=sent, headers=headers).status_code

    assert status({"name": "Planted"}) == 403
    assert status({**form, "csrf": "0" * 64}) == 403
    assert status(form, Origin="https://evil.example") == 403
    assert status(form, **{"Sec-Fetch-Site": "cross-site"}) == 403
    assert "Planted" not in browser.get("/app").text
    assert status(form, **{"Sec-Fetch-Site": "same-origin"}) == 303


def test_signing_out_ends_the_session_here_and_there(browser: httpx.Client, auth: AuthServer) -> None:
    sign_in(browser, "ada@example.org")
    auth.asked.clear()
    browser.post("/app/sign-out", data={"csrf": token_on(browser.get("/app/settings"))})
    assert auth.asked == ["logout"]
    assert browser.get("/app/settings").status_code == 303


def test_pages_of_others_do_not_exist(browser: httpx.Client, base: str) -> None:
    sign_in(browser, "ada@example.org")
    space = make_space(browser, "Secret gardens")
    add = {"csrf": token_on(browser.get(space)), "title": "Hidden hedges", "content": "Hedges hide a garden."}
    item = browser.post(f"{space}/add", data=add).headers["location"]
    assert browser.get(item).status_code == 200
    number = item.rpartition("/")[2]
    with httpx.Client(base_url=base, headers=HTML, timeout=20) as bob:
        sign_in(bob, "bob@example.org")
        token = token_on(bob.get("/app/start"))
        for path in (space, f"{space}/library", f"{space}/add", item):
            refused = bob.get(path)
            assert (refused.status_code, "Hidden" in refused.text) == (404, False), path
        for path in (
            f"{space}/add", f"{space}/topics", f"{item}/move", f"{item}/edit", f"{item}/delete",
            f"{item}/restore",
        ):  # fmt: skip
            sent = {"csrf": token, "title": "Taken", "name": "Taken", "topic": "none", "content": "Taken"}
            assert bob.post(path, data=sent).status_code == 404, path
        assert "Hidden" not in bob.get("/app/search?q=hedges").text
    assert "Hidden hedges" in browser.get(f"/app/items/{number}").text
