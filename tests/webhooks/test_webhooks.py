"""Events leave the house: once they are true, signed, in their own time, and never lost to somebody else's failure."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from misir.jobs.worker import work_on
from misir.resources import Resources
from misir.settings import Settings
from misir.spaces.reshape import note
from misir.webhooks.outbox import EVENT_TYPES, emit
from misir.webhooks.sign import SCHEDULE_S

standardwebhooks = pytest.importorskip("standardwebhooks")
ME = Settings(_env_file=None).mock_user_id


def page(space: int, url: str, title: str = "sea", **more: Any) -> dict[str, Any]:
    return {"space_id": space, "url": f"https://x.example/{url}", "title": title, **more}


def verify(secret: str, heard: Any) -> dict[str, Any]:
    """By the receivers' own library."""
    return dict(standardwebhooks.Webhook(secret).verify(heard.body, heard.headers))


def test_an_endpoint_is_made_changed_listed_and_deleted(house: Any) -> None:
    made = house.listen("artifact.created")
    assert made["secret"].startswith("whsec_")
    shown = house.ask("GET", f"/webhooks/{made['id']}")
    assert "secret" not in shown
    assert (shown["enabled"], shown["events"], shown["pending_count"]) == (True, ["artifact.created"], 0)
    changed = house.ask("PATCH", f"/webhooks/{made['id']}", json={"description": "notes", "enabled": False})
    assert (changed["description"], changed["enabled"], changed["disabled_reason"]) == (
        "notes",
        False,
        "user",
    )
    assert house.ask("PATCH", f"/webhooks/{made['id']}", json={"description": None})["description"] is None
    other = house.listen()
    first = house.ask("GET", "/webhooks", params={"limit": 1})
    assert ([one["id"] for one in first["webhooks"]], first["count"]) == ([made["id"]], 2)
    rest = house.ask("GET", "/webhooks", params={"limit": 1, "cursor": first["next_cursor"]})
    assert ([one["id"] for one in rest["webhooks"]], rest["next_cursor"]) == ([other["id"]], None)
    house.ask("DELETE", f"/webhooks/{made['id']}")
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/test"),
        ("POST", "/rotate"),
        ("GET", "/deliveries"),
    ):
        house.ask(method, f"/webhooks/{made['id']}{path}", expect=404)


def test_what_an_endpoint_may_not_be(house: Any) -> None:
    for wrong in (
        "http://10.0.0.1/",
        "http://[::1]/",
        "ftp://a.example/",
        "https://me:pass@a.example/",
        "x",
        "",
    ):
        house.ask("POST", "/webhooks", json={"url": wrong}, expect=422)
    house.ask(
        "POST", "/webhooks", json={"url": "https://a.example/", "events": ["artifact.eaten"]}, expect=422
    )
    made = house.listen()
    house.ask("PATCH", f"/webhooks/{made['id']}", json={"url": "http://169.254.169.254/"}, expect=422)
    house.ask("PATCH", f"/webhooks/{made['id']}", json={}, expect=422)
    for hours in (False, -1, 169, 0.5):
        house.ask("POST", f"/webhooks/{made['id']}/rotate", json={"overlap_hours": hours}, expect=422)


def test_the_database_does_not_know_the_secret(house: Any) -> None:
    made = house.listen()
    house.ask("POST", f"/webhooks/{made['id']}/rotate")
    ((secret, old_secret),) = house.rows("select secret, old_secret from misir.webhook_endpoint")
    raw = standardwebhooks.Webhook(made["secret"])._whsecret
    assert raw not in secret
    assert raw not in old_secret
    with pytest.raises(Exception, match="MISIR_SECRET_KEY"):
        house.work_with(
            lambda res: as_made(res, old_secret), MISIR_SECRET_KEY="another key of more than 32 characters"
        )
    assert house.work_with(lambda res: as_made(res, old_secret)) == raw


async def as_made(res: Resources, sealed: bytes) -> bytes:
    return res.seal().open(bytes(sealed), str(ME))


