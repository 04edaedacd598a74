"""Every SQL statement is planned against a real server, and none reads a tenant's table without its user."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg._queries import PostgresQuery
from psycopg.adapt import Transformer

from misir.plumbing.sqlfile import Statements

SOURCE = Path(str(files("misir")))
FILES = sorted(path for path in SOURCE.rglob("*.sql") if "migrations" not in path.parts)
WORKERS = {
    "restore.sql",
    "reflect.sql",
    "jobs.sql",
    "retention.sql",
    "deliver.sql",
    "catch_up.sql",
    "reembed.sql",
    "turns.sql",
}
"""Asked by the worker or a command of the operator, as the service role."""

STATEMENTS = [
    pytest.param(body, path.name in WORKERS, id=f"{path.parent.name}/{name}")
    for path in FILES
    for name, body in Statements(path.name, path.read_text("utf-8")).by_name.items()
]
SYSTEM = {b"system_config", b"_yoyo_migration"}


def test_there_are_statements() -> None:
    assert len(STATEMENTS) > 30


@pytest.mark.parametrize(("body", "is_workers"), STATEMENTS)
def test_the_statement_is_planned_as_who_asks_it(server_url: Any, body: bytes, is_workers: bool) -> None:
    login, role = ("misir_worker", "misir_service") if is_workers else ("misir_login", "misir_app")
    with psycopg.connect(server_url("misir_template", login)) as conn:
        conn.execute("select set_config('role', %s, true)", [role])
        query = PostgresQuery(Transformer(conn))
        names = dict.fromkeys(re.findall(rb"%\((\w+)\)[sb]", body))
        query.convert(body, {name.decode(): None for name in names})
        conn.execute(b"prepare planned as " + query.query)
        if query.query.lstrip().lower().startswith((b"select", b"insert", b"update", b"delete", b"with")):
            nulls = b", ".join([b"null"] * len(names))
            conn.execute(b"explain execute planned" + (b"(" + nulls + b")" if names else b""))


# Administrators, `misir check` and `misir reembed` ask about everybody, or about the catalogue; a worker takes
# anybody's job.
OF_EVERYBODY = (
    *("admin/", "check/", "reembed/", "jobs/lease_job", "jobs/measure_queue"),
    *("jobs/forget_", "jobs/purge_", "jobs/leave_retention"),
)
OF_ONE_USER = [param for param in STATEMENTS if not str(param.id).startswith(OF_EVERYBODY)]


@pytest.mark.parametrize(("body", "is_workers"), OF_ONE_USER)
def test_the_statement_names_its_user(body: bytes, is_workers: bool) -> None:
    tables = (
        set(re.findall(rb"misir\.(\w+)", body))
        - SYSTEM
        - {
            b"keyword_hits",
            b"find_api_key",
            b"expect_model",
            b"engagement_level",
            b"marker_source",
            b"assigned_by",
            b"subspace_state",
        }
    )
    assert not tables or b"%(user_id)s" in body or b"nextval" in body


def test_every_statement_is_used() -> None:
    code = "\n".join(path.read_text("utf-8") for path in SOURCE.rglob("*.py"))
    used = set(re.findall(r"\.(\w+)\b", code))
    unused = [param.id for param in STATEMENTS if str(param.id).rpartition("/")[2] not in used]
    assert not unused


def test_a_lock_is_named_as_one() -> None:
    for path in FILES:
        for name, body in Statements(path.name, path.read_text("utf-8")).by_name.items():
            assert ("for no key update" in body.decode().lower()) == name.endswith("_for_update"), name


def test_python_holds_no_sql() -> None:
    """SQL lives in .sql files; what is left in Python is DDL that no file can hold: names are its parameters."""
    # readers.py asks the databases of browsers, which are files of somebody else.
    ddl = {"migrate.py", "local_database.py", "embedded_postgres.py", "db.py", "readers.py"}
    sql = re.compile(r"[\"'](select .* from |insert into |update .* set |delete from )", re.IGNORECASE)
    found = [
        path.name
        for path in SOURCE.rglob("*.py")
        if path.name not in ddl and sql.search(path.read_text("utf-8"))
    ]
    assert not found
