"""What the pages compute themselves: bars of days, a week in a sentence, marks on a line, places on a map."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from misir.analytics.schemas import FocusWeek, Frame, Node, Topology, TopologyMetadata
from misir.errors import MisirError
from misir.insights.schemas import SuggestedAction
from misir.orient.config import EngineConfig
from misir.spaces.schemas import Space
from misir.web.app.attention import way_of
from misir.web.app.bulk import read_bulk
from misir.web.app.charts import HEIGHT, PAD, WIDTH, draw_line
from misir.web.app.forms import Form
from misir.web.app.home import draw_activity, summarise_week
from misir.web.app.insights_page import mark_shifts, since_begun
from misir.web.app.map_page import EDGE, border_of, draw_bubbles, scale_of
from misir.web.app.map_page import HEIGHT as MAP_HEIGHT
from misir.web.app.map_page import WIDTH as MAP_WIDTH
from misir.web.app.words import status_of

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
TODAY = NOW.date()


def space(number: int, **more: Any) -> Space:
    values = {
        "id": number, "user_id": uuid.UUID(int=1), "name": f"Space {number}", "description": None, "intention": None,
        "auto_subspaces": True, "color": "#112233", "artifact_count": 9, "subspace_count": 2, "confidence": 0.5,
        "recent_drift": None, "avg_fit": 0.6, "velocity": 3, "last_activity_at": NOW, "archived": False,
        "created_at": NOW, "updated_at": NOW, "deleted_at": None,
    }  # fmt: skip
    return Space(**{**values, **more})


def row(days_ago: int, space_id: int, items: int, read: int = 0) -> dict[str, Any]:
    day = TODAY - timedelta(days=days_ago)
    return {"day": day, "space_id": space_id, "items": items, "items_read": read, "read_ms": 60_000 * read}


def test_a_day_is_a_bar_of_its_spaces_parts() -> None:
    drawn = draw_activity([row(0, 1, 1), row(0, 2, 3), row(29, 1, 2)], [space(1), space(2)], TODAY)
    assert (len(drawn.days), drawn.most, drawn.total) == (30, 4, 6)
    last = drawn.days[-1]
    assert [(part.bottom, part.height) for part in last.parts] in ([(0, 75), (75, 25)], [(0, 25), (25, 75)])
    assert drawn.days[0].words == "Space 1 2"
    assert drawn.days[1].words == "nothing"
    assert {name: n for name, _, n in drawn.legend} == {"Space 1": 3, "Space 2": 3}


def test_a_month_of_nothing_is_no_division_by_zero() -> None:
    assert draw_activity([], [space(1)], TODAY).total == 0


def test_the_week_is_the_last_seven_days_against_the_seven_before() -> None:
    week = summarise_week(
        [row(0, 1, 2, 1), row(6, 2, 5), row(7, 1, 9), row(14, 1, 90)], [space(1), space(2)], TODAY
    )
    assert (week.items, week.items_before, week.items_read, week.busiest) == (7, 9, 1, "Space 2")


@pytest.mark.parametrize(
    ("given", "label"),
    [
        ({"artifact_count": 0, "last_activity_at": None}, "Empty"),
        ({"last_activity_at": NOW - timedelta(days=15)}, "Quiet"),
        ({"recent_drift": 0.2}, "Shifting"),
        ({"confidence": None}, "Just starting"),
        ({"confidence": 0.4}, "On course"),
        ({"confidence": 0.39}, "Forming"),
    ],
)
def test_a_spaces_state_in_words(given: dict[str, Any], label: str) -> None:
    assert status_of(space(1, **given), NOW, EngineConfig()).label == label


def test_a_line_stays_inside_and_breaks_where_nothing_is_known() -> None:
    line = draw_line([2.0, None, 0.0, 0.5], ["", "", "", ""])
    assert line.path.count("M") == 2
    assert all(PAD <= one.x <= WIDTH - PAD and PAD <= one.y <= HEIGHT - PAD for one in line.points)


def week(n: int, items: int = 1) -> FocusWeek:
    start = date(2026, 3, 2) + timedelta(weeks=n)
    return FocusWeek(
        week=start, focus=None, focus_sample=0, clarity=None, clarity_sample=0, artifact_count=items
    )


def test_weeks_begin_with_the_first_that_has_something_and_shifts_lie_between_them() -> None:
    weeks = since_begun([week(0, 0), week(1), week(2, 0), week(3)])
    assert [one.week.day for one in weeks] == [9, 16, 23]
    at = datetime(2026, 3, 23, tzinfo=UTC)  # the end of the second week shown
    shift: Any = SimpleNamespace(occurred_at=at, subspace_name="Soil")
    before: Any = SimpleNamespace(occurred_at=at - timedelta(days=90), subspace_name="Older than the chart")
    assert [(mark.x, mark.words) for mark in mark_shifts([shift, before], weeks)] == [(WIDTH / 2, "Soil")]
    assert mark_shifts([shift], []) == []


def node(number: int, x: float, y: float, items: int = 4) -> Node:
    return Node(
        subspace_id=number, name=f"T{number}", artifact_count=items, confidence=0.5, x=x, y=y, is_placed=True,
        updated_at=NOW, last_active_at=NOW, recent_artifact_count=1, activity_band="medium",
    )  # fmt: skip


def map_of(*frames: list[Node]) -> Topology:
    history = [Frame(timestamp=NOW, nodes=nodes) for nodes in frames]
    metadata = TopologyMetadata(
        last_updated=NOW, sampling_window_start=NOW, sampling_window_end=NOW, stress=None
    )
    return Topology(nodes=history[-1].nodes, history=history, artifacts=None, metadata=metadata)


@pytest.mark.parametrize(
    "frames",
    [
        [[]],
        [[node(1, 0.3, 0.3)]],
        [[node(1, 0.3, 0.3), node(2, 0.3, 0.3)]],
        [[node(1, -1, -1)], [node(1, -0.9, -1), node(2, 1, 0.2, items=400)]],
    ],
    ids=["none", "one", "identical", "moved"],
)
def test_every_bubble_of_every_frame_is_on_the_map(frames: list[list[Node]]) -> None:
    found = map_of(*frames)
    scale = scale_of(found)
    for frame in found.history:
        for bubble in draw_bubbles(frame.nodes, scale, NOW):
            assert EDGE - 1 <= bubble.x <= MAP_WIDTH - EDGE + 1
            assert EDGE - 1 <= bubble.y <= MAP_HEIGHT - EDGE + 1


def test_what_lies_twice_as_far_is_drawn_twice_as_far() -> None:
    found = map_of([node(1, 0, 0), node(2, 0.2, 0), node(3, 0.6, 0)])
    xs = {bubble.id: bubble.x for bubble in draw_bubbles(found.nodes, scale_of(found), NOW)}
    assert xs[3] - xs[2] == pytest.approx(2 * (xs[2] - xs[1]))


def test_a_border_says_when_a_topic_was_read() -> None:
    ages = (None, 40, 30, 8, 7, 0)
    borders = [border_of(None if age is None else NOW - timedelta(days=age), NOW) for age in ages]
    assert borders == ["old", "old", "recent", "recent", "fresh", "fresh"]


def action(method: str, target: str, body: dict[str, Any] | None = None) -> SuggestedAction:
    return SuggestedAction.model_validate(
        {"label": "Do it", "action": "any", "method": method, "target": target, "body": body}
    )


def test_an_action_of_the_api_is_a_page_or_a_form_of_the_app() -> None:
    library = way_of(action("GET", "/api/v1/spaces/7/artifacts?sort=fit_asc&subspace_id=3&max_fit=0.3"))
    assert library is not None
    assert (library.address, library.fields) == ("/app/spaces/7/library?sort=fit_asc&topic=3&fit=weak", None)
    trash = way_of(action("POST", "/api/v1/artifacts/bulk", {"action": "delete", "artifact_ids": [4, 5]}))
    assert trash is not None
    assert read_bulk(Form(trash.fields or [])).artifact_ids == [4, 5]
    archive = way_of(action("PATCH", "/api/v1/spaces/7", {"archived": True}))
    assert archive is not None
    assert (archive.address, archive.fields) == ("/app/spaces/7/archive", [])
    assert way_of(action("DELETE", "/api/v1/spaces/7")) is None


@pytest.mark.parametrize(
    "pairs", [[], [("do", "assign")], [("item", "x")], [("item", "1"), ("do", "burn")], [("item", "1")]]
)
def test_a_form_that_says_too_little_is_refused_in_words(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(MisirError) as refused:
        read_bulk(Form(pairs))
    assert refused.value.status == 422
