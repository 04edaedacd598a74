"""The schema: applied to nothing, applied twice, applied by two at once; and who may touch what in it."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from misir.embed.models import MINILM, NOMIC
from misir.errors import MisirError
from misir.plumbing import migrate as migrations
from misir.plumbing.migrate import LOOSE_COLUMNS, VECTOR_COLUMNS, migrate, shipped_migrations

ME, OTHER = uuid.uuid4(), uuid.uuid4()


@pytest.fixture
def empty(server_url: Callable[..., str]) -> Iterator[str]:
    name = f"empty_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server_url("postgres"), autocommit=True) as conn:
        conn.execute(f"create database {name}".encode())
    yield server_url(name)
    with psycopg.connect(server_url("postgres"), autocommit=True) as conn:
        conn.execute(f"drop database {name} with (force)".encode())


def columns(url: str) -> dict[tuple[str, str], str]:
    with psycopg.connect(url) as conn:
        rows = conn.execute(
            "select c.relname, a.attname, format_type(a.atttypid, a.atttypmod) from pg_attribute a "
            "join pg_class c on c.oid = a.attrelid where c.relnamespace = 'misir'::regnamespace and a.attnum > 0"
        ).fetchall()
    return {(table, column): kind for table, column, kind in rows}


def test_an_empty_database_gets_everything_once(empty: str) -> None:
    assert migrate(empty, model=MINILM) == shipped_migrations()
    assert migrate(empty, model=MINILM) == []


def test_two_at_once_are_safe(empty: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        applied = list(pool.map(lambda _: migrate(empty, model=MINILM), range(2)))
    assert sorted(applied, key=len) == [[], shipped_migrations()]


def test_the_model_gives_the_vectors_their_dimension_once(empty: str) -> None:
    migrate(empty)
    assert columns(empty)["embedding", "vector"] == "halfvec"
    migrate(empty, model=NOMIC)
    expected = {(table, column): f"{kind}(768)" for table, column, kind in VECTOR_COLUMNS}
    assert expected.items() <= columns(empty).items()
    migrate(empty, model=MINILM)
    assert expected.items() <= columns(empty).items()
    assert {columns(empty)[key] for key in LOOSE_COLUMNS} == {"vector", "halfvec"}


def test_every_vector_column_is_listed(empty: str) -> None:
    migrate(empty)
    found = {
        key
        for key, kind in columns(empty).items()
        if kind.startswith(("vector", "halfvec")) and "_part_" not in key[0] and "_nearest" not in key[0]
    }
    assert found == {(table, column) for table, column, _ in VECTOR_COLUMNS} | set(LOOSE_COLUMNS)


BEFORE_PARTS = "20261126000007_scale"


def test_a_library_from_before_keeps_everything_in_parts(
    empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in migrations.MIGRATIONS.glob("*.sql"):
        if path.stem < BEFORE_PARTS:
            shutil.copy(path, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", tmp_path)
        migrate(empty, model=MINILM)
    with psycopg.connect(empty, autocommit=True) as owner:
        fill_old_library(owner)
        before = [owner.execute(query.encode()).fetchall() for query in CONTENTS]
    assert BEFORE_PARTS in migrate(empty, model=MINILM)
    with psycopg.connect(empty, autocommit=True) as owner:
        assert [owner.execute(query.encode()).fetchall() for query in CONTENTS] == before
        counted = owner.execute("select user_id, embedding_count from misir.space order by id").fetchall()
        assert counted == [(ME, 2), (OTHER, 1)]
        last = owner.execute("select max(id) from misir.embedding").fetchone()
        assert owner.execute("select nextval('misir.embedding_id_seq')").fetchone() == (
            (last or (0,))[0] + 1,
        )
        owner.execute("delete from misir.artifact where user_id = %s", [ME])
        left = owner.execute(
            "select count(*) from misir.drift_event where trigger_signal_id is null"
        ).fetchone()
        assert left == (1,)
        assert owner.execute("select distinct user_id from misir.lesson").fetchall() == [(OTHER,)]
        assert owner.execute("select distinct user_id from misir.embedding").fetchall() == [(OTHER,)]


CONTENTS = (
    "select id, user_id, artifact_id, vector::text, created_at from misir.embedding order by id",
    "select id, user_id, artifact_id, embedding_id, seq, candidates, withheld, created_at from misir.signal order by id",
    "select * from misir.lesson order by signal_id",
    "select * from misir.placement order by artifact_id",
    "select id, trigger_signal_id from misir.drift_event",
)


def fill_old_library(owner: psycopg.Connection[Any]) -> None:
    """ME has two pages, OTHER one; each page a vector and a signal; ME's topic drifted by its last."""
    for user, n_pages in ((ME, 2), (OTHER, 1)):
        row = owner.execute(
            "insert into misir.space (user_id, name) values (%s, 'S') returning id", [user]
        ).fetchone()
        for number in range(n_pages):
            owner.execute(
                "with a as (insert into misir.artifact (user_id, space_id, url, normalized_url, url_hash, content_hash) "
                "values (%(user)s, %(space)s, 'u', 'u', %(key)s, %(key)s) returning id), "
                "e as (insert into misir.embedding (user_id, artifact_id, model, content_hash, vector, fraction) "
                "select %(user)s, a.id, 'm', %(key)s, array_fill(%(n)s::real, array[384])::vector::halfvec, 1 from a returning id) "
                "insert into misir.signal (user_id, space_id, artifact_id, embedding_id, seq, event_hash, payload_hash, "
                "engagement_level, base_weight, config_version, occurred_at, withheld) select %(user)s, %(space)s, a.id, "
                "e.id, %(n)s, %(key)s, %(key)s, 'engaged', 1, 1, now(), '{unassigned}' from a, e",
                {"user": user, "space": (row or (0,))[0], "key": bytes([number]), "n": number + 1},
            )
    owner.execute(
        "with t as (insert into misir.subspace (user_id, space_id, name) select user_id, id, 'T' from misir.space "
        "where user_id = %(me)s returning id), z as (select array_fill(1::real, array[384])::vector as z) "
        "insert into misir.drift_event (user_id, subspace_id, trigger_signal_id, magnitude, raw_drift, z, notable, model, "
        "previous_mean, new_mean, occurred_at) select %(me)s, t.id, (select max(id) from misir.signal where "
        "user_id = %(me)s), 1, 1, 1, true, 'm', z, z, now() from t, z",
        {"me": ME},
    )


