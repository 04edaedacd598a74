"""The log: one line a record, JSON for machines or text for people, and nothing in it that was submitted.

A request's line has its route and path, never its query string, headers or body. An exception's line has
types and places: messages may quote a row, a parameter or a page (a database error's DETAIL does).
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

import orjson

Format = Literal["json", "text"]

QUIET: Final = ("httpx", "httpcore", "httpx2", "httpcore2")
"""They log whole addresses, questions and tokens included."""

TAKEN_OVER: Final = ("uvicorn", "uvicorn.error", "gunicorn.error")
MAX_PATH: Final = 200

requests = logging.getLogger("misir.request")


def configure_logging(level: str, wanted: Format | None = None, stream: TextIO | None = None) -> None:
    """All loggers of this process write to stderr in one form; the server's access log, which would repeat
    every request with its query string, is off. Called again, it replaces what it did before.
    """
    # What no line shows need not be looked up for every record.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    stream = stream or sys.stderr
    writer = logging.StreamHandler(stream)
    chosen = wanted or ("text" if stream.isatty() else "json")
    writer.setFormatter(JsonLines() if chosen == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [writer]
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in TAKEN_OVER:
        _hand_over(logging.getLogger(name), propagate=True)
    for name in ("uvicorn.access", "gunicorn.access"):
        _hand_over(logging.getLogger(name), propagate=False)


def _hand_over(logger: logging.Logger, *, propagate: bool) -> None:
    # A new list: gunicorn's worker shares one list between several loggers.
    logger.handlers = []
    logger.propagate = propagate


def log_request(fields: dict[str, Any]) -> None:
    """One line for one answered request. Made by hand: the look-up of the calling line costs more."""
    if requests.isEnabledFor(logging.INFO):
        record = requests.makeRecord(requests.name, logging.INFO, "", 0, "request", (), None)
        record.fields = fields
        requests.handle(record)


class JsonLines(logging.Formatter):
    """time, level, logger and message; a request's fields; an exception's types and places."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": message_of(record),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = describe_exception(record.exc_info[1])
        try:
            return orjson.dumps(line).decode()
        except orjson.JSONEncodeError:  # a lone surrogate, which only this one escapes
            return json.dumps(line, default=str)


class TextLines(logging.Formatter):
    """The same for a terminal. Control characters are escaped: a path cannot forge a line or a colour."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        fields = getattr(record, "fields", None)
        said = _request_text(fields) if fields else f"{record.name}: {message_of(record)}"
        lines = [f"{time} {record.levelname:<7} {_plain(said)}"]
        if record.exc_info and record.exc_info[1] is not None:
            for one in describe_exception(record.exc_info[1]):
                lines += [f"  {_plain(_named(one))}", *(f"    {place}" for place in one["frames"])]
        return "\n".join(lines)


def _request_text(fields: dict[str, Any]) -> str:
    return "{method} {path} {status} {ms} ms {bytes} B {request_id}".format_map(fields)


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def message_of(record: logging.LogRecord) -> str:
    """The message, with exceptions among its arguments as types. asyncio's goes on with a task's exception
    in full: only its first line is taken.
    """
    if isinstance(record.args, tuple):
        record.args = tuple(_named(_kind(a)) if isinstance(a, BaseException) else a for a in record.args)
    message = record.getMessage()
    return message.partition("\n")[0] if record.name == "asyncio" else message


def describe_exception(error: BaseException) -> list[dict[str, Any]]:
    """The exception and what caused it, outermost first: types, SQL states and places in the source."""
    found: list[dict[str, Any]] = []
    cause: BaseException | None = error
    while cause is not None and len(found) < 5:
        frames = traceback.extract_tb(cause.__traceback__)
        places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        found.append({**_kind(cause), "frames": places})
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return found


def _kind(error: BaseException) -> dict[str, Any]:
    state = getattr(error, "sqlstate", None)
    return {"type": f"{type(error).__module__}.{type(error).__qualname__}"} | (
        {"sqlstate": state} if state else {}
    )


def _named(kind: dict[str, Any]) -> str:
    return f"{kind['type']} ({kind['sqlstate']})" if "sqlstate" in kind else str(kind["type"])
