"""A reader for each format: a file, as its entries. All of them stream: none holds more than one entry.

They run in a child process with little memory (read.py): nothing here needs to fear a hostile file.
"""

from __future__ import annotations

import csv
import re
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from typing import Any, Final, TextIO

import ijson
import orjson

from misir.imports.entries import (
    WEBKIT_EPOCH,
    Entries,
    Entry,
    UnreadableError,
    clean,
    moment,
    note_entry,
    share,
    tagged,
    web_entry,
    written_moment,
)

BLOCK: Final = 64 * 1024
MAX_TAG: Final = 1024 * 1024
MAX_FIELD: Final = 4 * 1024 * 1024
MAX_LINE: Final = 16 * 1024 * 1024
MAX_NOTE: Final = 8 * 1024 * 1024
NOTES: Final = {".md", ".markdown", ".txt"}


def _open_text(path: Path) -> TextIO:
    return path.open("r", encoding="utf-8-sig", errors="replace", newline="")


# ---- lists ---------------------------------------------------------------------------------------


def read_urls(path: Path) -> Entries:
    """A line each: an address, and after white space a title, if there is one. `#` opens a comment."""
    with _open_text(path) as file:
        while line := file.readline(MAX_LINE):
            text = line.strip()
            if text and not text.startswith("#"):
                url, _, title = text.partition(" ") if "\t" not in text else text.partition("\t")
                yield web_entry(url, title.strip() or url)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(MAX_FIELD)
    with _open_text(path) as file:
        try:
            for row in csv.DictReader(file):
                yield {(name or "").strip().lower(): value for name, value in row.items() if name is not None}
        except csv.Error as error:
            raise UnreadableError(f"The table cannot be read: {error}.") from None


def read_pocket(path: Path) -> Entries:
    """title, url, time_added, tags, status."""
    for row in _rows(path):
        url, at = row.get("url"), moment(row.get("time_added"))
        yield tagged(web_entry(url, row.get("title") or url, at=at), row.get("tags"), between="|")


def read_reader(path: Path) -> Entries:
    """Readwise Reader: Title, URL, Document tags, Saved date, Reading progress (0..1), and more."""
    for row in _rows(path):
        url, at = row.get("url"), written_moment(row.get("saved date"))
        entry = web_entry(url, row.get("title") or url, at=at, scroll=share(row.get("reading progress")))
        yield tagged(entry, row.get("document tags"))


# ---- bookmarks -----------------------------------------------------------------------------------


