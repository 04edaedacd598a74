"""Bring a database to the schema this version of Misir needs: forward SQL files, applied by yoyo.

Safe to repeat and safe to run twice at once: everything happens under one advisory lock. It must run as the
role that owns the schema; web workers never call it when DATABASE_URL is set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.json import Jsonb
from yoyo import read_migrations
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import DatabaseURI

from misir.errors import MisirError

MIGRATIONS = Path(__file__).parent.parent / "migrations"
MIGRATION_TABLE = "_yoyo_migration"
LOCK_KEY = 0x6D69736972  # "misir"
LOCK_WAIT = "120s"

MAX_INDEXED = 4_000
"""Numbers that a vector in an index may have; longer ones are searched exactly."""

VECTOR_COLUMNS = (
    ("space", "intention_embedding", "halfvec"),
    ("marker", "embedding", "halfvec"),
    ("embedding", "vector", "halfvec"),
    ("subspace", "centroid", "vector"),
    ("subspace", "anchor_centroid", "vector"),
)
"""As long as the installed model's vectors."""

LOOSE_COLUMNS = (
    ("subspace_snapshot", "centroid"),
    ("drift_event", "previous_mean"),
    ("drift_event", "new_mean"),
    ("embedding", "next_vector"),
    ("marker", "next_embedding"),
    ("space", "next_intention_embedding"),
)
"""Of any length: history keeps the model it was lived under, and what comes is of the model to come."""


class Model(Protocol):
    """What the schema needs to know of the embedding model."""

    @property
    def fingerprint(self) -> str: ...
    @property
    def dimension(self) -> int: ...


def shipped_migrations() -> list[str]:
    """Ids of all migrations in this version, in the order they apply."""
    return sorted(path.stem for path in MIGRATIONS.glob("*.sql"))


def migrate(
    url: str,
    *,
    app_login: str | None = None,
    service_login: str | None = None,
    model: Model | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Apply what is missing and return its ids; let the logins become misir_app and misir_service.

    `model` gives the vector columns their dimension the first time. Raises MisirError when the database
    cannot be reached, the role may not change the schema, or another migration holds the lock too long.
    """
    try:
        with _locked(url) as conn:
            conn.execute("create schema if not exists misir")
            applied = _apply(url, on_step)
            _grant_logins(conn, app_login, service_login)
            if model is not None:
                install_model(conn, model)
                _index_vectors(conn)
    except psycopg.errors.LockNotAvailable:
        raise MisirError(
            503, "migration-locked", "Another migration is running: try again when it is done."
        ) from None
    except psycopg.errors.InsufficientPrivilege as error:
        raise MisirError(
            500,
            "migration-refused",
            f"The migration's login may not do this ({error.diag.message_primary}): set DATABASE_MIGRATE_URL "
            "to a login that owns the schema and may create roles and extensions.",
        ) from None
    except psycopg.OperationalError as error:
        raise MisirError(
            503,
            "database-unavailable",
            f"The database cannot be reached to migrate it: {_first_line(error)}.",
        ) from None
    return applied


@contextmanager
def _locked(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("select set_config('lock_timeout', %s, false)", [LOCK_WAIT])
        conn.execute("select pg_advisory_lock(%s)", [LOCK_KEY])
        yield conn


def _apply(url: str, on_step: Callable[[str], None]) -> list[str]:
    backend = PostgresqlPsycopgBackend(_yoyo_uri(url), MIGRATION_TABLE)
    try:
        backend.init_database()
        pending = backend.to_apply(read_migrations(str(MIGRATIONS)))
        for migration in pending:
            on_step(migration.id)
            backend.apply_one(migration)
        return [migration.id for migration in pending]
    finally:
        backend.connection.close()


def _yoyo_uri(url: str) -> Any:
    """The same connection for yoyo, whose bookkeeping tables then live in our schema."""
    parts = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
    take = parts.pop
    database, user, password = take("dbname", ""), take("user", None), take("password", None)
    return DatabaseURI(
        scheme="postgresql+psycopg",
        username=user,
        password=password,
        hostname=None,
        port=None,
        database=database,
        args={**parts, "schema": "misir,public", "options": "-c lock_timeout=10s"},
    )


def _grant_logins(conn: psycopg.Connection[Any], app_login: str | None, service_login: str | None) -> None:
    conn.execute(f"grant select on misir.{MIGRATION_TABLE} to misir_app, misir_service")
    for role, login in (("misir_app", app_login), ("misir_service", service_login)):
        if login is not None and not _may_become(conn, login, role):
            conn.execute(sql.SQL("grant {} to {}").format(sql.Identifier(role), sql.Identifier(login)))


def _may_become(conn: psycopg.Connection[Any], login: str, role: str) -> bool:
    row = conn.execute("select pg_has_role(%s, %s, 'member')", [login, role]).fetchone()
    return bool(row and row[0])


def install_model(conn: psycopg.Connection[Any], model: Model) -> None:
    """Bind the database to one embedding model, once; a second call changes nothing."""
    with conn.transaction():
        row = conn.execute(
            "insert into misir.system_config (key, value) values ('embedding_model', %s) "
            "on conflict (key) do nothing returning key",
            [Jsonb({"fingerprint": model.fingerprint, "dimension": model.dimension})],
        ).fetchone()
        if row is None:
            return
        for table, column, kind in VECTOR_COLUMNS:
            conn.execute(
                sql.SQL("alter table misir.{} alter column {} type {}").format(
                    sql.Identifier(table), sql.Identifier(column), sql.SQL(f"{kind}({model.dimension})")
                )
            )


def _index_vectors(conn: psycopg.Connection[Any]) -> None:
    """The index that search uses for large libraries: it needs the vectors' length, so it comes last."""
    row = conn.execute(
        "select atttypmod from pg_attribute "
        "where attrelid = 'misir.embedding'::regclass and attname = 'vector'"
    ).fetchone()
    if row is not None and 0 < row[0] <= MAX_INDEXED:
        conn.execute(
            "create index if not exists embedding_nearest on misir.embedding "
            "using hnsw (vector halfvec_cosine_ops)"
        )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