def test_a_capture_is_told_once_signed_as_receivers_expect(house: Any, space: int) -> None:
    made = house.listen()
    captured = house.ask("POST", "/capture", json=page(space, "told"))
    assert house.work() >= 1
    (heard,) = house.receiver.of(made["path"])
    event = verify(made["secret"], heard)
    assert set(event) == {"id", "type", "created_at", "data"}
    assert event["id"] == heard.headers["webhook-id"]
    assert (event["type"], event["data"]["artifact_id"]) == ("artifact.created", captured["artifact_id"])
    assert "content" not in event["data"]
    signed = hmac.new(made["secret"].encode(), heard.body, hashlib.sha256).hexdigest()
    assert heard.headers["x-misir-signature"] == signed
    assert heard.headers["x-misir-event"] == "artifact.created"
    assert heard.headers["x-misir-delivery-attempt"] == "1"
    (delivery,) = house.deliveries(made)
    assert (delivery["state"], delivery["event_id"]) == ("delivered", event["id"])
    assert [(one["number"], one["status"], one["error"]) for one in delivery["attempts"]] == [(1, 204, None)]
    assert house.work() == 0


def test_everything_that_happens_is_told_and_only_to_who_asked(house: Any) -> None:
    everything, births = house.listen(), house.listen("subspace.born")
    space = house.ask(
        "POST", "/spaces", json={"name": "S", "subspaces": [{"name": "Sea", "markers": ["sea"]}]}
    )["id"]
    made = house.ask("POST", "/capture", json=page(space, "1", captured_at="2026-01-01T10:00:00Z"))
    house.ask(
        "POST", "/capture", json=page(space, "1", captured_at="2026-01-01T10:00:00Z")
    )  # a repeat: nothing
    house.ask("POST", "/capture", json=page(space, "1", dwell_time_ms=5000))
    artifact = f"/artifacts/{made['artifact_id']}"
    house.ask("PATCH", artifact, json={"title": "sea again"})
    house.ask("DELETE", artifact)
    house.ask("POST", f"{artifact}/restore")
    for n in range(3):
        house.ask("POST", "/capture", json=page(space, f"h{n}", f"harbour {n}"))
    topics = {one["name"]: one["id"] for one in house.ask("GET", f"/spaces/{space}/subspaces")}
    sea = topics.pop("Sea")
    (harbour,) = topics.values()
    house.ask("POST", f"/subspaces/{harbour}/merge", json={"into": sea})
    house.ask("POST", f"/subspaces/{sea}/split", json={"artifact_ids": [made["artifact_id"]]})

    async def live_on(res: Resources) -> None:
        async with res.database.as_service(ME) as tx:
            for kind in ("drifted", "dormant", "returned", "renamed", "consolidated"):
                await note(tx, space, sea, kind, cause={}, numbers={}, at=datetime.now(UTC))
            await emit(tx, "insight.created", {"insight_id": 1})

    house.work_with(live_on)
    types = [row[0] for row in house.rows("select type from misir.webhook_event order by id")]
    assert types == [
        "space.created", "artifact.created", "artifact.updated", "artifact.updated", "artifact.deleted",
        "artifact.restored", "artifact.created", "artifact.created", "subspace.born", "artifact.created",
        "subspace.merged", "subspace.split", "subspace.drifted", "subspace.dormant", "subspace.returned",
        "insight.created",
    ]  # fmt: skip
    assert set(EVENT_TYPES) - set(types) == {"space.updated", "space.deleted"}
    house.work()
    assert sorted(one.event["type"] for one in house.receiver.of(everything["path"])) == sorted(types)
    assert [one.event["type"] for one in house.receiver.of(births["path"])] == ["subspace.born"]


