"""Lines of the log: whole, and without what exceptions quote."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import psycopg
import pytest

from misir.plumbing.log import configure_logging

SECRET = "row-of-somebody"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    names = ["", "uvicorn", "uvicorn.error", "uvicorn.access", "gunicorn.error", "gunicorn.access"]
    loggers = [logging.getLogger(name) for name in names]
    kept = [(one, list(one.handlers), one.level, one.propagate) for one in loggers]
    yield
    for one, handlers, level, propagate in kept:
        one.handlers, one.propagate = handlers, propagate
        one.setLevel(level)


def fail() -> None:
    try:
        raise psycopg.errors.UniqueViolation(f"DETAIL: Key (email)=({SECRET})")
    except psycopg.Error as error:
        raise RuntimeError(SECRET) from error


@pytest.mark.parametrize("form", ["json", "text"])
def test_an_exception_is_types_states_and_places(form: str) -> None:
    out = io.StringIO()
    configure_logging("INFO", form, out)
    log = logging.getLogger("misir.x")
    try:
        fail()
    except RuntimeError as error:
        log.exception("it failed: %s", error)  # noqa: TRY401 - what must not get out
    text = out.getvalue()
    assert SECRET not in text
    assert "UniqueViolation" in text
    assert "23505" in text
    assert "in fail" in text or " fail" in text
    if form == "json":
        assert json.loads(text)["exception"][0]["type"] == "builtins.RuntimeError"


def test_a_path_cannot_forge_a_line() -> None:
    for form in ("json", "text"):
        out = io.StringIO()
        configure_logging("INFO", form, out)
        logging.getLogger("misir.x").info("a\nERROR b\x1b[31m \ud800")
        assert out.getvalue().count("\n") == 1
        assert "\x1b" not in out.getvalue()


def test_a_lost_task_does_not_quote_its_exception() -> None:
    out = io.StringIO()
    configure_logging("INFO", "json", out)
    logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: %s", SECRET)
    assert SECRET not in out.getvalue()


def test_the_servers_access_log_is_off() -> None:
    logging.getLogger("uvicorn.access").addHandler(logging.StreamHandler())
    configure_logging("INFO", "json", io.StringIO())
    assert not logging.getLogger("uvicorn.access").hasHandlers()
