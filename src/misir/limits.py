"""Which limit a route has, and whose requests it counts together."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from misir.plumbing.limiter import Decision, Limiter, Policy
from misir.settings import Settings

API = "/api/v1"
DEFAULT = "default"
TABLE = (
    ("POST", r"/capture|/artifacts|/artifacts/capture", "capture"),
    ("POST", r"/artifacts/batch", "batch"),
    ("GET|POST", r"/search", "search"),
    ("GET", r"/search/suggestions", "suggestions"),
    ("GET", r"/analytics/global", "global-analytics"),
    ("GET", r"/spaces/{}/analytics(/.*)?", "space-analytics"),
    ("GET", r"/spaces/{}/topology", "topology"),
    ("POST", r"/insights/generate", "insights-generate"),
    (".*", r"/insights(/.*)?", "insights"),
)
"""Method, route template below the API's prefix, name; the first match counts. Limit: RATE_LIMIT_<NAME>."""

PER_SPACE = re.compile(r"/spaces/{}/(alerts|analytics(/.*)?)")
CAPTURE_ROUTES = ("/artifacts/capture", "/capture", "/artifacts")


class Bucket(NamedTuple):
    policy: Policy
    key: str


class Rule(NamedTuple):
    name: str
    setting: str
    route: str
    is_per_space: bool


@cache
def rule_of(method: str, template: str) -> Rule:
    """The name and setting of a route's limit, the route as it is called in a bucket, and whether each space
    counts apart.

    >>> rule_of("GET", "/api/v1/spaces/{id}/alerts")
    Rule(name='default', setting='RATE_LIMIT_DEFAULT', route='GET /spaces/{id}/alerts', is_per_space=True)
    >>> rule_of("GET", "/spaces/{id}/analytics/drift").name
    'space-analytics'
    """
    template = template.removeprefix(API)  # FastAPI's versions differ in whether a route knows it
    path = re.sub(r"{[^}]*}", "{}", template)
    names = (name for methods, paths, name in TABLE if re.fullmatch(methods, method) and _is(paths, path))
    name = next(names, DEFAULT)
    return Rule(name, _setting_of(name), f"{method} {template}", PER_SPACE.fullmatch(path) is not None)


def _is(paths: str, path: str) -> bool:
    return re.fullmatch(paths.replace("{}", r"\{\}"), path) is not None


_policy = cache(Policy)


def policy_of(settings: Settings, name: str) -> Policy:
    return Policy(name, getattr(settings, _setting_of(name)))


def _setting_of(name: str) -> str:
    return "RATE_LIMIT_" + name.upper().replace("-", "_")


def bucket_of(
    settings: Settings, user_id: uuid.UUID, method: str, template: str, path_params: Mapping[str, object]
) -> Bucket:
    """One bucket per user, method and route template, never shared; some count each space apart."""
    rule = rule_of(method, template)
    space = f":{_plain_id(path_params)}" if rule.is_per_space else ""
    policy = _policy(rule.name, getattr(settings, rule.setting))
    return Bucket(policy, f"user:{user_id.hex}:{rule.route}{space}")


def batch_items(settings: Settings, user_id: uuid.UUID) -> Bucket:
    """What a batch costs besides: one unit an item, of the user's budget of items."""
    return Bucket(policy_of(settings, "batch-items"), f"user:{user_id.hex}:batch-items")


def _plain_id(path_params: Mapping[str, object]) -> str:
    """`7`, `07` and `+7` are one space and one bucket; what is no number is one bucket, too."""
    try:
        return str(int(str(next(iter(path_params.values()), ""))))
    except ValueError:
        return "none"


async def captures_left(limiter: Limiter, settings: Settings, user_id: uuid.UUID) -> dict[str, Decision]:
    """What is left of each capture route's limit, without spending any of it."""
    buckets = {f"POST {API}{path}": bucket_of(settings, user_id, "POST", path, {}) for path in CAPTURE_ROUTES}
    looks = await asyncio.gather(*(limiter.hit(*bucket, cost=0) for bucket in buckets.values()))
    return dict(zip(buckets, looks, strict=True))
