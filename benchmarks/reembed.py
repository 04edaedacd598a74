"""How long everybody waits while a library is moved to another model: the swap alone, with all vectors prepared.

    python benchmarks/reembed.py --pages 50000

A throw-away server, one user, one space with 20 topics, one signal a page, 384 numbers a vector before and 768 after.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from misir.embed.embedder import build_embedder
from misir.embed.models import MINILM
from misir.plumbing.embedded_postgres import EmbeddedPostgres
from misir.plumbing.migrate import migrate
from misir.reembed import move
from misir.reembed.replay import Folded, fold_space, list_spaces
from misir.reembed.swap import swap
from misir.settings import Settings

N_TOPICS = 20
FILL = """
insert into misir.space (user_id, name, next_seq) values (gen_random_uuid(), 'Large', {n} + 1);
insert into misir.subspace (user_id, space_id, name) select user_id, id, 'T' || g
  from misir.space, generate_series(1, {topics}) g;
insert into misir.artifact (user_id, space_id, subspace_id, url, normalized_url, url_hash, title, content, content_hash,
                            taught_weight, learned_seq)
  select s.user_id, s.id, 1 + g % {topics}, 'u' || g, 'u' || g, sha256(('u' || g)::bytea), 'page ' || g,
         repeat('some words of a page ', 50), sha256(g::text::bytea), 1, g
  from misir.space s, generate_series(1, {n}) g;
insert into misir.embedding (user_id, artifact_id, model, content_hash, vector, fraction, next_vector, next_fraction)
  select a.user_id, a.id, '{model}', a.content_hash, v.old, 1, v.new, 1
  from misir.artifact a cross join lateral (
    select array_agg(random()) filter (where i <= 384)::halfvec as old,
           array_agg(random() - 0.5)::halfvec as new
    from generate_series(1 + 0 * a.id, 768) i) v;
insert into misir.signal (user_id, space_id, artifact_id, subspace_id, embedding_id, seq, event_hash, payload_hash,
                          engagement_level, base_weight, taught_weight, updates_centroid, config_version, occurred_at)
  select a.user_id, a.space_id, a.id, a.subspace_id, e.id, a.learned_seq, 'x', 'x', 'engaged', 1, 1, true, 1, now()
  from misir.artifact a join misir.embedding e on e.artifact_id = a.id;
"""


async def measure(postgres: EmbeddedPostgres, url: str) -> dict[str, float]:
    settings = Settings(
        _env_file=None,
        DATABASE_URL=postgres.url("misir", "app"),
        DATABASE_SERVICE_URL=postgres.url("misir", "worker"),
    )
    embedder = build_embedder(settings)
    embedder.spec = replace(MINILM, id="a/model", dimension=768)
    async with move.alone(url) as owner:
        standing = await move.read_standing(owner)
        async with move.opened(settings, embedder, standing.model, with_model=False) as res:
            folded: Folded = {}
            started = time.perf_counter()
            async with res.database.as_service(patience_s=None) as tx:
                for space in await list_spaces(tx):
                    folded[space.id] = (space, await fold_space(tx, res, space))
            replayed = time.perf_counter()
            await swap(owner, res, folded, MINILM.fingerprint, datetime.now(UTC))
            return {"replay": replayed - started, "swap": time.perf_counter() - replayed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=50_000)
    n = parser.parse_args().pages
    with tempfile.TemporaryDirectory(prefix="misir-reembed-") as root:
        postgres = EmbeddedPostgres(Path(root), throwaway=True)
        postgres.start()
        try:
            with psycopg.connect(postgres.url("postgres"), autocommit=True) as conn:
                conn.execute("create database misir")
                for login in ("app", "worker"):
                    conn.execute(f"create role {login} login noinherit".encode())
            url = postgres.url("misir")
            migrate(url, app_login="app", service_login="worker", model=MINILM)
            with psycopg.connect(url, autocommit=True) as conn:
                # The swap drops it, and filling it row by row takes long.
                conn.execute("drop index misir.embedding_nearest")
                conn.execute(FILL.format(n=n, topics=N_TOPICS, model=MINILM.fingerprint).encode())
                conn.execute("vacuum analyze")
            found = asyncio.run(measure(postgres, url))
        finally:
            postgres.stop()
    print(
        f"{n:,} pages: replay {found['replay']:.1f} s (nobody waits), swap {found['swap']:.2f} s (everybody does)"
    )


if __name__ == "__main__":
    main()
