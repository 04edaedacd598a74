"""PURE: where the marks of a chart lie. The pages draw them as SVG, so that no chart needs a script."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

WIDTH: Final = 600.0
HEIGHT: Final = 160.0
PAD: Final = 8.0
"""Room above and below, so that a mark at the edge is whole."""

N_SHADES: Final = 4


@dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float
    words: str


@dataclass(frozen=True, slots=True)
class Line:
    """`path` in SVG's language, broken where there is no value; `points` where there is one."""

    path: str
    points: list[Point]


def draw_line(values: Sequence[float | None], words: Sequence[str], *, most: float = 1.0) -> Line:
    """Evenly spaced values from 0 to `most` (which ends at the top edge), left to right.

    >>> draw_line([0.0, None, 1.0], ["a", "b", "c"]).path
    'M8.0 152.0h0M592.0 8.0h0'
    >>> draw_line([0.5, 1.0], ["a", "b"]).path
    'M8.0 80.0L592.0 8.0'
    """
    points: list[Point] = []
    pieces: list[str] = []
    is_open = False
    for index, value in enumerate(values):
        if value is None:
            is_open = _close(pieces, is_open=is_open)
            continue
        x, y = x_of(index, len(values)), HEIGHT - PAD - (HEIGHT - 2 * PAD) * min(value / most, 1.0)
        points.append(Point(x, y, words[index]))
        pieces.append(f"{'L' if is_open else 'M'}{x:.1f} {y:.1f}")
        is_open = True
    _close(pieces, is_open=is_open)
    return Line("".join(pieces), points)


def _close(pieces: list[str], *, is_open: bool) -> bool:
    """A value alone is a dot, which SVG draws for a line of no length."""
    if is_open and pieces[-1].startswith("M"):
        pieces.append("h0")
    return False


def x_of(index: float, n: int) -> float:
    """The place of the index-th of n evenly spaced values; one alone is in the middle."""
    return PAD + (WIDTH - 2 * PAD) * (index / (n - 1) if n > 1 else 0.5)


@dataclass(frozen=True, slots=True)
class Bar:
    """`share` of the longest bar, 0..100; `color` #rrggbb, or the page's own."""

    label: str
    share: float
    words: str
    color: str | None = None


def draw_bars(rows: Iterable[tuple[str, float, str]]) -> list[Bar]:
    """Bars of (label, value ≥ 0, the value in words), each against the longest.

    >>> [bar.share for bar in draw_bars([("a", 2, "2"), ("b", 1, "1"), ("c", 0, "0")])]
    [100.0, 50.0, 0.0]
    """
    listed = list(rows)
    most = max((value for _, value, _ in listed), default=0.0)
    return [Bar(label, 100 * value / most if most else 0.0, words) for label, value, words in listed]


@dataclass(frozen=True, slots=True)
class Cell:
    """A day in a calendar: its week's column, its weekday's row (Monday 0), its shade (0: nothing)."""

    day: date
    count: int
    column: int
    row: int
    shade: int


def draw_calendar(counts: Mapping[date, int], last: date, n_days: int) -> list[Cell]:
    """The n days up to `last`; shades go in equal steps up to the busiest day.

    >>> monday = date(2026, 3, 16)
    >>> [(cell.column, cell.row, cell.shade) for cell in draw_calendar({monday: 8}, monday, 2)]
    [(0, 6, 0), (1, 0, 4)]
    """
    first = last - timedelta(days=n_days - 1)
    monday = first - timedelta(days=first.weekday())
    most = max(counts.values(), default=0)
    days = [first + timedelta(days=n) for n in range(n_days)]
    return [
        Cell(day, n, (day - monday).days // 7, day.weekday(), -(-n * N_SHADES // most) if n else 0)
        for day in days
        for n in (counts.get(day, 0),)
    ]
