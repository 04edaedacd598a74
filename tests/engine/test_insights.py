"""Alerts and insights over a library whose truths were planted: those and no other, each once, each with its way out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest

from misir.insights import find, views
from misir.insights.schemas import Snooze
from misir.plumbing.db import Tx
from misir.settings import Settings

ME = Settings(_env_file=None).mock_user_id
DAY = timedelta(days=1)
WORDS = {"sea": (1,), "ocean": (1,), "wood": (0, 1)}
N_OLD, N_NEW = 22, 12


def drifting_words() -> dict[str, tuple[float, ...]]:
    """Texts of one kind, each its own, and then of another kind that still passes for the topic."""
    chance = np.random.default_rng(3)
    old = {f"old{n}": (1, 0, 0, *chance.normal(0, 0.1, 20)) for n in range(N_OLD)}
    return old | {f"new{n}": (0.6, 0, 0.8, *chance.normal(0, 0.1, 20)) for n in range(N_NEW)}


EXPECTED: dict[str, set[str]] = {
    "healthy": set(),
    "silent": {"stagnation"},
    "echo": {"echo"},
    "lost": {"low_margin"},
    "meant": {"intention_gap"},
    "burst": {"burst"},
    "unread": {"never_read"},
    "drifts": {"high_drift"},
    "twins": {"low_margin"},
}
"""The alerts of each space. Two topics that mean the same leave nothing a clear place, and are a proposal."""


@dataclass
class Planted:
    """The spaces by name, and the artifacts of each, oldest first."""

    library: Any
    now: datetime
    spaces: dict[str, int]
    pages: dict[str, list[int]]

    def alerts(self, name: str, **params: Any) -> dict[str, dict[str, Any]]:
        found = self.library.ask("GET", f"/spaces/{self.spaces[name]}/alerts", params=params)
        assert found["count"] == len(found["alerts"])
        return {alert["type"]: alert for alert in found["alerts"]}

    def insights(self, **params: Any) -> list[dict[str, Any]]:
        return list(self.library.ask("GET", "/insights", params={"limit": 100, **params}))


def plans(now: datetime) -> Iterator[tuple[str, str, datetime, str, str]]:
    """(space, title, read at, domain, level) of every page: a page every third day, and what is planted on top."""
    for name in ("healthy", "echo", "lost", "meant", "burst", "unread"):
        for number in range(20 if name == "echo" else 12):
            source = "one" if name == "echo" and number % 7 else f"d{number}"
            yield name, f"sea {number}", now - (1 + 3 * number) * DAY, source, "engaged"
    for number in range(5):
        yield "silent", f"sea {number}", now - (40 - 5 * number) * DAY, f"d{number}", "engaged"
        yield "lost", f"nowhere{number} at all", now - (5 - number) * DAY / 10, f"e{number}", "engaged"
    for number in range(12):
        yield "burst", f"sea burst {number}", now - (12 - number) * DAY / 24, f"b{number}", "engaged"
    for number in range(2):
        yield "unread", f"sea later {number}", now - (35 + number) * DAY, f"u{number}", "latent"
    for number in range(16):
        yield "twins", f"sea {number}", now - (1 + 3 * number) * DAY, f"t{number}", "engaged"
    for number, word in enumerate(drifting_words()):
        yield "drifts", word, now - (N_OLD + N_NEW - number) * DAY / 2, f"d{number}", "engaged"


@pytest.fixture
def planted(library_of: Callable[..., Any]) -> Planted:
    library, now = library_of(**WORDS, **drifting_words()), datetime.now(UTC)
    intentions = {"meant": "wood", "healthy": "sea"}
    topics = {"drifts": ["sea"], "twins": ["sea", "ocean"]}
    spaces = {
        name: library.declare(
            name,
            *topics.get(name, ["sea", "wood"]),
            auto_subspaces=False,
            **({"intention": intentions[name]} if name in intentions else {}),
        )
        for name in EXPECTED
    }
    twins = [topic["id"] for topic in library.topics(spaces["twins"]).values()]
    plan = sorted(plans(now), key=lambda page: page[2])
    sent = [
        {
            "space_id": spaces[name], "url": f"https://{source}.example/{name}/{number}", "title": title,
            "captured_at": at.isoformat(), "engagement_level": level,
            **({"subspace_id": twins[number % 2]} if name == "twins" else {}),
        }
        for number, (name, title, at, source, level) in enumerate(plan)
    ]  # fmt: skip
    done = library.ask("POST", "/artifacts/batch", json={"artifacts": sent})
    assert done["count"] == len(sent)
    pages: dict[str, list[int]] = {name: [] for name in EXPECTED}
    for (name, *_), captured in zip(plan, done["successful"], strict=True):
        pages[name].append(captured["artifact_id"])
    return Planted(library, now, spaces, pages)


def test_what_was_planted_is_found_and_nothing_else(planted: Planted, owner: psycopg.Connection[Any]) -> None:
    library, pages = planted.library, planted.pages
    library.work()
    found = {name: planted.alerts(name) for name in EXPECTED}
    assert {name: set(alerts) for name, alerts in found.items()} == EXPECTED
    named = {name: set(alert["affected_artifacts"]) for name, by in found.items() for alert in by.values()}
    assert named["lost"] == set(pages["lost"][-5:])
    assert named["burst"] == set(pages["burst"][-12:])
    assert named["unread"] == set(pages["unread"][:2])
    assert named["silent"] == {pages["silent"][-1]}
    assert named["echo"] == {page for number, page in enumerate(reversed(pages["echo"])) if number % 7}
    assert named["meant"] <= set(pages["meant"])
    assert len(named["meant"]) >= 9
    assert len(named["drifts"] & set(pages["drifts"][N_OLD:])) >= 2
    assert {one["severity"] for by in found.values() for one in by.values()} == {"info", "warning"}
    for by in found.values():
        for alert in by.values():
            assert {"effect", "threshold", "sample_size", "from", "to"} <= set(alert["evidence"])
    flat = library.ask("GET", f"/spaces/{planted.spaces['echo']}/analytics/alerts")
    assert [(set(one), one["type"], one["severity"]) for one in flat] == [
        ({"type", "title", "message", "severity", "trigger_value"}, "echo", "info")
    ]

    # The worker kept them, and had no reason yet to compare topics of a small space; whoever asks does.
    # Looking again, as often and as many at once as one likes, keeps them once.
    raised = library.ask("POST", "/insights/generate")
    assert raised["count"] == len(raised["generated"])
    assert {one["insight_data"]["rule"] for one in raised["generated"]} == {"merge_proposal"}
    kept = planted.insights()
    rules = {(insight["space_id"], insight["insight_data"]["rule"]) for insight in kept}
    assert {(planted.spaces[name], rule) for name, by in EXPECTED.items() for rule in by} <= rules
    assert {rule for space, rule in rules if space == planted.spaces["twins"]} == {
        "low_margin", "merge_proposal"
    }  # fmt: skip
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: library.ask("POST", "/insights/generate"), range(6)))
    assert {(answer["count"], len(answer["generated"])) for answer in answers} == {(0, 0)}
    assert [one["id"] for one in planted.insights()] == [one["id"] for one in kept]
    assert owner.execute("select count(*) = count(distinct dedupe_key) from misir.insight").fetchone() == (
        True,
    )

    # As of then: the burst had not begun, the silence had not lasted, five pages of weeks ago still fitted.
    then = (planted.now - 8 * DAY).isoformat()
    for name in ("burst", "silent", "lost"):
        assert planted.alerts(name, as_of=then) == {}, name
    assert set(planted.alerts("echo", as_of=then)) <= {"echo"}
    before = owner.execute("select max(updated_at) from misir.insight").fetchone()
    (told,) = planted.alerts("meant", as_of=(planted.now - DAY).isoformat()).values()
    assert told["id"] == found["meant"]["intention_gap"]["id"]
    assert (
        owner.execute("select max(updated_at) from misir.insight").fetchone() == before
    )  # nothing is kept of it

    # Every suggested action can be sent as it is.
    for insight in kept:
        assert insight["recommended_action"] == insight["actions"][0]
        for action in insight["actions"]:
            answer = library.api.request(action["method"], action["target"], json=action["body"])
            assert answer.is_success, (action, answer.text)
    library.ask("POST", "/insights/generate")
    ended = {one["insight_data"]["rule"] for one in planted.insights(status="expired")}
    assert {"stagnation", "never_read", "merge_proposal"} <= ended  # archived, deleted, merged


@pytest.fixture
def silent(library_of: Callable[..., Any]) -> Planted:
    """One space that has been silent for three weeks."""
    library, now = library_of(**WORDS), datetime.now(UTC)
    space = library.declare("silent", "sea", "wood")
    pages = [
        library.capture(
            space,
            str(n),
            f"sea {n}",
            captured_at=(now - (30 - n) * DAY).isoformat(),
            engagement_level="engaged",
        )["artifact_id"]
        for n in range(5)
    ]
    return Planted(library, now, {"silent": space}, {"silent": pages})


def test_an_insight_is_dismissed_snoozed_acted_on_and_ends(
    silent: Planted, in_process: Callable[..., Any]
) -> None:
    library = silent.library
    (insight,) = library.ask("POST", "/insights/generate")["generated"]
    assert (insight["status"], insight["severity"], insight["category"]) == ("active", "low", "attention")
    assert set(silent.alerts("silent")) == {"stagnation"}
    path = f"/insights/{insight['id']}"

    def status_at(days: float) -> list[tuple[int, str]]:
        """What is listed as active once that much time has passed, and everything was looked at again."""

        async def look(res: Any) -> list[tuple[int, str]]:
            later = silent.now + days * DAY
            await find.find_insights(res, ME, later)
            found, _ = await views.list_insights(res, ME, later)
            return [(one.id, one.status) for one in found]

        return list(in_process(look, embedder=library.embedder))

    active = [(insight["id"], "active")]
    first = library.ask("POST", f"{path}/dismiss")
    assert (first["status"], first["dismissed_at"] is not None) == ("dismissed", True)
    assert library.ask("POST", f"{path}/dismiss") == first  # said twice it changes nothing
    assert (silent.alerts("silent"), silent.insights()) == ({}, [])
    assert [one["id"] for one in silent.insights(status="dismissed")] == [insight["id"]]
    assert library.ask("POST", "/insights/generate")["count"] == 0
    assert status_at(6.9) == []
    assert status_at(7.1) == active  # its cause still holds
    snoozed = library.ask("POST", f"{path}/snooze", json={"days": 2})
    assert (snoozed["status"], snoozed["quiet_until"] is not None) == ("snoozed", True)
    assert status_at(1.9) == []
    assert status_at(2.1) == active
    library.ask("POST", f"{path}/snooze", json={"until": "2020-01-01T00:00:00Z"}, expect=422)
    acted = library.ask("POST", f"{path}/act")
    assert (acted["status"], acted["acted_at"] is not None, acted["id"]) == ("acted", True, insight["id"])
    assert status_at(7.1) == active
    library.capture(silent.spaces["silent"], "new", "sea again", engagement_level="engaged")
    assert silent.alerts("silent") == {}
    assert [one["id"] for one in silent.insights(status="expired")] == [insight["id"]]
    assert [one["id"] for one in silent.insights(status="all")] == [insight["id"]]
    library.ask("DELETE", f"/spaces/{silent.spaces['silent']}")
    assert silent.insights(status="all") == []
    for word in ("dismiss", "act", "snooze"):
        library.ask("POST", f"{path}/{word}", expect=404)
    library.ask("GET", f"/spaces/{silent.spaces['silent']}/alerts", expect=404)


def test_insights_come_in_pages_by_link(silent: Planted, owner: psycopg.Connection[Any]) -> None:
    library = silent.library
    library.ask("POST", "/insights/generate")
    owner.execute(
        "insert into misir.insight (user_id, space_id, rule, dedupe_key, category, headline, description, severity) "
        "select user_id, space_id, rule, 'k' || n, category, headline, description, severity "
        "from misir.insight, generate_series(1, 4) n"
    )
    seen, path = [], "/api/v1/insights?limit=2"
    while path:
        answer = library.api.get(path)
        seen += [one["id"] for one in answer.json()]
        path = answer.links.get("next", {}).get("url", "")
    assert len(seen) == len(set(seen)) == 5
    assert seen == [one["id"] for one in silent.insights()]
    assert library.api.get("/api/v1/insights?cursor=x").status_code == 422


def test_looking_takes_as_many_statements_for_five_topics_as_for_five_hundred(
    library_of: Callable[..., Any],
    owner: psycopg.Connection[Any],
    in_process: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    library = library_of(**WORDS)
    space = library.declare("World", "sea", intention="wood")
    library.capture(space, "a", "sea", engagement_level="engaged")
    asked: list[bytes] = []
    ask = Tx.ask

    async def counted(self: Tx, statement: bytes, *args: Any, **more: Any) -> Any:
        asked.append(statement)
        return await ask(self, statement, *args, **more)

    monkeypatch.setattr(Tx, "ask", counted)
    counts = []
    for n_topics in (5, 500):
        owner.execute(
            "insert into misir.subspace (user_id, space_id, name, model, centroid, artifact_count) "
            "select t.user_id, t.space_id, 'T' || %s || '-' || n, t.model, t.centroid, 9 "
            "from misir.subspace t, generate_series(1, %s) n where t.name = 'sea'",
            [n_topics, n_topics],
        )
        asked.clear()
        in_process(lambda res: find.find_insights(res, ME, datetime.now(UTC)), embedder=library.embedder)
        counts.append(len(asked))
    assert counts[0] == counts[1] <= 12


def test_a_week_is_what_a_snooze_without_a_word_means() -> None:
    assert Snooze.model_validate({}).days == 7
