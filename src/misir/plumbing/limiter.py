"""Rate limits: at most `limit` units in any 60 seconds, counted in Redis or in this process.

    hit ─ Redis up? ─ yes → one Lua round trip (limiter.lua) → Decision, counted here as well (tally.py)
                    └ no  → decided here: this worker's share, less what it admitted already

A failure switches to this process at once; a watch in the background asks Redis once a second, and after
a loss or an emptying puts back what this worker knows was used.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import time
from collections import Counter
from contextlib import suppress
from importlib.resources import files
from typing import Literal, NamedTuple

from misir.plumbing.redis_line import Lost, RedisLine
from misir.plumbing.tally import WINDOW_MS, Tallies, Tally

log = logging.getLogger(__name__)

PREFIX = "misir:limit:"
MARKER = PREFIX + "marker"
MAX_KEYS = 50_000
MAX_KEY_LENGTH = 120
WATCH_EVERY_S = 1.0
N_RESTORED_AT_ONCE = 200

Storage = Literal["memory", "redis", "fallback"]


class Policy(NamedTuple):
    """A named limit per minute."""

    name: str
    limit: int


class Decision(NamedTuple):
    """`reset_s`: until the oldest used units come back; `retry_after_s`: until this hit would be admitted."""

    policy: Policy
    allowed: bool
    remaining: int
    reset_s: int
    retry_after_s: int

    @property
    def limit(self) -> int:
        return self.policy.limit


_LOOK = Policy("look", 1)


class Limiter:
    """Counts hits. `redis_url=None` counts in this process only; `workers` share a limit when they must.

    `decided` counts what became of them, by decision and policy, until the metrics take it (vitals.py).
    """

    def __init__(self, *, redis_url: str | None = None, workers: int = 1, max_keys: int = MAX_KEYS) -> None:
        self._workers = workers
        self._tallies = Tallies(max_keys)
        self.decided: Counter[tuple[str, str]] = Counter()
        script = files("misir.plumbing").joinpath("limiter.lua").read_text("utf-8")
        self._line = RedisLine(redis_url, script) if redis_url else None
        self._is_up = False
        self._has_warned = False
        self._marker = b""
        self._watching: asyncio.Task[None] | None = None

    @property
    def storage(self) -> Storage:
        """Where hits are counted right now."""
        if self._line is None:
            return "memory"
        return "redis" if self._is_up else "fallback"

    async def open(self) -> None:
        """Look for Redis once, then keep looking; its absence is not an error."""
        if self._line is not None:
            await self._look(self._line)
            self._watching = asyncio.create_task(self._watch(self._line), name="watch redis")

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait((self._watching,))
        if self._line is not None:
            await self._line.close()

    async def hit(self, policy: Policy, key: str, cost: int = 1) -> Decision:
        """Spend `cost` units of the key, all or none; 0 only looks. Never fails, waits 250 ms at most."""
        now_ms = _now_ms()
        name = _redis_key(policy.name, key)
        tally = self._tallies.of(name, now_ms)
        decision = None
        if self._line is not None and self._is_up:
            try:
                decision = await self._ask(self._line, policy, name, tally, cost, now_ms)
            except Lost as lost:
                self._lose(lost)
                now_ms = _now_ms()
        if decision is None:
            decision = self._decide_here(policy, tally, cost, now_ms)
        if cost:
            self.decided["admitted" if decision.allowed else "refused", policy.name] += 1
        return decision

    async def _ask(
        self, line: RedisLine, policy: Policy, name: str, tally: Tally, cost: int, now_ms: int
    ) -> Decision:
        floor = tally.floor(now_ms)
        debt = tally.take_debt(now_ms)
        try:
            answer = await line.ask_script(name, cost, policy.limit, WINDOW_MS, floor, debt)
        except Lost:
            tally.debt += debt
            raise
        admitted, used, reset_ms, retry_ms = answer
        now_ms = _now_ms()
        tally.forget(now_ms)
        if admitted and cost:
            tally.add(now_ms, cost)
        tally.saw(now_ms, used, reset_ms)
        return _decision(policy, bool(admitted), policy.limit - used, reset_ms, retry_ms)

    def _decide_here(self, policy: Policy, tally: Tally, cost: int, now_ms: int) -> Decision:
        share = -(-policy.limit // self._workers)
        allowed, remaining, retry_ms = tally.spend(now_ms, cost, limit=policy.limit, share=share)
        return _decision(policy, allowed, remaining, max(tally.resets_in(now_ms), retry_ms), retry_ms)

    def _lose(self, lost: Lost) -> None:
        self._is_up = False
        if not self._has_warned:  # once per outage, however many requests meet it
            self._has_warned = True
            log.warning(
                "Redis does not answer (%s): limits are counted in each worker until it is back", lost
            )

    async def _watch(self, line: RedisLine) -> None:
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            await self._look(line)

    async def _look(self, line: RedisLine) -> None:
        """Is Redis there, and is it the one we filled? Another marker means that it was emptied."""
        try:
            _, marker, _ = await asyncio.gather(
                line.ask("SET", MARKER, secrets.token_hex(8), "NX"),
                line.ask("GET", MARKER),
                line.ask_script(PREFIX + "look", 0, 1, WINDOW_MS, 0, 0),  # may scripts run here?
            )
        except Lost as lost:
            self._lose(lost)
            return
        must_restore = not self._is_up or marker != self._marker
        self._marker, self._is_up = marker, True
        if self._has_warned:
            self._has_warned = False
            log.info("Redis is back: limits are counted there again")
        if must_restore:
            await self._restore(line)

    async def _restore(self, line: RedisLine) -> None:
        """Put back what is known to be used, so that an emptied Redis does not give everything again."""
        known = self._tallies.worth_telling(_now_ms())
        for start in range(0, len(known), N_RESTORED_AT_ONCE):
            some = known[start : start + N_RESTORED_AT_ONCE]
            with suppress(Lost):  # the next hit or look finds out, too
                now_ms = _now_ms()
                await asyncio.gather(*(self._ask(line, _LOOK, key, tally, 0, now_ms) for key, tally in some))


def _decision(policy: Policy, allowed: bool, remaining: int, reset_ms: int, retry_ms: int) -> Decision:
    return Decision(policy, allowed, max(remaining, 0), -(-reset_ms // 1000), -(-retry_ms // 1000))


def _redis_key(policy: str, key: str) -> str:
    if len(key) > MAX_KEY_LENGTH:
        key = hashlib.sha256(key.encode()).hexdigest()
    return f"{PREFIX}{policy}:{key}"


def _now_ms() -> int:
    return int(time.monotonic() * 1000)
