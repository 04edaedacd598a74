"""Which of our two forms a client prefers, after RFC 9110 §12.5.1."""

from __future__ import annotations

import re

from starlette.requests import Request

_QUALITY = re.compile(r"(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")


def prefers_html(accept: str | None) -> bool:
    """True when HTML is wanted more than JSON; a tie, `*/*` and silence mean a program, which gets JSON.

    >>> prefers_html("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
    True
    >>> prefers_html("*/*"), prefers_html(None), prefers_html("application/json, text/html;q=0.9")
    (False, False, False)
    """
    ranges = _ranges(accept or "*/*")
    return _quality(ranges, "text/html") > _quality(ranges, "application/json")


def wants_html(request: Request) -> bool:
    return prefers_html(",".join(request.headers.getlist("accept")))


def _ranges(accept: str) -> dict[str, float]:
    """Media ranges and their weights, 0..1; a weight nobody can read counts as a refusal."""
    found = {}
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weights = [piece[2:].strip() for piece in parameters if piece.startswith("q=")]
        weight = weights[0] if weights else "1"
        found[name] = float(weight) if _QUALITY.fullmatch(weight) else 0.0
    return found


def _quality(ranges: dict[str, float], media_type: str) -> float:
    """The weight of the most specific range that covers `media_type`; 0 when none does."""
    family = media_type.partition("/")[0]
    return next((ranges[one] for one in (media_type, f"{family}/*", "*/*") if one in ranges), 0.0)
