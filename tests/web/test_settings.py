"""Settings and what was put away, over HTTP: webhooks from the first to the last, rules, diagnostics, failed work, undo."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest

from misir.insights.findings import Rule
from misir.orient.config import EngineConfig
from misir.web.app.rules import rules_in_words

HTML = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def browser(unread: str) -> Iterator[httpx.Client]:
    """Somebody with one space, as a browser would ask."""
    with httpx.Client(base_url=unread, headers=HTML, timeout=20, follow_redirects=True) as client:
        client.get("/app")
        yield client


def send(browser: httpx.Client, path: str, **fields: Any) -> httpx.Response:
    token = re.search(r'name="csrf" value="([0-9a-f]+)"', browser.get("/app/settings").text)
    assert token
    return browser.post(path, data={"csrf": token[1], **fields})


def said(page: httpx.Response) -> str:
    found = re.search(r'class="flash" role="status">(.*?)</div>\s*(?:</div>|<form)', page.text, re.DOTALL)
    assert found, page.text[:3000]
    return re.sub(r"<[^>]+>|\s+", " ", found[1])


def test_a_webhook_from_its_secret_to_its_end(browser: httpx.Client) -> None:
    chosen = ["artifact.created", "insight.created"]
    made = send(browser, "/app/settings/webhooks", url="https://example.org/in", event=chosen)
    secret = re.search(r"whsec_[\w+/=]+", made.text)
    assert secret
    assert made.headers["cache-control"] == "no-store"
    listed = browser.get("/app/settings/webhooks").text
    assert "whsec_" not in listed, "shown once"
    assert "artifact.created, insight.created" in listed
    address = re.search(r"/app/settings/webhooks/\d+", listed)
    assert address
    one = address[0]
    send(browser, one, url="https://example.org/other", description="my wiki")
    page = browser.get(one).text
    assert "https://example.org/other" in page
    assert "all events" in page
    assert "webhook.test" in send(browser, f"{one}/test").text
    again = re.search(rf"{one}/deliveries/\d+/redeliver", browser.get(f"{one}?state=failed").text)
    assert again is None, "what waits is not sent twice"
    rotated = send(browser, f"{one}/rotate", overlap="168")
    fresh = re.search(r"whsec_[\w+/=]+", rotated.text)
    assert fresh
    assert fresh[0] != secret[0]
    assert "signed with the old secret" in rotated.text
    assert "Switch it on" in send(browser, f"{one}/switch", enabled="no").text
    assert send(browser, f"{one}/test").status_code == 409
    assert "Switch it off" in send(browser, f"{one}/switch", enabled="yes").text
    assert "Deleted" in said(send(browser, f"{one}/delete"))
    assert browser.get(one).status_code == 404


@pytest.mark.parametrize(
    "fields",
    [
        {"url": ""},
        {"url": "http://127.0.0.1/inside"},
        {"url": "https://example.org", "event": "artifact.eaten"},
    ],
)
def test_a_webhook_that_cannot_be_is_refused_on_a_page(browser: httpx.Client, fields: dict[str, str]) -> None:
    refused = send(browser, "/app/settings/webhooks", **fields)
    assert refused.status_code == 422
    assert refused.headers["content-type"].startswith("text/html")


def test_every_rule_is_told_with_the_numbers_it_judges_by(browser: httpx.Client) -> None:
    page = browser.get("/app/settings/rules").text
    for rule, one in rules_in_words(EngineConfig()).items():
        assert f"<code>{rule.value}</code>" in page
        for name in one.numbers:
            assert f"<code>{name}</code>" in page
    assert set(rules_in_words(EngineConfig())) == set(Rule)
    changed = rules_in_words(EngineConfig(echo_share=0.6, never_read_days=9))
    assert "60 %" in changed[Rule.ECHO].said
    assert "9 days" in changed[Rule.NEVER_READ].said


def test_diagnostics_are_a_page_and_a_file_without_titles(browser: httpx.Client) -> None:
    page = browser.get("/app/settings/diagnostics").text
    assert "None of your work failed." in page
    file = browser.get("/app/settings/diagnostics.json")
    assert re.fullmatch(
        r'attachment; filename="misir-diagnostics-\d{4}-\d\d-\d\d\.json"', file.headers["content-disposition"]
    )
    found = file.json()
    assert found["counts"]["spaces"] == 1
    assert found["readiness"]["database"]["status"] == "ok"
    assert found["engine"]["echo_share"] == EngineConfig().echo_share
    assert "Plans" not in file.text


def test_what_was_put_away_comes_back(browser: httpx.Client) -> None:
    space = re.search(r"/app/spaces/\d+", browser.get("/app").text)
    assert space
    archived = send(browser, f"{space[0]}/archive")
    assert "takes nothing in" in archived.text
    assert "Name a topic" not in archived.text
    away = browser.get("/app/away").text
    assert "Open Plans again" in away
    assert f"{space[0]}/restore" not in away
    send(browser, f"{space[0]}/open")
    send(browser, f"{space[0]}/delete")
    assert browser.get(space[0]).status_code == 404
    assert "Restore Plans" in browser.get("/app/away").text
    assert "It is back" in said(send(browser, f"{space[0]}/restore"))
    item = send(browser, f"{space[0]}/add", title="A plan", content="First this, then that.").url.path
    send(browser, f"{item}/delete")
    assert "Restore A plan" in browser.get("/app/away").text
    assert "Deleted, by you" in browser.get(f"{space[0]}/edit").text
    undo = re.search(r"/app/corrections/\d+/undo", browser.get(f"{space[0]}/edit").text)
    assert undo
    send(browser, undo[0], next=item)
    assert browser.get(item).status_code == 200
    send(browser, f"{item}/delete")


BOOKMARKS = """<!DOCTYPE NETSCAPE-Bookmark-file-1>
<DL><p>
<DT><A HREF="https://example.org/rye" ADD_DATE="1700000000">Rye sourdough</A>
<DT><A HREF="https://example.org/wheat" ADD_DATE="1700000100">Wheat and its proteins</A>
</DL>"""


def upload(browser: httpx.Client, path: str, text: str, **fields: str) -> httpx.Response:
    token = re.search(r'name="csrf" value="([0-9a-f]+)"', browser.get("/app/settings").text)
    assert token
    file = {"file": ("bookmarks.html", text)}
    return browser.post(path, data={"csrf": token[1], **fields}, files=file)


def until(browser: httpx.Client, address: str, word: str) -> str:
    deadline = time.monotonic() + 60
    while word not in (page := browser.get(address).text):
        assert time.monotonic() < deadline, page
        time.sleep(0.1)
    return page


def test_bookmarks_are_looked_at_brought_in_and_taken_back(browser: httpx.Client) -> None:
    space = re.search(r"/app/spaces/(\d+)", browser.get("/app").text)
    assert space
    seen = upload(browser, "/app/settings/transfer", BOOKMARKS, space=space[1], do="look")
    assert "2 entries" in seen.text
    assert "2 would be new" in seen.text
    assert "What was brought" not in seen.text, "nothing was kept"
    run = upload(browser, "/app/settings/transfer", BOOKMARKS, space=space[1], do="import").url.path
    page = until(browser, run, "It is in<")
    assert "2 new" in page
    assert "Rye sourdough" in browser.get(f"{space[0]}/library").text
    assert "Rye sourdough" in browser.get("/app/settings/export?space=&format=bookmarks").text
    file = browser.get(f"/app/settings/export?space={space[1]}&format=jsonl")
    assert file.headers["content-disposition"].startswith("attachment;")
    assert "It is being taken back" in said(send(browser, f"{run}/undo"))
    until(browser, run, "It was taken back<")
    assert "Rye sourdough" not in browser.get(f"{space[0]}/library").text


def test_a_first_space_can_begin_with_a_file(browser: httpx.Client) -> None:
    refused = upload(browser, "/app/start/import", "nothing we read", name="Never")
    assert refused.status_code == 422
    assert "Never" not in browser.get("/app").text
    begun = upload(browser, "/app/start/import", BOOKMARKS, name="Bread")
    page = until(browser, begun.url.path, "It is in<")
    map_page = re.search(r"(/app/spaces/\d+)/map", page)
    assert map_page
    assert browser.get(map_page[0]).status_code == 200
    send(browser, f"{map_page[1]}/delete")
    assert browser.post("/app/start/import", files={"file": ("b.html", BOOKMARKS)}).status_code == 403


def test_work_that_failed_is_told_and_tried_again(
    run_app: Callable[..., httpx.Client], owner: psycopg.Connection[Any]
) -> None:
    app = run_app()
    space = app.post("/api/v1/spaces", json={"name": "Mine"}).json()
    later = datetime.now(UTC) + timedelta(hours=5)
    failing = (
        "insert into misir.job (user_id, space_id, kind, run_at, attempts, last_error) values (%s, %s, %s, %s, 3, %s)"
        " on conflict on constraint job_once do update set run_at = excluded.run_at, last_error = excluded.last_error"
    )
    owner.execute(failing, [space["user_id"], space["id"], "reflect", later, "ValueError: mine"])
    owner.execute(failing, [str(uuid.uuid4()), None, "retain", later, "ValueError: another's"])
    with httpx.Client(base_url=app.base_url, headers=HTML, follow_redirects=True, timeout=20) as browser:
        page = browser.get("/app/settings/diagnostics").text
        assert "ValueError: mine" in page
        assert "another&#39;s" not in page
        assert "in 4 hours" in page
        retry = re.search(r"/app/settings/jobs/(\d+)/retry", page)
        assert retry
        assert "tried again now" in said(send(browser, retry[0]))
        (others,) = (
            owner.execute("select id from misir.job where last_error like '%another%'").fetchone() or ()
        )
        assert send(browser, f"/app/settings/jobs/{others}/retry").status_code == 404
    (run_at,) = owner.execute("select run_at from misir.job where id = %s", [int(retry[1])]).fetchone() or ()
    assert run_at <= datetime.now(UTC)