def test_a_login_that_may_not_migrate_is_told_so(server_url: Callable[..., str], database: str) -> None:
    with psycopg.connect(server_url(database), autocommit=True) as conn:
        conn.execute("drop schema misir cascade")
    with pytest.raises(MisirError, match="DATABASE_MIGRATE_URL"):
        migrate(server_url(database, "misir_login"))


def test_an_unreachable_database_is_one_sentence() -> None:
    with pytest.raises(MisirError, match="cannot be reached") as refused:
        migrate("postgresql://nobody@127.0.0.1:1/none")
    assert "\n" not in refused.value.detail


def tenant_tables(owner: psycopg.Connection[Any]) -> list[str]:
    rows = owner.execute(
        "select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'user_id' "
        "where c.relnamespace = 'misir'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition order by 1"
    ).fetchall()
    return [row[0] for row in rows]


def test_parts_of_tables_are_closed(owner: psycopg.Connection[Any]) -> None:
    """Whoever reads a part reads past the whole's policies: nobody may, and forced row security shows nothing."""
    rows = owner.execute(
        "select c.relname, c.relrowsecurity and c.relforcerowsecurity, c.relacl, "
        "exists (select 1 from pg_policy p where p.polrelid = c.oid) from pg_class c "
        "where c.relnamespace = 'misir'::regnamespace and c.relkind = 'r' and c.relispartition order by 1"
    ).fetchall()
    wholes = ("embedding", "signal")
    assert [row[0] for row in rows] == [f"{whole}_part_{number}" for whole in wholes for number in range(8)]
    assert {row[1:] for row in rows} == {(True, None, False)}


