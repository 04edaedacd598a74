"""The demo library: the documentation of Python's standard library, sent in as any client would send it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final, Self

import httpx
import typer
from rich.progress import track

from misir import stdlib_docs
from misir.errors import MisirError
from misir.shell import AsJson, out, print_json, steps

EXAMPLES: Final = ("misir demo", "misir demo --url http://127.0.0.1:8010")

SPACE: Final = "Python standard library"
INTENTION: Final = "Know which part of Python's standard library solves the problem at hand"
TOPICS: Final[dict[str, list[str]]] = {
    "Files and storage": [
        "opening, reading and writing files",
        "file paths and directories",
        "temporary files and copying directory trees",
        "compressed archives such as zip, tar and gzip",
        "storing objects and records on disk, databases",
    ],
    "Text and data formats": [
        "parsing and formatting text",
        "regular expressions and string matching",
        "JSON, CSV, XML and configuration files",
        "character encodings and binary packing",
        "comparing texts and wrapping lines",
    ],
    "Networking and internet": [
        "sockets and network servers",
        "HTTP clients and web servers",
        "URLs, opening web pages",
        "sending and parsing email messages",
        "IP addresses and encrypted connections with TLS",
    ],
    "Concurrency and processes": [
        "threads and locks",
        "asynchronous event loop and coroutines",
        "queues, semaphores and barriers between tasks",
        "starting other processes",
        "futures and pools of workers",
    ],
    "Numbers and mathematics": [
        "arithmetic with decimal numbers and fractions",
        "mathematical functions",
        "random numbers",
        "statistics such as mean and variance",
    ],
    "Collections and algorithms": [
        "container types such as mappings, sequences and sets",
        "iterators for efficient looping, combinations and permutations",
        "sorting, heaps and binary search",
        "counting and grouping elements",
        "functions that work on functions",
    ],
    "Dates and time": [
        "dates and calendars",
        "time zones",
        "clock time, timestamps and durations",
        "running events later on a schedule",
    ],
    "Testing and debugging": [
        "unit tests and mock objects",
        "debugger and breakpoints",
        "profiling and measuring run time",
        "tracebacks and error reports",
        "logging messages to handlers and files",
    ],
    "Language and tooling": [
        "types, classes and type hints",
        "syntax trees, tokens and bytecode of Python source",
        "importing modules and packages",
        "command-line arguments and interactive interpreters",
        "context managers, copying and weak references",
    ],
    "Security and hashing": [
        "cryptographic hash functions",
        "message authentication codes",
        "secure random tokens and passwords",
        "unique identifiers",
    ],
}
"""Declared in plain words; which document belongs where is the engine's to find out."""

PAGE_SIZE: Final = 100
TIMEOUT_S: Final = 30.0
GIVE_UP_AFTER_S: Final = 120.0
"""How long a server may ask us to come back later before we stop asking."""

Document = dict[str, str]


class Interrupted(Exception):  # noqa: N818 - nothing went wrong: somebody wants us to stop
    """The caller asked the load to end before it was complete."""


def read_documents() -> list[Document]:
    """The documents of this interpreter, read by a process of its own: see stdlib_docs."""
    command = [sys.executable, "-I", str(Path(stdlib_docs.__file__))]
    done = subprocess.run(command, capture_output=True, check=True)  # noqa: S603
    documents: list[Document] = json.loads(done.stdout)
    return documents