def test_undoing_tells_what_came_back_what_went_again_and_what_moved(house: Any, space: int) -> None:
    listening = house.listen("artifact.deleted", "artifact.restored", "artifact.updated")
    artifact = house.ask("POST", "/capture", json=page(space, "undone"))["artifact_id"]

    def undo_last() -> None:
        (last,) = house.rows("select max(id) from misir.correction where space_id = %s", space)
        house.ask("POST", f"/corrections/{last[0]}/undo")

    house.ask("DELETE", f"/artifacts/{artifact}")
    undo_last()
    house.ask("DELETE", f"/artifacts/{artifact}")
    house.ask("POST", f"/artifacts/{artifact}/restore")
    undo_last()
    house.ask("POST", f"/artifacts/{artifact}/restore")
    house.ask("PATCH", f"/artifacts/{artifact}", json={"subspace_id": None})
    undo_last()
    told = house.rows(
        "select type, data ->> 'cause', (data ->> 'artifact_id')::bigint from misir.webhook_event order by id"
    )
    assert told == [
        ("artifact.deleted", "correction", artifact), ("artifact.restored", "undo", artifact),
        ("artifact.deleted", "correction", artifact), ("artifact.restored", "correction", artifact),
        ("artifact.deleted", "undo", artifact), ("artifact.restored", "correction", artifact),
        ("artifact.updated", "correction", artifact), ("artifact.updated", "undo", artifact),
    ]  # fmt: skip
    house.work()
    assert len(house.receiver.of(listening["path"])) == len(told)


def test_nothing_is_written_where_nobody_listens_and_nothing_that_was_rolled_back(
    house: Any, space: int
) -> None:
    house.ask("POST", "/capture", json=page(space, "unheard"))
    disabled = house.listen()
    house.ask("PATCH", f"/webhooks/{disabled['id']}", json={"enabled": False})
    house.ask("POST", "/capture", json=page(space, "unheard too"))
    assert house.rows("select count(*) from misir.webhook_event") == [(0,)]
    house.listen()

    async def change_its_mind(res: Resources) -> None:
        async with res.database.as_user(ME) as tx:
            await emit(tx, "space.updated", {"space_id": space})
            raise psycopg.errors.DivisionByZero

    with pytest.raises(psycopg.errors.DivisionByZero):
        house.work_with(change_its_mind)
    assert house.rows("select count(*) from misir.webhook_event") == [(0,)]


def test_what_fails_is_tried_in_its_own_time_and_given_up(house: Any, space: int) -> None:
    made = house.listen()
    n_tries = len(SCHEDULE_S)
    house.receiver.answers[made["path"]] = [
        (500, {}),
        (302, {"location": "/else"}),
        *[(503, {})] * (n_tries - 2),
    ]
    house.ask("POST", "/capture", json=page(space, "flaky"))
    at = datetime.now(UTC)
    for number in range(1, n_tries + 1):
        assert house.work(at) == 1, number
        (delivery,) = house.deliveries(made)
        assert (delivery["attempt_count"], len(house.receiver.of(made["path"]))) == (number, number)
        if number < n_tries:
            assert delivery["state"] == "pending"
            next_at = datetime.fromisoformat(delivery["next_attempt_at"])
            waits = (next_at - at).total_seconds()
            assert 0.8 * SCHEDULE_S[number] <= waits <= 1.2 * SCHEDULE_S[number] + 5
            assert house.work(next_at - timedelta(seconds=0.5)) == 0
            at = next_at + timedelta(seconds=1)
    assert (delivery["state"], delivery["next_attempt_at"]) == ("failed", None)
    heard = house.receiver.of(made["path"])
    assert {one.headers["webhook-id"] for one in heard} == {delivery["event_id"]}
    assert {one.body for one in heard} == {heard[0].body}
    assert [one.headers["x-misir-delivery-attempt"] for one in heard] == [
        str(n) for n in range(1, n_tries + 1)
    ]
    assert [one["status"] for one in delivery["attempts"]] == [500, 302, *[503] * (n_tries - 2)]
    again = house.ask("POST", f"/webhooks/{made['id']}/deliveries/{delivery['id']}/redeliver")
    assert again["state"] == "pending"
    house.work()
    assert house.deliveries(made)[0]["state"] == "delivered"
    assert house.receiver.of(made["path"])[-1].headers["webhook-id"] == delivery["event_id"]
    house.ask("POST", f"/webhooks/{made['id']}/deliveries/987654321/redeliver", expect=404)


