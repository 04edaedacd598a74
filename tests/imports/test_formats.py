"""Each format: recognised by what is in it, read to the same kind of entries; and files that lie."""

from __future__ import annotations

import io
import json
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

import pytest

from misir.imports.entries import Entry, UnreadableError
from misir.imports.formats import FORMATS, detect_format
from misir.imports.readers import READERS

AT = "2023-11-14T22:13:20+00:00"
PAGE = "https://a.example/page"


def bookmarks() -> bytes:
    return b"""<!DOCTYPE NETSCAPE-Bookmark-file-1>
<TITLE>Bookmarks</TITLE><H1>Bookmarks</H1>
<DL><p><DT><H3 ADD_DATE="1">Folder</H3><DL><p>
<DT><A HREF="https://a.example/page" ADD_DATE="1700000000" TAGS="x,y" ICON="data:x">A &amp; B</A>
<DD>What it says
<DT><A HREF="javascript:void(0)">script</A>
<DT><A HREF="https://b.example/" ADD_DATE="99999999999999">From the future</A>
</DL><p></DL>"""


def archive(**files: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as into:
        for name, text in files.items():
            into.writestr(zipfile.ZipInfo(name.replace("__", "/"), (2023, 11, 14, 22, 13, 20)), text)
    return packed.getvalue()


def browser(tmp_path: Path, *statements: str) -> bytes:
    file = tmp_path / "made.sqlite"
    file.unlink(missing_ok=True)
    conn = sqlite3.connect(file)
    for statement in statements:
        conn.execute(statement)
    conn.commit()
    conn.close()
    return file.read_bytes()


def chromium(tmp_path: Path) -> bytes:
    columns = "id integer primary key, url text, title text, last_visit_time integer, hidden integer"
    return browser(
        tmp_path,
        f"create table urls ({columns})",
        "create table visits (id integer primary key, url integer)",
        f"insert into urls values (1, '{PAGE}', 'A & B', 13344473600000000, 0), (2, 'chrome://newtab', '', 0, 0), (3, 'https://c.example', 'hidden', 0, 1)",
    )


def firefox(tmp_path: Path) -> bytes:
    columns = "id integer primary key, url text, title text, last_visit_date integer, hidden integer"
    return browser(
        tmp_path,
        f"create table moz_places ({columns})",
        f"insert into moz_places values (1, '{PAGE}', 'A & B', 1700000000000000, 0), (2, 'about:config', '', 1, 0), (3, 'https://c.example', 'never seen', null, 0)",
    )


KARAKEEP = {
    "bookmarks": [
        {"createdAt": 1700000000, "title": "A & B", "tags": ["x", "y"], "content": {"type": "link", "url": PAGE}, "note": None},
        {"createdAt": 1700000000, "title": None, "content": {"type": "text", "text": "a thought"}},
        {"createdAt": 1700000000, "title": "an upload", "content": None},
    ]
}  # fmt: skip
OMNIVORE = [{"id": "1", "slug": "s", "title": "A & B", "url": PAGE, "savedAt": "2023-11-14T22:13:20.000Z", "readingProgress": 40, "labels": ["x", "y"]}]  # fmt: skip
LINKWARDEN = {"name": "me", "collections": [{"name": "c", "links": [{"url": PAGE, "name": "A & B", "createdAt": "2023-11-14T22:13:20.000Z", "tags": [{"name": "x"}, {"name": "y"}, {"name": "x"}]}]}]}  # fmt: skip


UNTAGGED = {"urls", "notes", "chromium", "firefox"}


def samples(tmp_path: Path) -> dict[str, bytes]:
    return {
        "bookmarks": bookmarks(),
        "pocket": f"title,url,time_added,tags,status\nA & B,{PAGE},1700000000,x|y,unread\n".encode(),
        "reader": f"Title,URL,ID,Document tags,Saved date,Reading progress\nA & B,{PAGE},1,\"['x', 'y']\",2023-11-14 22:13:20+00:00,0.5\n".encode(),
        "omnivore": json.dumps(OMNIVORE).encode(),
        "omnivore-zip": archive(**{"metadata_0_to_1.json": json.dumps(OMNIVORE), "content__s.html": "<p>x"}),
        "karakeep": json.dumps(KARAKEEP).encode(),
        "linkwarden": json.dumps(LINKWARDEN).encode(),
        "chromium": chromium(tmp_path),
        "firefox": firefox(tmp_path),
        "urls": f"# mine\n{PAGE} A & B\nnonsense\n".encode(),
        "notes": archive(**{"soil__2023.md": "# A & B\n\ntext", "pic.png": "x", ".obsidian__a.md": "hidden"}),
        "misir": b'{"kind":"misir-export","version":1}\n'
        + json.dumps(
            {
                "kind": "artifact",
                "url": PAGE,
                "title": "A & B",
                "captured_at": AT,
                "metadata": {"tags": ["x", "y"]},
            }
        ).encode()
        + b'\n{"kind":"end"}\n',
    }


def read(tmp_path: Path, data: bytes) -> list[Entry]:
    path = tmp_path / "file"
    path.write_bytes(data)
    known = detect_format(path)
    assert known is not None
    return list(READERS[known](path))


def test_every_format_is_recognised_and_read(tmp_path: Path) -> None:
    files = samples(tmp_path)
    assert set(files) == set(FORMATS) == set(READERS)
    for name, data in files.items():
        path = tmp_path / "anything.bin"
        path.write_bytes(data)
        assert detect_format(path) == name
        first = next(one for one in READERS[name](path) if one.reason is None)
        assert first.title == "A & B", name
        assert first.url == ("note:soil/2023" if name == "notes" else PAGE), name
        assert first.at == (None if name == "urls" else AT), name
        assert first.reason is None, name
        assert first.tags == (None if name in UNTAGGED else ["x", "y"]), name


def test_what_a_format_says_besides(tmp_path: Path) -> None:
    found = {name: read(tmp_path, data) for name, data in samples(tmp_path).items()}
    described, script, future = found["bookmarks"]
    assert described.content == "What it says"
    assert script.reason == "not a web page"
    assert (future.at, future.reason) == (None, None)
    assert [one.scroll for name in ("reader", "omnivore") for one in found[name]] == [0.5, 0.4]
    _, thought, upload = found["karakeep"]
    assert (thought.source, thought.content, thought.title) == ("note", "a thought", "a thought")
    assert upload.reason == "no address"
    assert [(one.url, one.reason) for one in found["chromium"]] == [
        ("chrome://newtab", "not a web page"), (PAGE, None)
    ]  # fmt: skip
    assert [one.url for one in found["firefox"]] == ["about:config", PAGE]
    assert [(one.url, one.reason) for one in found["notes"]] == [
        ("note:pic.png", "neither markdown nor text"), ("note:soil/2023", None)
    ]  # fmt: skip
    assert [one.content for one in found["notes"] if one.reason is None] == ["# A & B\n\ntext"]


LIARS = {
    "a tag without an end": (b"<!DOCTYPE NETSCAPE-Bookmark-file-1><a href='" + b"x" * 3_000_000, "does not end"),
    "JSON cut short": (json.dumps(KARAKEEP).encode()[:-40], "not whole JSON"),
    "a database cut short": (b"", "damaged"),
    "a cell without an end": (b'url,title,time_added\nhttps://a.example,"' + b"x" * 5_000_000, "field larger"),
    "an export cut short": (b'{"kind":"misir-export"}\n{"kind":"arti', "no JSON"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIARS)
def test_a_file_that_is_not_what_it_says_is_refused(tmp_path: Path, name: str) -> None:
    data, reason = LIARS[name]
    whole = chromium(tmp_path)
    data = data or whole[:4096] + b"\xff" * (len(whole) - 4096)
    with pytest.raises(UnreadableError, match=reason):
        read(tmp_path, data)


@pytest.mark.parametrize(
    "data", [b"", b"just words", b"\x89PNG\r\n", b"{}", b"[1]", b"PK\x03\x04broken", b"a,b\n1,2"]
)
def test_what_is_no_format_is_none(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    assert detect_format(path) is None


def test_text_the_database_cannot_hold_is_mended(tmp_path: Path) -> None:
    data = json.dumps([{"url": PAGE, "title": "a\x00b\ud800c", "savedAt": "soon"}]).encode()
    (one,) = read(tmp_path, data)
    assert one.title == "ab?c"
    made: Any = one.title
    made.encode()
