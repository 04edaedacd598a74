"""`python -m misir.ingest.extract KIND`: the readable text of what comes in by standard input, as JSON.

Runs confined (plumbing/confined.py): libraries that read what strangers wrote may hang, explode or crash.
"""

from __future__ import annotations

import io
import re
import sys
from typing import Any

import orjson

from misir.plumbing.confined import confine

MEMORY_MIB = 1024
CPU_S = 20
MAX_TEXT = 1_000_000
MAX_PAGES = 2_000


class UnreadableError(Exception):
    """What arrived cannot be read; the message is for the person who sent it."""


def read_html(data: bytes) -> dict[str, Any]:
    """The article of a page without what stands around it; the whole text where there is no article."""
    import trafilatura  # noqa: PLC0415 - half a second that a PDF need not wait for
    from lxml import etree  # noqa: PLC0415

    tree = trafilatura.load_html(data)
    if tree is None:
        raise UnreadableError("The page is no HTML, or is empty.")
    language = tree.get("lang") or tree.get("{http://www.w3.org/XML/1998/namespace}lang")
    try:
        found: Any = trafilatura.bare_extraction(tree, with_metadata=True, include_comments=False)
        text = (found.text if found else None) or trafilatura.html2txt(data)
    except (etree.LxmlError, ValueError, RecursionError):
        raise UnreadableError("The page's HTML cannot be read.") from None
    return {
        "text": text,
        "title": found.title if found else None,
        "author": found.author if found else None,
        "published": found.date if found else None,
        "language": (language or "")[:35] or None,
        "canonical": found.url if found else None,
    }


def read_pdf(data: bytes) -> dict[str, Any]:
    """The text of a PDF's pages, as far as it has one: scans have none."""
    from pypdf import PdfReader  # noqa: PLC0415
    from pypdf.errors import PyPdfError  # noqa: PLC0415

    try:
        reader = PdfReader(io.BytesIO(data), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise UnreadableError("The PDF is encrypted: save it without a password.")
        n_pages, parts, n_chars = len(reader.pages), list[str](), 0
        for page in reader.pages[:MAX_PAGES]:
            parts.append(page.extract_text() or "")
            n_chars += len(parts[-1])
            if n_chars > MAX_TEXT:
                break
        about = reader.metadata
        created = about.creation_date if about else None
    except (PyPdfError, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError, OSError):
        raise UnreadableError("The PDF is broken and cannot be read.") from None
    return {
        "text": "\n\n".join(parts),
        "title": about.title if about else None,
        "author": about.author if about else None,
        "published": created.date().isoformat() if created else None,
        "page_count": n_pages,
        "is_cut": len(parts) < n_pages,
    }


def read_text(data: bytes) -> dict[str, Any]:
    """Plain text or markdown, titled by its first heading."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableError("The file is not text in UTF-8.") from None
    heading = re.search(r"^#{1,6} +(.+?) *#* *$", text, re.MULTILINE)
    return {"text": text, "title": heading[1] if heading else None}


READERS = {"html": read_html, "pdf": read_pdf, "text": read_text}


def cleaned(found: dict[str, Any]) -> dict[str, Any]:
    """What the database can hold: no NUL, no half of a surrogate pair; nothing that is empty."""
    plain = {
        name: value.replace("\x00", "").encode("utf-8", "replace").decode()
        if isinstance(value, str)
        else value
        for name, value in found.items()
    }
    text = (plain.get("text") or "").strip()
    if not text:
        raise UnreadableError(
            "There is no text in it: it may be a scan, an image, or a page made by scripts."
        )
    plain["text"], plain["is_cut"] = text[:MAX_TEXT], bool(plain.get("is_cut")) or len(text) > MAX_TEXT
    for name in ("title", "author"):
        plain[name] = " ".join((plain.get(name) or "").split())[:2_000] or None
    return {name: value for name, value in plain.items() if value not in {None, ""}}


def main(kind: str) -> None:
    confine(memory_mib=MEMORY_MIB, cpu_s=CPU_S)
    try:
        answer = cleaned(READERS[kind](sys.stdin.buffer.read()))
    except UnreadableError as problem:
        answer = {"error": str(problem)}
    except MemoryError:
        answer = {"error": "It is too large, once unpacked, to be read."}
    sys.stdout.buffer.write(orjson.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1])
