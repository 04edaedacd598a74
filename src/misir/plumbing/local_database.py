"""What an embedded PostgreSQL needs before Misir can use it: a database, two logins, the schema."""

from __future__ import annotations

import psycopg
from psycopg import sql

from misir.embed.models import resolve_model
from misir.plumbing.data_dir import database_unavailable
from misir.plumbing.embedded_postgres import EmbeddedPostgres
from misir.plumbing.migrate import migrate
from misir.settings import load_settings

DATABASE = "misir"
APP_LOGIN = "misir_login"
SERVICE_LOGIN = "misir_worker"


def prepare(postgres: EmbeddedPostgres) -> dict[str, str]:
    """Database, logins, migrations, in that order and as often as you like; the three URLs they make."""
    migrate_url = postgres.url(DATABASE)
    try:
        _create_what_is_missing(postgres.url("postgres"))
    except psycopg.Error as error:
        raise database_unavailable(
            f"The embedded database could not be prepared ({error}): see {postgres.log}."
        ) from error
    model = resolve_model(load_settings())
    migrate(migrate_url, app_login=APP_LOGIN, service_login=SERVICE_LOGIN, model=model)
    return {
        "database_url": postgres.url(DATABASE, APP_LOGIN),
        "service_url": postgres.url(DATABASE, SERVICE_LOGIN),
        "migrate_url": migrate_url,
    }


def _create_what_is_missing(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for login in (APP_LOGIN, SERVICE_LOGIN):
            if not _exists(connection, "select 1 from pg_roles where rolname = %s", login):
                connection.execute(sql.SQL("create role {} login noinherit").format(sql.Identifier(login)))
        if not _exists(connection, "select 1 from pg_database where datname = %s", DATABASE):
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(DATABASE)))


def _exists(connection: psycopg.Connection, query: str, name: str) -> bool:
    return connection.execute(query.encode(), (name,)).fetchone() is not None