def test_a_receiver_may_ask_for_time_and_may_be_gone(house: Any, space: int) -> None:
    made = house.listen()
    house.receiver.answers[made["path"]] = [(429, {"retry-after": "3600"}), (410, {})]
    house.ask("POST", "/capture", json=page(space, "later"))
    now = datetime.now(UTC)
    house.work(now)
    next_at = datetime.fromisoformat(house.deliveries(made)[0]["next_attempt_at"])
    assert timedelta(minutes=59) < next_at - now < timedelta(minutes=61)
    house.work(now + timedelta(hours=2))
    shown = house.ask("GET", f"/webhooks/{made['id']}")
    assert (shown["enabled"], shown["disabled_reason"], shown["pending_count"]) == (False, "gone", 1)
    house.ask("POST", f"/webhooks/{made['id']}/test", expect=409)
    assert house.work(now + timedelta(days=2)) == 0
    assert len(house.receiver.of(made["path"])) == 2
    assert house.ask("PATCH", f"/webhooks/{made['id']}", json={"enabled": True})["disabled_reason"] is None
    house.rows("update misir.webhook_delivery set next_attempt_at = now() returning 1")
    house.work()
    assert house.deliveries(made)[0]["state"] == "delivered"


def test_days_of_failure_disable_and_one_success_forgives(house: Any, space: int) -> None:
    made = house.listen()
    house.receiver.answers[made["path"]] = [(500, {})] * 2
    for n in range(2):
        house.ask("POST", "/capture", json=page(space, f"days {n}"))
    house.work()
    assert house.ask("GET", f"/webhooks/{made['id']}")["failing_since"] is not None
    house.work(datetime.now(UTC) + timedelta(minutes=1))
    assert house.ask("GET", f"/webhooks/{made['id']}")["failing_since"] is None
    house.receiver.answers[made["path"]] = [(500, {})] * 2
    house.ask("POST", f"/webhooks/{made['id']}/test")
    house.work()
    house.rows("update misir.webhook_endpoint set failing_since = now() - interval '6 days' returning 1")
    house.work(datetime.now(UTC) + timedelta(minutes=1))
    assert house.ask("GET", f"/webhooks/{made['id']}")["disabled_reason"] == "failing"


def test_while_a_secret_is_rotated_both_sign(house: Any) -> None:
    made = house.listen()
    rotated = house.ask("POST", f"/webhooks/{made['id']}/rotate", json={"overlap_hours": 2})
    assert rotated["secret"] != made["secret"]
    house.ask("POST", f"/webhooks/{made['id']}/test")
    house.work()
    (heard,) = house.receiver.of(made["path"])
    for secret in (made["secret"], rotated["secret"]):
        assert verify(secret, heard)["type"] == "webhook.test"
    house.rows("update misir.webhook_endpoint set old_secret_until = now() - interval '1 second' returning 1")
    house.ask("POST", f"/webhooks/{made['id']}/test")
    house.work()
    heard = house.receiver.of(made["path"])[-1]
    verify(rotated["secret"], heard)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        verify(made["secret"], heard)


def test_an_address_that_turns_out_to_be_ours_is_not_called(house: Any) -> None:
    made = house.listen()  # allowed when it was typed; by a worker that allows nothing, it is not
    house.ask("POST", f"/webhooks/{made['id']}/test")
    house.work(OUTBOUND_ALLOW="")
    (delivery,) = house.deliveries(made)
    assert [(one["status"], one["error"]) for one in delivery["attempts"]] == [
        (None, "The address is not public.")
    ]
    assert house.receiver.of(made["path"]) == []


def test_one_that_hangs_keeps_nobody_else_waiting(house: Any, space: int) -> None:
    dead, alive = house.listen(), house.listen()
    house.receiver.hangs[dead["path"]] = threading.Event()
    for n in range(25):
        house.ask("POST", "/capture", json=page(space, f"many {n}"))

    async def until_heard(res: Resources) -> int:
        working = asyncio.create_task(work_on(res))
        deadline = time.monotonic() + 10  # less than the dead one's first try takes
        while len(house.receiver.of(alive["path"])) < 25:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        n_open = len(house.receiver.of(dead["path"]))
        working.cancel()
        await asyncio.wait([working])
        return n_open

    assert 1 <= house.work_with(until_heard) <= 5
    ids = [one.headers["webhook-id"] for one in house.receiver.of(alive["path"])]
    assert len(ids) == len(set(ids)) == 25
