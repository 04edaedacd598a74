"""What a library has, and what it runs on."""

from __future__ import annotations

import platform

from misir.analytics.diagnostics import diagnose

from .conftest import OTHER, Stage, Writer, vector


def test_counts_are_ones_own(stage: Stage) -> None:
    write = stage.writer
    space = write.space("Mine")
    topic = write.topic(space, "T", vector(1))
    pages = [write.page(space, topic, (2, "latent", None), (1, "engaged", None)) for _ in range(3)]
    write.embed(pages[0], vector(1))
    write.conn.execute("update misir.artifact set deleted_at = now() where id = %s", [pages[1]])
    foreign = Writer(write.conn, OTHER)
    foreign.page(foreign.space("Theirs"), None, (1, "latent", None))
    found = stage.see(diagnose)
    assert found.counts.model_dump() == {
        "spaces": 1,
        "subspaces": 1,
        "artifacts": 2,
        "trashed_artifacts": 1,
        "embeddings": 1,
        "signals": 6,
        "corrections": 0,
        "failing_jobs": 0,
    }
    assert found.sizes.vector_bytes == 768
    assert found.sizes.database_bytes > 1_000_000
    assert (found.model.fingerprint, found.model.dimension) == (stage.res.embedder.fingerprint, 384)
    assert found.versions.python == platform.python_version()
    assert found.versions.postgresql[0].isdigit()
    assert found.versions.pgvector