class _Bookmarks(HTMLParser):
    """Links as they close; a <DD> after one is its description."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.ready: list[Entry] = []
        self._open: Entry | None = None
        self._into: str | None = None
        self._parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        if tag == "a":
            self.finish()
            link = web_entry(said.get("href"), at=moment(said.get("add_date")))
            self._open = tagged(link, said.get("tags"))
            self._into, self._parts = "title", []
        elif tag == "dd" and self._open is not None:
            self._into, self._parts = "content", []
        elif tag in {"dt", "dl", "h3"}:
            self.finish()

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._into == "title":
            self._close_part()
        elif tag == "dl":
            self.finish()

    def handle_data(self, data: str) -> None:
        if self._into is not None and sum(map(len, self._parts)) < MAX_TAG:
            self._parts.append(data)

    def _close_part(self) -> None:
        if self._open is None or self._into is None:
            return
        text = " ".join(clean("".join(self._parts)).split()) or None
        if self._into == "title":
            self._open.title = (text or self._open.url)[:2_000]
        else:
            self._open.content = text
        self._into = None

    def finish(self) -> None:
        self._close_part()
        if self._open is not None:
            self.ready.append(self._open)
        self._open = None


def read_bookmarks(path: Path) -> Entries:
    """The Netscape file every browser writes."""
    parser = _Bookmarks()
    with _open_text(path) as file:
        while block := file.read(BLOCK):
            parser.feed(block)
            if len(parser.rawdata) > MAX_TAG:
                raise UnreadableError("The file has a tag that does not end: it is no bookmarks file.")
            yield from _taken(parser)
    parser.close()
    parser.finish()
    yield from _taken(parser)


def _taken(parser: _Bookmarks) -> Entries:
    ready, parser.ready = parser.ready, []
    yield from ready


# ---- JSON ----------------------------------------------------------------------------------------


def _objects(path: Path, prefix: str) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        try:
            for one in ijson.items(file, prefix, use_float=True):
                yield one if isinstance(one, dict) else {}
        except ijson.JSONError:
            raise UnreadableError("The file is not whole JSON.") from None


def read_karakeep(path: Path) -> Entries:
    for one in _objects(path, "bookmarks.item"):
        said = one.get("content")
        content: dict[str, Any] = said if isinstance(said, dict) else {}
        at = moment(one.get("createdAt")) or written_moment(one.get("createdAt"))
        note, tags = one.get("note"), one.get("tags")
        if content.get("type") == "text":
            text = clean(content.get("text"))
            name = f"karakeep/{one.get('createdAt')}/{text[:40]}"
            yield tagged(note_entry(name, one.get("title") or text[:80], text, at=at), tags)
        else:
            url = content.get("url")
            yield tagged(web_entry(url, one.get("title") or url, content=note, at=at), tags)


def read_omnivore(path: Path) -> Entries:
    for one in _objects(path, "item"):
        yield _omnivore(one)


def _omnivore(one: dict[str, Any]) -> Entry:
    entry = web_entry(
        one.get("url"),
        one.get("title") or one.get("url"),
        content=one.get("description"),
        at=written_moment(one.get("savedAt")),
        scroll=share(one.get("readingProgress"), whole=100),
    )
    return tagged(entry, one.get("labels"))


def read_omnivore_zip(path: Path) -> Entries:
    """The archive Omnivore sent: metadata_*.json, each with some of the items."""
    with _archive(path) as archive:
        names = [one for one in archive.infolist() if re.fullmatch(r"(.*/)?metadata_.*\.json", one.filename)]
        for one in names:
            with archive.open(one) as file:
                try:
                    for item in ijson.items(file, "item", use_float=True):
                        yield _omnivore(item if isinstance(item, dict) else {})
                except (ijson.JSONError, zipfile.BadZipFile):
                    raise UnreadableError(f"{one.filename[:100]} in the archive is damaged.") from None


def read_linkwarden(path: Path) -> Entries:
    for one in _objects(path, "collections.item.links.item"):
        url = one.get("url")
        at = written_moment(one.get("importDate") or one.get("createdAt"))
        text = one.get("textContent") or one.get("description")
        title = one.get("name") or one.get("description") or url
        yield tagged(web_entry(url, title, content=text, at=at), one.get("tags"))


# ---- our own -------------------------------------------------------------------------------------


def read_misir(path: Path) -> Entries:
    """The live pages of an export of ours, to be placed anew: in another space, or by another model."""
    trashed = set[str]()
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE):
            one = _json(line)
            if one.get("kind") == "space" and one.get("deleted_at"):  # spaces come first
                trashed.add(str(one.get("id")))
            is_live = not one.get("deleted_at") and str(one.get("space_id")) not in trashed
            if one.get("kind") == "artifact" and is_live:
                entry = Entry(
                    url=clean(one.get("url")),
                    title=clean(one.get("title")) or None,
                    content=clean(one.get("content")) or None,
                    at=written_moment(one.get("captured_at")),
                    source=clean(one.get("content_source")) or None,
                    scroll=share(one.get("scroll_depth")),
                )
                said = one.get("metadata")
                yield tagged(entry, said.get("tags") if isinstance(said, dict) else None)


def _json(line: bytes) -> dict[str, Any]:
    try:
        read = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise UnreadableError("The file has a line that is no JSON: it was cut off, or changed.") from None
    return read if isinstance(read, dict) else {}


# ---- browsers ------------------------------------------------------------------------------------


def _asked(path: Path, query: str) -> Iterator[tuple[Any, ...]]:
    conn = sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)
    conn.text_factory = lambda raw: raw.decode("utf-8", "replace")
    try:
        conn.execute("pragma temp_store = memory")  # a confined process writes to no file
        yield from conn.execute(query)
    except sqlite3.DatabaseError:
        raise UnreadableError(
            "The browser's database is damaged: copy it while the browser is closed."
        ) from None
    finally:
        conn.close()


def read_chromium(path: Path) -> Entries:
    """`History` of Chromium, Chrome, Edge, Brave: each address once, at its last visit."""
    query = "select url, title, last_visit_time from urls where hidden = 0 order by last_visit_time, id"
    for url, title, at in _asked(path, query):
        yield web_entry(url, title or url, at=moment(at, unit_s=1e-6, epoch=WEBKIT_EPOCH))


def read_firefox(path: Path) -> Entries:
    """`places.sqlite`: what was visited, each address once, at its last visit."""
    query = (
        "select url, title, last_visit_date from moz_places "
        "where hidden = 0 and last_visit_date is not null order by last_visit_date, id"
    )
    for url, title, at in _asked(path, query):
        yield web_entry(url, title or url, at=moment(at, unit_s=1e-6))


# ---- notes ---------------------------------------------------------------------------------------


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise UnreadableError("The archive is damaged.") from None


def read_notes(path: Path) -> Entries:
    """A folder of notes in a zip: markdown and text, each named by its path in it."""
    with _archive(path) as archive:
        for one in sorted(archive.infolist(), key=lambda info: info.filename):
            name = PurePosixPath(one.filename)
            if one.is_dir() or any(part.startswith((".", "__MACOSX")) for part in name.parts):
                continue
            if name.suffix.lower() not in NOTES:
                yield Entry(url=f"note:{clean(one.filename)}"[:500], reason="neither markdown nor text")
            else:
                yield _note(archive, one, name)


def _note(archive: zipfile.ZipFile, one: zipfile.ZipInfo, name: PurePosixPath) -> Entry:
    try:
        with archive.open(one) as file:
            raw = file.read(MAX_NOTE)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError):
        return Entry(url=f"note:{clean(one.filename)}"[:500], reason="encrypted or damaged")
    text = raw.decode("utf-8-sig", "replace")
    heading = next((line.lstrip("#").strip() for line in text.splitlines() if line.startswith("#")), "")
    return note_entry(str(name.with_suffix("")), heading or name.stem, text, at=_zipped_at(one))


def _zipped_at(one: zipfile.ZipInfo) -> str | None:
    try:
        return written_moment(datetime(*one.date_time, tzinfo=UTC).isoformat())
    except ValueError:
        return None


READERS: Final[dict[str, Callable[[Path], Entries]]] = {
    "bookmarks": read_bookmarks,
    "pocket": read_pocket,
    "reader": read_reader,
    "omnivore": read_omnivore,
    "omnivore-zip": read_omnivore_zip,
    "karakeep": read_karakeep,
    "linkwarden": read_linkwarden,
    "chromium": read_chromium,
    "firefox": read_firefox,
    "urls": read_urls,
    "notes": read_notes,
    "misir": read_misir,
}
