"""What every reader makes of a file: one entry after the other, clean enough to be captured.

Imported by the child process that reads files of strangers, so it needs nothing but the standard library.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

MAX_TITLE: Final = 2_000
MAX_TEXT: Final = 1_000_000
MAX_TAGS: Final = 50
MAX_TAG_NAME: Final = 100
FIRST: Final = datetime(1990, 1, 1, tzinfo=UTC)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
WEBKIT_EPOCH: Final = datetime(1601, 1, 1, tzinfo=UTC)

_WEB = re.compile(r"https?://[^\s/]", re.IGNORECASE)


@dataclass(slots=True)
class Entry:
    """One line, row or object of a file. `reason`: why it is left out; `at`: RFC 3339, when it was read."""

    url: str = ""
    title: str | None = None
    content: str | None = None
    at: str | None = None
    source: str | None = None
    scroll: float | None = None
    tags: list[str] | None = None
    reason: str | None = None


Entries = Iterator[Entry]


class UnreadableError(Exception):
    """The file is not what it says; the message is for its owner."""


def web_entry(
    url: Any, title: Any = None, *, content: Any = None, at: str | None = None, scroll: float | None = None
) -> Entry:
    """A page on the web; anything else a browser keeps (its own pages, scripts, files) is left out.

    >>> web_entry("chrome://settings").reason
    'not a web page'
    >>> web_entry("https://a.example", "  A  page ").title
    'A page'
    """
    address = clean(url).strip()
    named = short(title)
    if not _WEB.match(address):
        return Entry(url=address[:500], title=named, reason="not a web page" if address else "no address")
    return Entry(url=address, title=named, content=text_of(content), at=at, scroll=scroll)


def note_entry(name: str, title: Any, content: Any, *, at: str | None = None) -> Entry:
    """A text of one's own."""
    text = text_of(content)
    if text is None and not short(title):
        return Entry(url=f"note:{clean(name)}"[:500], reason="empty")
    return Entry(url=f"note:{clean(name)}", title=short(title), content=text, at=at, source="note")


def tagged(entry: Entry, tags: Any, *, between: str = ",") -> Entry:
    """The same entry, with its tags as `tags_of` reads them."""
    entry.tags = tags_of(tags, between=between)
    return entry


def clean(value: Any) -> str:
    """Text as the database can hold it: no NUL, no half of a surrogate pair."""
    if not isinstance(value, str):
        return ""
    return value.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def short(value: Any) -> str | None:
    """A title on one line; None where there is none."""
    return " ".join(clean(value)[: 4 * MAX_TITLE].split())[:MAX_TITLE] or None


def text_of(value: Any) -> str | None:
    return clean(value)[:MAX_TEXT].strip() or None


def tags_of(value: Any, *, between: str = ",") -> list[str] | None:
    """Names of tags, each once, from a list of names or of objects with a name, or from a text; or None.

    >>> tags_of(["sea", {"name": "ice"}, "sea"]), tags_of("sea|ice", between="|"), tags_of("['sea', 'ice']")
    (['sea', 'ice'], ['sea', 'ice'], ['sea', 'ice'])
    """
    if isinstance(value, str):
        value = [one.strip(" []'\"") for one in value.split(between)]
    if not isinstance(value, list):
        return None
    said = [one.get("name") if isinstance(one, dict) else one for one in value]
    names = [" ".join(clean(one).split())[:MAX_TAG_NAME] for one in said]
    return list(dict.fromkeys(filter(None, names)))[:MAX_TAGS] or None


def moment(value: Any, *, unit_s: float = 1.0, epoch: datetime = EPOCH) -> str | None:
    """A number since an epoch as RFC 3339; None for none, for nonsense, and for what lies ahead of us.

    >>> moment(1_700_000_000), moment("13344473600000000", unit_s=1e-6, epoch=WEBKIT_EPOCH), moment("soon")
    ('2023-11-14T22:13:20+00:00', '2023-11-14T22:13:20+00:00', None)
    """
    try:
        seconds = float(value) * unit_s
        return within_era(epoch + timedelta(seconds=seconds))
    except (TypeError, ValueError, OverflowError):
        return None


def written_moment(value: Any) -> str | None:
    """A written time as RFC 3339, in UTC where it names no zone.

    >>> written_moment("2023-11-14 22:13:20+00:00"), written_moment("2023-11-14T22:13:20.000Z")
    ('2023-11-14T22:13:20+00:00', '2023-11-14T22:13:20+00:00')
    """
    try:
        read = datetime.fromisoformat(str(value).strip())
        return within_era(read if read.tzinfo else read.replace(tzinfo=UTC))
    except (TypeError, ValueError, OverflowError):
        return None


def within_era(read: datetime) -> str | None:
    return read.astimezone(UTC).isoformat() if FIRST <= read <= datetime.now(UTC) else None


def share(value: Any, *, whole: float = 1.0) -> float | None:
    """A part of a whole, 0..1; None where there is none.

    >>> share("0.5"), share(40, whole=100), share("")
    (0.5, 0.4, None)
    """
    try:
        part = float(value) / whole
    except (TypeError, ValueError):
        return None
    return min(max(part, 0.0), 1.0) if part == part else None  # noqa: PLR0124 - not NaN
