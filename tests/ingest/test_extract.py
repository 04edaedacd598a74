"""What strangers wrote, read in a process of its own: good files, broken ones, and those made to hurt."""

from __future__ import annotations

import io
import time
import zlib
from typing import Any

import orjson
import pytest
from pypdf import PdfReader, PdfWriter

from misir.plumbing.confined import run_confined

ARTICLE = (
    "<!doctype html><html lang='de'><head><title>Vom Meer | Zeitung</title>"
    "<meta name='author' content='Ada Lovelace'><meta property='article:published_time' content='2024-05-06'>"
    "<link rel='canonical' href='https://zeitung.example/meer'></head><body><nav>Menu Menu Menu</nav><article><h1>Vom Meer</h1>"
    + "".join(f"<p>Das Meer ist an Tag {n} weit und tief, und niemand kennt es ganz.</p>" for n in range(9))
    + "</article><footer>Impressum</footer></body></html>"
)


def pdf_of(text: str, pages: int = 1) -> bytes:
    """The smallest PDF that says something, and its title."""
    stream = zlib.compress(f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET".encode())
    return assembled(stream, pages)


def assembled(stream: bytes, pages: int = 1) -> bytes:
    kids = " ".join(f"{5 + n} 0 R" for n in range(pages))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {pages} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(stream), stream),
        *[b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 3 0 R >> >> >>"] * pages,
        b"<< /Title (About the sea) /Author (Ada) >>",
    ]  # fmt: skip
    out = io.BytesIO(b"%PDF-1.4\n")
    out.seek(0, io.SEEK_END)
    places = []
    for number, body in enumerate(objects, 1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.writelines(b"%010d 00000 n \n" % place for place in places)
    out.write(
        b"trailer\n<< /Size %d /Root 1 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF"
        % (len(objects) + 1, len(objects), start)
    )
    return out.getvalue()


def encrypted(data: bytes) -> bytes:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(data)))
    writer.encrypt("a password", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def extract(kind: str, data: bytes, within_s: float = 60) -> Any:
    answer = run_confined("misir.ingest.extract", [kind], data, within_s=within_s)
    return None if answer is None else orjson.loads(answer)


def test_an_article_without_what_stands_around_it() -> None:
    found = extract("html", ARTICLE.encode())
    assert found["text"].count("Das Meer ist") == 9
    assert "Impressum" not in found["text"]
    assert "Menu" not in found["text"]
    assert (found["author"], found["published"], found["language"]) == ("Ada Lovelace", "2024-05-06", "de")
    assert found["canonical"] == "https://zeitung.example/meer"
    assert found["title"] == "Vom Meer"
    assert found["is_cut"] is False


def test_a_pdf_says_its_text_and_title() -> None:
    found = extract("pdf", pdf_of("The tide comes in", pages=3))
    assert found["text"].split("\n\n") == ["The tide comes in"] * 3
    assert (found["title"], found["author"], found["page_count"]) == ("About the sea", "Ada", 3)


HURTING = {
    "an encrypted PDF": ("pdf", encrypted(pdf_of("secret")), "encrypted"),
    "a PDF cut short": ("pdf", pdf_of("x")[:300], "broken"),
    "no PDF at all": ("pdf", b"%PDF-1.7\n" + b"\x00\xff" * 500, "broken"),
    "a scan": ("pdf", assembled(zlib.compress(b"q Q")), "no text"),
    "a page of a PDF that unpacks to a gigabyte": ("pdf", assembled(zlib.compress(b" " * 200_000_000 + b"BT ET", 9)), None),
    "no text": ("text", b"\xff\xfe\x00\x01", "not text in UTF-8"),
    "only white space": ("text", b" \n\t ", "no text"),
}  # fmt: skip


@pytest.mark.parametrize("name", HURTING)
def test_what_cannot_be_read_is_said_in_a_sentence(name: str) -> None:
    kind, data, said = HURTING[name]
    found = extract(kind, data)
    assert found is None or "error" in found
    if said is not None:
        assert said in found["error"]


def test_a_child_that_hangs_is_killed() -> None:
    """What is not done in time, for whatever reason: nobody waits for it."""
    started = time.monotonic()
    assert run_confined("timeit", ["-n1", "-r1", "import time; time.sleep(300)"], b"", within_s=0.5) is None
    assert time.monotonic() - started < 30


def test_text_is_cut_where_an_artifact_ends_and_titled_by_its_heading() -> None:
    found = extract("text", b"# Soil\n" + b"word " * 300_000)
    assert (len(found["text"]), found["title"], found["is_cut"]) == (1_000_000, "Soil", True)
