"""Which format a file has, by what is in it; its name says nothing that can be relied on."""

from __future__ import annotations

import csv
import re
import sqlite3
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, get_args

Format = Literal[
    "bookmarks",
    "pocket",
    "reader",
    "omnivore",
    "omnivore-zip",
    "karakeep",
    "linkwarden",
    "chromium",
    "firefox",
    "urls",
    "notes",
    "misir",
]
FORMATS: Final[tuple[str, ...]] = get_args(Format)

LOOK_AT: Final = 64 * 1024


def detect_format(path: Path) -> str | None:
    """The format, or None when it is none we read. Looks at no more than a sample."""
    with path.open("rb") as file:
        head = file.read(LOOK_AT)
    if head.startswith(b"SQLite format 3\x00"):
        return _browser(path)
    if head.startswith(b"PK\x03\x04"):
        return _archive(path)
    text = head.decode("utf-8-sig", "replace").lstrip()
    if text[:1] in "{[" and text:
        return _json(text)
    if re.search(
        r"<!doctype netscape-bookmark|<dl>.*<dt>|<dt><a href", text[:8192], re.IGNORECASE | re.DOTALL
    ):
        return "bookmarks"
    return _table(text)


def _browser(path: Path) -> str | None:
    conn = sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        tables = {row[1] for row in conn.execute("pragma table_list")}
    except sqlite3.DatabaseError:
        return None
    finally:
        conn.close()
    return "firefox" if "moz_places" in tables else "chromium" if {"urls", "visits"} & tables else None


def _archive(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return None
    is_omnivore = any(re.fullmatch(r"(.*/)?metadata_.*\.json", name) for name in names)
    return "omnivore-zip" if is_omnivore else "notes"


def _json(text: str) -> str | None:
    if re.match(r'\{\s*"kind"\s*:\s*"misir-export"', text):
        return "misir"
    for key, found in (("bookmarks", "karakeep"), ("collections", "linkwarden")):
        if text.startswith("{") and re.search(rf'"{key}"\s*:\s*\[', text):
            return found
    return "omnivore" if re.search(r'"(savedAt|readingProgress|slug)"\s*:', text) else None


def _table(text: str) -> str | None:
    lines = [line for line in text.splitlines() if line.strip()]
    header = {name.strip().lower() for name in next(_read(lines[:1]), [])}
    if {"url", "time_added"} <= header:
        return "pocket"
    if {"url", "saved date"} <= header:
        return "reader"
    addresses = [line for line in lines if not line.lstrip().startswith("#")][:20]
    is_list = any(re.match(r"\s*https?://\S", line, re.IGNORECASE) for line in addresses)
    return "urls" if is_list else None


def _read(lines: list[str]) -> Iterator[list[str]]:
    try:
        yield from csv.reader(lines)
    except csv.Error:
        return
