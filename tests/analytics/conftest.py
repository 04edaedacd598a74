"""Libraries written straight into the database, whose every figure can be computed by hand, and the views on them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest

from misir.embed.embedder import Embedder
from misir.embed.models import MINILM
from misir.plumbing.db import Tx
from misir.resources import Resources, build_resources
from misir.settings import Settings

ME = Settings(_env_file=None).mock_user_id
OTHER = uuid.UUID("11111111-2222-4333-8444-555555555555")
NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)  # a Monday
MODEL = MINILM.fingerprint


def vector(*shares: float) -> str:
    whole = np.zeros(384)
    whole[: len(shares)] = shares
    return str((whole / np.linalg.norm(whole)).tolist())


@dataclass
class Writer:
    """Rows for one user, as the superuser who sees everything."""

    conn: psycopg.Connection[Any]
    user: uuid.UUID = ME

    def one(self, statement: str, **values: Any) -> int:
        row = self.conn.execute(statement.encode(), {"user": self.user, **values}).fetchone()
        assert row is not None
        return int(row[0])

    def space(self, name: str, intention: str | None = None, **more: Any) -> int:
        """`intention` is a vector."""
        return self.one(
            "insert into misir.space (user_id, name, intention, intention_embedding, intention_model, created_at)"
            " values (%(user)s, %(name)s, %(intention)s::text, %(intention)s::text::halfvec, %(model)s, '2020-01-01') returning id",
            name=name,
            intention=intention,
            model=MODEL,
            **more,
        )

    def topic(self, space: int, name: str, way: str, count: int = 0, confidence: float = 0.0) -> int:
        return self.one(
            "insert into misir.subspace (user_id, space_id, name, model, centroid, artifact_count, confidence, weight_sum, created_at)"
            " values (%(user)s, %(space)s, %(name)s, %(model)s, %(way)s, %(count)s, %(confidence)s, 10, '2020-01-01') returning id",
            space=space,
            name=name,
            model=MODEL,
            way=way,
            count=count,
            confidence=confidence,
        )

    def page(self, space: int, topic: int | None, *visits: tuple[float, str, int | None], **more: Any) -> int:
        """Read `visits` = (days before NOW, level, dwell ms); the last one is how it stands now."""
        values = {
            "similarity": 0.5,
            "fit": 0.6,
            "words": 400,
            "domain": "a.example",
            "source": "web",
            "rate": "high",
        }
        values |= {"title": "T", "taught": 1.0, **more}
        hours, level, _ = visits[-1]
        number = self.one("select nextval('misir.artifact_id_seq')")
        page = self.one(
            "insert into misir.artifact (id, user_id, space_id, subspace_id, url, normalized_url, url_hash, content_hash, title, domain,"
            " word_count, content_source, engagement_level, decay_rate, similarity, fit, captured_at, taught_weight)"
            " overriding system value values (%(id)s, %(user)s, %(space)s, %(topic)s, %(url)s, %(url)s, %(hash)s, %(hash)s, %(title)s,"
            " %(domain)s, %(words)s, %(source)s, %(level)s, %(rate)s, %(similarity)s, %(fit)s, %(at)s, %(taught)s) returning id",
            id=number,
            space=space,
            topic=topic,
            url=f"https://a.example/{number}",
            hash=number.to_bytes(8, "big"),
            level=level,
            at=NOW - timedelta(days=hours),
            **values,
        )
        if len(visits) > 1:
            first = NOW - timedelta(days=max(visit[0] for visit in visits))
            self.conn.execute("update misir.artifact set first_read_at = %s where id = %s", [first, page])
        for order, visit in enumerate(visits):
            self.signal(
                page,
                *visit,
                order=order,
                fits=(values["similarity"], values["fit"]),
                session=more.get("session"),
            )
        return page

    def signal(
        self, page: int, days: float, level: str, dwell: int | None, *, order: int = 0,
        fits: tuple[float | None, float | None] = (0.5, 0.6), session: int | None = None, active: int | None = None,
    ) -> int:  # fmt: skip
        return self.one(
            "insert into misir.signal (user_id, space_id, artifact_id, subspace_id, session_id, seq, event_hash, payload_hash,"
            " engagement_level, base_weight, config_version, occurred_at, similarity, fit, dwell_time_ms, active_time_ms)"
            " select user_id, space_id, id, subspace_id, %(session)s, (select count(*) + 1 from misir.signal where space_id = a.space_id),"
            " %(hash)s, %(hash)s, %(level)s, 1, 1, %(at)s, %(similarity)s, %(fit)s, %(dwell)s, %(active)s"
            " from misir.artifact a where id = %(page)s returning id",
            page=page,
            hash=f"{page} {order} {days}".encode(),
            level=level,
            at=NOW - timedelta(days=days),
            similarity=fits[0],
            fit=fits[1],
            dwell=dwell,
            active=active,
            session=session,
        )  # fmt: skip

    def snapshot(
        self, topic: int, days: float, count: int, confidence: float, way: str = vector(1), **more: Any
    ) -> None:
        self.conn.execute(
            b"insert into misir.subspace_snapshot (subspace_id, day, user_id, model, centroid, artifact_count, signal_count, confidence, map_x, map_y)"
            b" select id, %(day)s, user_id, %(model)s, %(way)s, %(count)s, %(count)s, %(confidence)s, %(x)s, %(y)s from misir.subspace where id = %(topic)s",
            {"topic": topic, "day": (NOW - timedelta(days=days)).date(), "way": way, "count": count, "confidence": confidence,
             "model": more.get("model", MODEL), "x": more.get("x"), "y": more.get("y")},
        )  # fmt: skip

    def embed(self, page: int, way: str) -> None:
        self.conn.execute(
            b"insert into misir.embedding (user_id, artifact_id, model, content_hash, vector, fraction)"
            b" select user_id, id, %s, content_hash, %s, 1 from misir.artifact where id = %s",
            [MODEL, way, page],
        )

    def topics(self, space: int, n: int) -> None:
        """So many of them, all alike."""
        self.conn.execute(
            b"insert into misir.subspace (user_id, space_id, name, model, centroid, artifact_count)"
            b" select %s, %s, 'T' || n, %s, %s, 3 from generate_series(1, %s) n",
            [self.user, space, MODEL, vector(1), n],
        )


@dataclass
class Stage:
    """A database of this module's own, and one set of resources that stays open on a loop of its own."""

    writer: Writer
    res: Resources
    loop: asyncio.AbstractEventLoop

    def see(self, view: Any, *about: Any, **more: Any) -> Any:
        """The answer of a view, to the local user."""
        return self.loop.run_until_complete(view(self.res, ME, *about, **more))

    def counted(self, view: Any, *about: Any, **more: Any) -> tuple[Any, int]:
        """The answer, and how many statements it took."""
        answer, asked = self.asked(view, *about, **more)
        return answer, len(asked)

    def asked(self, view: Any, *about: Any, **more: Any) -> tuple[Any, list[bytes]]:
        """The answer, and the statements it took."""
        asked: list[bytes] = []
        real = Tx.ask

        async def ask(tx: Tx, statement: bytes, *values: Any, **named: Any) -> Any:
            asked.append(statement)
            return await real(tx, statement, *values, **named)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Tx, "ask", ask)
            return self.see(view, *about, **more), asked


@pytest.fixture(scope="module")
def stage(server_url: Callable[..., str], embedder: Embedder) -> Iterator[Stage]:
    name = f"analytics_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server_url("postgres"), autocommit=True) as conn:
        conn.execute(f"create database {name} template misir_template strategy file_copy".encode())
    settings = Settings(
        _env_file=None,
        MOCK_AUTH=True,
        DATABASE_URL=server_url(name, "misir_login"),
        DATABASE_SERVICE_URL=server_url(name, "misir_worker"),
    )
    loop = asyncio.new_event_loop()
    res = build_resources(settings)
    loop.run_until_complete(res.start())
    with psycopg.connect(server_url(name), autocommit=True) as conn:
        yield Stage(Writer(conn), res, loop)
    loop.run_until_complete(res.close())
    loop.close()
    with psycopg.connect(server_url("postgres"), autocommit=True) as conn:
        conn.execute(f"drop database {name} with (force)".encode())
