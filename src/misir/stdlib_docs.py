"""The documentation every Python carries: docstrings of the standard library, as titles, texts and addresses.

Runs as a program of its own (`python -I stdlib_docs.py`, JSON on standard output), so that the modules it
imports, and whatever they set up, are gone when it ends. It imports nothing but the standard library.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

MODULES = """
    csv json configparser tomllib plistlib html html.parser xml.etree.ElementTree re string textwrap difflib
    codecs struct base64 binascii locale gettext pathlib os.path tempfile shutil glob fnmatch fileinput
    filecmp linecache stat io mmap zipfile tarfile gzip bz2 lzma zlib sqlite3 shelve pickle socket
    socketserver ssl select selectors http http.client http.server http.cookies urllib.request urllib.parse
    urllib.robotparser smtplib ftplib email email.message email.policy email.generator email.parser mailbox
    mimetypes ipaddress webbrowser threading queue concurrent.futures asyncio multiprocessing
    multiprocessing.shared_memory subprocess sched signal contextvars math decimal fractions random
    statistics itertools functools operator bisect heapq array collections collections.abc graphlib datetime
    calendar time zoneinfo unittest unittest.mock doctest pdb bdb cProfile pstats timeit trace traceback
    tracemalloc logging logging.handlers warnings ast tokenize token dis inspect code importlib.metadata
    importlib.resources pkgutil runpy venv typing types enum dataclasses abc contextlib copy weakref argparse
    getopt cmd shlex pprint reprlib hashlib hmac secrets uuid getpass
""".split()  # noqa: SIM905 - a hundred names are easier to read as words than as a list of literals
"""In this order; each has a page at docs.python.org/3/library and does nothing when imported."""

COMMENTED = ("csv.DictReader", "csv.DictWriter")
"""Well-known classes without a docstring, whose comments say what they are for."""

OPENING, PAGE = 800, 800
"""Characters a document takes of a docstring, and of the summaries of what is in the class or module."""

LEAST_TEXT = 70
"""Characters below which a docstring says little more than its name."""


def collect() -> list[dict[str, str]]:
    """Every document: `title` (the qualified name), `content` and `url`, always in the same order."""
    documents: list[dict[str, str]] = []
    seen: set[type] = set()
    for name in MODULES:
        module = importlib.import_module(name)
        documents += _documents(_describe_module(module, name), name, _page(name))
        for label, cls in sorted(_classes(module, name).items()):
            if cls not in seen:
                seen.add(cls)
                title = f"{name}.{label}"
                documents += _documents(_describe_class(cls, title), title, _search_page(title))
    return documents


def _documents(content: str, title: str, url: str) -> list[dict[str, str]]:
    return [{"title": title, "content": content, "url": url}] if content else []


def _page(module: str) -> str:
    return f"https://docs.python.org/3/library/{module.lower()}.html"


def _search_page(title: str) -> str:
    return f"https://docs.python.org/3/search.html?q={title}"


def _describe_module(module: ModuleType, name: str) -> str:
    """How its docstring opens, and the first line of each public class's and function's.

    Where the docstring is a mere line, the module's C half carries the text (csv and _csv).
    """
    text = _doc(module)
    half = _doc(sys.modules.get(f"_{name}"))
    if len(text) < LEAST_TEXT <= len(half):
        text = f"{text}\n\n{half}".strip()
    return _described(text, _summaries(_members(module, name)))


def _describe_class(cls: type, title: str) -> str:
    """How its docstring opens, and the first line of each public method's."""
    text = _comments(cls) if title in COMMENTED else _doc(cls)
    is_bare_signature = text.startswith(f"{cls.__name__}(") and "\n" not in text
    return "" if len(text) < LEAST_TEXT or is_bare_signature else _described(text, _summaries(vars(cls)))


def _described(text: str, summaries: list[str]) -> str:
    """Whole paragraphs and whole lines, about a page of them."""
    opening = _fill(text.split("\n\n"), "\n\n", OPENING)
    described = f"{opening}\n\n{_fill(summaries, chr(10), PAGE)}".strip()
    return described if len(described) >= LEAST_TEXT else ""


def _fill(parts: list[str], separator: str, limit: int) -> str:
    """As many of the parts as fit, and the first in any case."""
    filled = ""
    for part in parts:
        longer = f"{filled}{separator}{part}".strip("\n")
        if filled and len(longer) > limit:
            break
        filled = longer
    return filled


def _summaries(members: Mapping[str, Any]) -> list[str]:
    return [
        f"{name}: {summary}"
        for name, member in members.items()
        if not name.startswith("_")
        and (callable(member) or isinstance(member, (property, classmethod, staticmethod)))
        and (summary := _doc(member).partition("\n")[0])
    ]


def _doc(thing: Any) -> str:
    """Its own docstring, not one it inherited."""
    text = vars(thing).get("__doc__") if isinstance(thing, type) else getattr(thing, "__doc__", None)
    return inspect.cleandoc(text) if isinstance(text, str) else ""


def _comments(cls: type) -> str:
    """Its signature and comments, which pydoc, too, falls back on where there is no docstring."""
    remarks = [
        line.partition("# ")[2].strip() for line in inspect.getsource(cls).splitlines() if "# " in line
    ]
    return "\n".join([f"{cls.__name__}{inspect.signature(cls)}", "", *remarks])


def _classes(module: ModuleType, name: str) -> dict[str, type]:
    """Its public classes, exceptions aside."""
    return {
        label: thing
        for label, thing in _members(module, name).items()
        if isinstance(thing, type) and label == thing.__name__ and not issubclass(thing, BaseException)
    }


def _members(module: ModuleType, name: str) -> dict[str, Any]:
    """What it lists in __all__, or else what is public and defined in it or in its C half."""
    listed = getattr(module, "__all__", None)
    return {
        label: thing
        for label, thing in vars(module).items()
        if not label.startswith("_")
        and (label in listed if listed else getattr(thing, "__module__", None) in (name, f"_{name}"))
    }


if __name__ == "__main__":
    json.dump(collect(), sys.stdout)