def test_row_security_is_forced_on_every_tenant_table(owner: psycopg.Connection[Any]) -> None:
    rows = owner.execute(
        "select relname from pg_class where relnamespace = 'misir'::regnamespace and relkind in ('r', 'p') "
        "and not relispartition and relrowsecurity and relforcerowsecurity order by 1"
    ).fetchall()
    assert [row[0] for row in rows] == tenant_tables(owner)
    assert len(rows) >= 14


def test_every_table_without_a_user_is_known(owner: psycopg.Connection[Any]) -> None:
    rows = owner.execute(
        "select relname from pg_class where relnamespace = 'misir'::regnamespace and relkind in ('r', 'p') "
        "and not relispartition"
    ).fetchall()
    assert {row[0] for row in rows} - set(tenant_tables(owner)) == {
        "system_config", "admin_audit", "_yoyo_migration", "_yoyo_log", "_yoyo_version", "yoyo_lock"
    }  # fmt: skip


def test_policies_are_one_sentence_per_verb(owner: psycopg.Connection[Any]) -> None:
    rows = owner.execute(
        "select tablename, cmd, coalesce(qual, with_check), qual is not null, with_check is not null "
        "from pg_policies where schemaname = 'misir' and 'misir_app' = any(roles)"
    ).fetchall()
    verbs: dict[str, set[str]] = {}
    for table, verb, condition, has_using, has_check in rows:
        verbs.setdefault(table, set()).add(verb)
        assert condition == "(user_id = ( SELECT auth.uid() AS uid))", table
        assert (has_using, has_check) == {"INSERT": (False, True), "UPDATE": (True, True)}.get(
            verb, (True, False)
        )
    assert verbs == {table: {"SELECT", "INSERT", "UPDATE", "DELETE"} for table in tenant_tables(owner)}


def test_references_between_tenant_tables_carry_the_user(owner: psycopg.Connection[Any]) -> None:
    tables = set(tenant_tables(owner))
    rows = owner.execute(
        "select k.conrelid::regclass::text, k.confrelid::regclass::text, "
        "array(select attname::text from pg_attribute where attrelid = k.conrelid and attnum = any(k.conkey)) "
        "from pg_constraint k where k.contype = 'f' and k.connamespace = 'misir'::regnamespace"
    ).fetchall()
    between = [row for row in rows if row[1].removeprefix("misir.") in tables]
    assert len(between) >= 19
    assert [row for row in between if "user_id" not in row[2]] == []


def test_nothing_of_a_tenant_is_unique_over_all(owner: psycopg.Connection[Any]) -> None:
    """Beside generated ids, a uniqueness names its user, or a parent that belongs to one."""
    parents = {"user_id", "space_id", "subspace_id", "artifact_id"}
    rows = owner.execute(
        "select i.indexrelid::regclass::text, array(select attname::text from pg_attribute "
        "where attrelid = i.indrelid and attnum = any(i.indkey)) from pg_index i join pg_class c on c.oid = i.indrelid "
        "where c.relnamespace = 'misir'::regnamespace and i.indisunique and c.relname = any(%s)",
        [tenant_tables(owner)],
    ).fetchall()
    assert [row for row in rows if row[1] != ["id"] and not parents & set(row[1])] == []


def test_definer_functions_are_the_known_ones_with_a_pinned_path(owner: psycopg.Connection[Any]) -> None:
    rows = owner.execute(
        "select p.proname, p.proowner::regrole::text, p.proconfig from pg_proc p "
        "where p.pronamespace = 'misir'::regnamespace and p.prosecdef order by 1"
    ).fetchall()
    assert rows == [
        (name, "misir_definer", ["search_path=pg_catalog, pg_temp"])
        for name in ("find_api_key", "keyword_hits")
    ]


