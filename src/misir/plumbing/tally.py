"""Sliding-window counting in this process: the memory storage, and the shadow of Redis's decisions; no I/O"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

WINDOW_MS = 60_000
SECOND_MS = 1_000
SURE_MS = WINDOW_MS - 2 * SECOND_MS
"""Younger than this here is younger than the window by Redis's clock, too."""


@dataclass(slots=True)
class Tally:
    """What this process admitted under one key, and what Redis last said everybody has used.

    Entries are [last_ms, count], oldest first, at most one a second: units are held for 60 s after the last
    hit of their second, so no 60 seconds ever admit more than the limit.

    >>> tally = Tally()
    >>> tally.add(0, 2); tally.add(400, 1); tally.add(5_000, 1)
    >>> tally.used, tally.frees_in(10_000, 1), tally.frees_in(10_000, 4)
    (4, 50400, 55000)
    >>> tally.forget(60_400); tally.used
    1
    """

    entries: deque[list[int]] = field(default_factory=deque)
    used: int = 0
    seen: int = 0
    seen_until_ms: int = 0
    debt: int = 0
    touched_ms: int = 0

    def forget(self, now_ms: int) -> None:
        """Drop what is older than the window."""
        while self.entries and self.entries[0][0] <= now_ms - WINDOW_MS:
            self.used -= self.entries.popleft()[1]

    def add(self, now_ms: int, n_units: int) -> None:
        newest = self.entries[-1] if self.entries else None
        if newest and newest[0] // SECOND_MS == now_ms // SECOND_MS:
            newest[0] = now_ms
            newest[1] += n_units
        else:
            self.entries.append([now_ms, n_units])
        self.used += n_units

    def resets_in(self, now_ms: int) -> int:
        """Milliseconds until the oldest units come back; 0 when all are free."""
        return self.entries[0][0] + WINDOW_MS - now_ms if self.entries else 0

    def frees_in(self, now_ms: int, n_units: int) -> int:
        """Milliseconds until so many units are free again; more than there are never fit: a whole window."""
        for last_ms, count in self.entries:
            n_units -= count
            if n_units <= 0:
                return last_ms + WINDOW_MS - now_ms
        return WINDOW_MS

    def saw(self, now_ms: int, used: int, reset_ms: int) -> None:
        """Redis said `used`; that stays true at least until its oldest units come back."""
        self.seen, self.seen_until_ms = used, now_ms + reset_ms

    def spend(self, now_ms: int, cost: int, *, limit: int, share: int) -> tuple[bool, int, int]:
        """Decide here: (admitted, remaining, ms until `cost` units would fit).

        This process admits its share of the limit, less what it admitted already, and never more than
        what everybody had left when Redis last said so.
        """
        self.forget(now_ms)
        room = own_room = common_room = share - self.used
        if now_ms < self.seen_until_ms:
            common_room = limit - self.seen - self.debt
            room = min(own_room, common_room)
        if cost <= room or cost == 0:
            if cost:
                self.add(now_ms, cost)
                self.debt += cost
            return True, room - cost, 0
        own_wait_ms = self.frees_in(now_ms, cost - own_room) if cost > own_room else 0
        common_wait_ms = self.seen_until_ms - now_ms if cost > common_room else 0
        return False, room, max(own_wait_ms, common_wait_ms)

    def floor(self, now_ms: int) -> int:
        """At least this much has gone through Redis: if it counts less, it has lost it."""
        seen = self.seen if now_ms < self.seen_until_ms else 0
        if self.used <= seen:
            return seen
        surely_own = sum(count for last_ms, count in self.entries if last_ms > now_ms - SURE_MS)
        return max(surely_own - self.debt, seen)

    def take_debt(self, now_ms: int) -> int:
        """What was admitted while Redis was away and still counts; whoever takes it tells Redis."""
        self.forget(now_ms)
        debt, self.debt = min(self.debt, self.used), 0
        return debt


class Tallies:
    """The tallies of all keys, least recently touched first; the stale and those beyond `max_keys` go."""

    def __init__(self, max_keys: int) -> None:
        self._max_keys = max_keys
        self._by_key: OrderedDict[str, Tally] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_key)

    def of(self, key: str, now_ms: int) -> Tally:
        tally = self._by_key.get(key)
        if tally is None:
            tally = self._by_key[key] = Tally()
            tally.touched_ms = now_ms
            self._evict(now_ms)
        else:
            self._by_key.move_to_end(key)
            tally.touched_ms = now_ms
        return tally

    def _evict(self, now_ms: int) -> None:
        """Make room, whenever a key is new."""
        while True:
            key, oldest = next(iter(self._by_key.items()))
            if oldest.touched_ms > now_ms - WINDOW_MS and len(self._by_key) <= self._max_keys:
                return
            del self._by_key[key]

    def worth_telling(self, now_ms: int) -> list[tuple[str, Tally]]:
        """What an emptied Redis must hear of."""
        return [(key, tally) for key, tally in self._by_key.items() if tally.debt or tally.floor(now_ms)]
