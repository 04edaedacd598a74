"""The map of a space: topics as bubbles, near where they mean similar things, now and week by week."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from misir.analytics.schemas import Node, Place, Topology
from misir.analytics.topology import get_topology
from misir.deps import Now, Res
from misir.fields import PathId
from misir.spaces.views import get_space
from misir.web.app import words
from misir.web.app.session import Visitor
from misir.web.app.shell import PageRoute, show

router = APIRouter(prefix="/app", include_in_schema=False, route_class=PageRoute)

WIDTH: Final = 1_000.0
HEIGHT: Final = 680.0
EDGE: Final = 110.0
LEAST: Final = 0.05
"""Half of the smallest part of the layout that fills the drawing, so that near topics stay near."""

SMALLEST: Final = 13.0
LARGEST: Final = 80.0
N_SHADES: Final = 5
FRESH: Final = ((7, "fresh"), (30, "recent"))
"""Up to how many days ago a topic was read for which border."""


@dataclass(frozen=True, slots=True)
class Bubble:
    """A topic's circle on the drawing. `shade` 0..5 by confidence, `border` by when it was last read."""

    id: int
    name: str
    x: float
    y: float
    r: float
    shade: int
    border: str
    words: str


@router.get("/spaces/{space_id}/map")
async def get_map(request: Request, me: Visitor, res: Res, now: Now, space_id: PathId) -> Response:
    """Drawn here, so that it is there at once and without a script; `items=1` shows single items, too."""
    space = await get_space(res.database, me, space_id, now)
    with_items = request.query_params.get("items") == "1"
    found = await get_topology(res, me, space_id, now=now, with_artifacts=with_items)
    values = {
        "space": space,
        "found": found,
        "bubbles": draw_bubbles(found.nodes, scale_of(found), now),
        "dots": [_dot(one, scale_of(found)) for one in found.artifacts or []],
        "with_items": with_items,
        "n_frames": len(found.history),
        "tab": "map",
    }
    return await show(request, me, "app/map.html", values, page="space", space_id=space_id)


@router.get("/spaces/{space_id}/map/frames")
async def get_frames(me: Visitor, res: Res, now: Now, space_id: PathId) -> Response:
    """The past, for the slider: asked for when somebody touches it."""
    found = await get_topology(res, me, space_id, now=now)
    scale = scale_of(found)
    frames = [
        {
            "at": f"{frame.timestamp.day} {frame.timestamp:%b %Y}",
            "bubbles": [_packed(one) for one in draw_bubbles(frame.nodes, scale, frame.timestamp)],
        }
        for frame in found.history
    ]
    return JSONResponse({"frames": frames}, headers={"Cache-Control": "private, no-cache"})


def _packed(bubble: Bubble) -> list[Any]:
    place = [round(value, 1) for value in (bubble.x, bubble.y, bubble.r)]
    return [bubble.id, *place, bubble.shade, bubble.border, bubble.name, bubble.words]


@dataclass(frozen=True, slots=True)
class Scale:
    """From the layout to the drawing, the same for every frame.

    x, y: what is in the middle; step: pixels a unit; most: the items of the largest topic.
    """

    x: float
    y: float
    step: float
    most: int

    def place(self, x: float, y: float) -> tuple[float, float]:
        return WIDTH / 2 + (x - self.x) * self.step, HEIGHT / 2 + (y - self.y) * self.step


def scale_of(found: Topology) -> Scale:
    """PURE: every topic at any time shown fits, and sizes mean the same in every frame."""
    nodes = [node for frame in found.history for node in frame.nodes if node.is_placed]
    xs, ys = [node.x for node in nodes] or [0.0], [node.y for node in nodes] or [0.0]
    half_x = max((max(xs) - min(xs)) / 2, LEAST)
    half_y = max((max(ys) - min(ys)) / 2, LEAST)
    step = min((WIDTH / 2 - EDGE) / half_x, (HEIGHT / 2 - EDGE) / half_y)
    most = max((node.artifact_count for node in nodes), default=0)
    return Scale((max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2, step, most)


def draw_bubbles(nodes: Iterable[Node], scale: Scale, at: datetime) -> list[Bubble]:
    """PURE: largest first, so that small ones lie on top. The area grows with the items."""
    bubbles = [_bubble(node, scale, at) for node in nodes if node.is_placed]
    return sorted(bubbles, key=lambda bubble: -bubble.r)


def _bubble(node: Node, scale: Scale, at: datetime) -> Bubble:
    share = (node.artifact_count / scale.most) ** 0.5 if scale.most else 0.0
    border = border_of(node.last_active_at, at)
    told = f"{node.artifact_count} items, confidence {node.confidence:.2f}, {_activity(node, at)}"
    x, y = scale.place(node.x, node.y)
    radius = SMALLEST + (LARGEST - SMALLEST) * share
    return Bubble(node.subspace_id, node.name, x, y, radius, words.dots(node.confidence), border, told)


def border_of(last: datetime | None, at: datetime) -> str:
    """fresh within a week, recent within a month, else old."""
    if last is None:
        return "old"
    return next((name for days, name in FRESH if at - last <= timedelta(days=days)), "old")


def _activity(node: Node, at: datetime) -> str:
    return "never read" if node.last_active_at is None else f"last read {words.ago(node.last_active_at, at)}"


def _dot(one: Place, scale: Scale) -> dict[str, Any]:
    x, y = scale.place(one.x, one.y)
    return {"id": one.artifact_id, "title": one.title, "x": x, "y": y}