def test_no_role_of_the_data_api_may_write(owner: psycopg.Connection[Any]) -> None:
    rows = owner.execute(
        "select grantee, table_name, privilege_type from information_schema.role_table_grants "
        "where table_schema = 'misir' and grantee in ('anon', 'authenticated', 'PUBLIC')"
    ).fetchall()
    assert rows == [("authenticated", "space", "SELECT")]


def test_the_log_cannot_be_rewritten(owner: psycopg.Connection[Any]) -> None:
    rows = owner.execute(
        "select distinct table_name, privilege_type from information_schema.role_table_grants "
        "where table_schema = 'misir' and grantee = 'misir_app' and table_name in ('signal', 'correction') order by 1, 2"
    ).fetchall()
    assert rows == [(table, verb) for table in ("correction", "signal") for verb in ("INSERT", "SELECT")]


def become(conn: psycopg.Connection[Any], user: uuid.UUID | None) -> None:
    claims = f'{{"sub": "{user}"}}' if user else ""
    conn.execute(
        "select set_config('role', 'misir_app', true), set_config('request.jwt.claims', %s, true)", [claims]
    )


@pytest.fixture
def two_users(app_url: str) -> str:
    """Both have a space; ME's has a topic and an artifact, too."""
    with psycopg.connect(app_url) as conn:
        for user in (ME, OTHER):
            become(conn, user)
            conn.execute("insert into misir.space (user_id, name) values (%s, 'S')", [user])
        become(conn, ME)
        conn.execute(
            "insert into misir.subspace (user_id, space_id, name) select user_id, id, 'T' from misir.space"
        )
        conn.execute(
            "insert into misir.artifact (user_id, space_id, url, normalized_url, url_hash, content_hash, title) "
            "select user_id, id, 'u', 'u', '\\x00', '\\x00', 'secret plan' from misir.space"
        )
    return app_url


@pytest.mark.parametrize("table", ["space", "subspace", "artifact"])
def test_a_user_sees_and_changes_only_what_is_theirs(two_users: str, table: str) -> None:
    with psycopg.connect(two_users) as conn:
        become(conn, OTHER)
        seen = conn.execute(
            f"select count(*) from misir.{table} where user_id = %s".encode(), [ME]
        ).fetchone()
        assert seen == (0,)
        assert (
            conn.execute(
                f"update misir.{table} set updated_at = now() where user_id = %s".encode(), [ME]
            ).rowcount
            == 0
        )
        assert conn.execute(f"delete from misir.{table} where user_id = %s".encode(), [ME]).rowcount == 0


def test_nobody_sees_nothing_and_the_bare_login_not_even_that(two_users: str) -> None:
    with psycopg.connect(two_users) as conn:
        become(conn, None)
        assert conn.execute("select count(*) from misir.space").fetchone() == (0,)
    with psycopg.connect(two_users) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute("select count(*) from misir.space")


def test_a_row_cannot_be_put_into_another_users_space(two_users: str) -> None:
    with psycopg.connect(two_users) as conn:
        become(conn, ME)
        mine = conn.execute("select id from misir.space").fetchone()
    assert mine is not None
    with psycopg.connect(two_users) as conn:
        become(conn, OTHER)
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            conn.execute(
                "insert into misir.subspace (user_id, space_id, name) values (%s, %s, 'x')", [OTHER, mine[0]]
            )
    with psycopg.connect(two_users) as conn:
        become(conn, OTHER)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("insert into misir.space (user_id, name) values (%s, 'x')", [ME])


def test_the_keyword_function_sees_only_the_callers_rows(two_users: str) -> None:
    for user, n_hits in ((ME, 1), (OTHER, 0), (None, 0)):
        with psycopg.connect(two_users) as conn:
            become(conn, user)
            hits = conn.execute("select * from misir.keyword_hits('secret plan', 10)").fetchall()
            assert len(hits) == n_hits