class Client:
    """Misir over HTTP, patiently: waits as long as Retry-After says, and stops as soon as `is_over`."""

    def __init__(
        self, url: str, *, token: str | None = None, is_over: Callable[[], bool] = lambda: False
    ) -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=TIMEOUT_S)
        self._is_over = is_over

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def ask(self, method: str, path: str, **sent: Any) -> Any:
        """The answer's JSON. Raises MisirError with the server's sentence, Interrupted when it is over."""
        deadline = time.monotonic() + GIVE_UP_AFTER_S
        while True:
            self._go_on()
            answer = self._send(method, path, **sent)
            if answer.is_success:
                return answer.json()
            if answer.status_code not in (429, 503) or time.monotonic() > deadline:
                raise _refusal(answer, self.url)
            self._wait(_pause_s(answer))

    def _send(self, method: str, path: str, **sent: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **sent)
        except httpx.TransportError as error:
            self._go_on()
            sentence = f"No Misir answers at {self.url}: start one with `misir serve --local`."
            raise MisirError(503, "no-server", sentence) from error

    def _go_on(self) -> None:
        if self._is_over():
            raise Interrupted

    def _wait(self, pause_s: float) -> None:
        until = time.monotonic() + pause_s
        while time.monotonic() < until:
            self._go_on()
            time.sleep(0.05)


def _pause_s(answer: httpx.Response) -> float:
    """Retry-After in seconds; half a second where nothing was said."""
    said = answer.headers.get("retry-after", "")
    return float(said) if said.isdigit() else 0.5


def _refusal(answer: httpx.Response, url: str) -> MisirError:
    with suppress(ValueError, KeyError, TypeError):
        return MisirError(answer.status_code, "refused", answer.json()["detail"])
    return MisirError(answer.status_code, "refused", f"{url} answered {answer.status_code}: is it a Misir?")


def load_demo(client: Client, documents: list[Document]) -> Iterator[bool]:
    """Send what the library lacks, one by one; yields for each document whether it was new.

    Safe to repeat and to interrupt anywhere: the space is found by its name, a document by its address.
    """
    space_id = find_space(client) or client.ask("POST", "/spaces", json=_new_space())["id"]
    present = list_urls(client, space_id)
    for document in documents:
        is_missing = document["url"] not in present
        if is_missing:
            capture = {**document, "space_id": space_id, "content_source": "web"}
            client.ask("POST", "/artifacts/capture", json=capture)
        yield is_missing


def find_space(client: Client) -> int | None:
    spaces = client.ask("GET", "/spaces")["spaces"]
    return next((int(space["id"]) for space in spaces if space["name"] == SPACE), None)


def list_urls(client: Client, space_id: int) -> set[str]:
    """The addresses of everything in the space."""
    urls: set[str] = set()
    page = 1
    while True:
        # Oldest first: what is captured meanwhile lands on the last page, and moves no other.
        asked = {"page": page, "page_size": PAGE_SIZE, "sort": "oldest"}
        found = client.ask("GET", f"/spaces/{space_id}/artifacts", params=asked)
        urls |= {artifact["url"] for artifact in found["artifacts"]}
        if page * PAGE_SIZE >= found["count"]:
            return urls
        page += 1


def _new_space() -> dict[str, Any]:
    subspaces = [{"name": name, "markers": markers} for name, markers in TOPICS.items()]
    return {"name": SPACE, "intention": INTENTION, "subspaces": subspaces}


def load_with_progress(client: Client, limit: int | None = None) -> int:
    """How many of the demo's documents were new."""
    documents = read_documents()[:limit]
    loaded = load_demo(client, documents)
    is_seen = steps.is_terminal
    title = "Loading the demo library"
    return sum(track(loaded, title, len(documents), console=steps, transient=True, disable=not is_seen))


def demo_command(
    url: Annotated[str, typer.Option(help="The server to load it into.")] = "http://127.0.0.1:8000",
    token: Annotated[
        str | None, typer.Option(envvar="MISIR_TOKEN", help="Bearer token, where the server wants one.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, hidden=True)] = None,
    as_json: AsJson = False,
) -> None:
    """Load Python's own documentation into a running server; repeating it sends only what is missing."""
    with Client(url, token=token) as client:
        n_new = load_with_progress(client, limit)
    if as_json:
        print_json({"url": url, "new": n_new})
    else:
        out.print(f"The demo library is there: {n_new} documents were new.")
