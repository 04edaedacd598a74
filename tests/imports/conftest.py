"""A library with a space to import into, and the worker by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from misir.embed.embedder import Embedder
from misir.jobs.kinds import IMPORTING
from misir.jobs.worker import work_once
from misir.resources import Resources
from misir.settings import Settings
from misir.spaces.replay import check_space, list_space_ids

ME = Settings(_env_file=None).mock_user_id


@dataclass
class Shelf:
    """The API as the local user, one space, and the worker that does imports."""

    api: httpx.Client
    embedder: Embedder
    in_process: Callable[..., Any]
    space: int = 0

    def ask(self, method: str, path: str, *, expect: int = 200, **sent: Any) -> Any:
        answer = self.api.request(method, f"/api/v1{path}", **sent)
        assert answer.status_code == expect, (method, path, answer.status_code, answer.text)
        return answer.json()

    def send(
        self, data: bytes, name: str = "file", *, expect: int = 202, key: str = "", **fields: Any
    ) -> Any:
        fields = {"space_id": self.space, **fields}
        headers = {"Idempotency-Key": key} if key else {}
        form = {name: str(value) for name, value in fields.items() if value is not None}
        return self.ask(
            "POST", "/imports", expect=expect, data=form, files={"file": (name, data)}, headers=headers
        )

    def work(self, **settings: Any) -> int:
        """Imports until nothing is left; none of the jobs may have failed."""

        async def do(res: Resources) -> tuple[int, list[Any]]:
            n_done = 0
            while await work_once(res, datetime.now(UTC), IMPORTING):
                n_done += 1
            async with res.database.as_user(ME) as tx:
                rows = await tx.ask(b"select last_error from misir.job where last_error is not null")
                return n_done, await rows.fetchall()

        n_done, failed = self.in_process(do, embedder=self.embedder, **settings)
        assert not failed
        return int(n_done)

    def run(self, import_id: int, **asked: Any) -> Any:
        return self.ask("GET", f"/imports/{import_id}", params=asked)

    def artifacts(self, space: int | None = None) -> Any:
        return self.ask("GET", f"/spaces/{space or self.space}/artifacts", params={"page_size": 100})

    def differences(self) -> list[Any]:
        """What is stored and is not what the log says, over all spaces."""

        async def check(res: Resources) -> list[Any]:
            spaces = await list_space_ids(res, ME)
            return [one for space in spaces for one in (await check_space(res, ME, space)).differences]

        return list(self.in_process(check, embedder=self.embedder))


@pytest.fixture
def shelf(run_app: Callable[..., httpx.Client], in_process: Callable[..., Any], fakes: Any) -> Shelf:
    embedder = fakes.embedder_of(sea=fakes.direction(1), wood=fakes.direction(0, 1))
    made = Shelf(run_app(embedder=embedder), embedder, in_process)
    topics = [{"name": "Sea", "markers": ["sea"]}, {"name": "Wood", "markers": ["wood"]}]
    made.space = made.ask("POST", "/spaces", expect=201, json={"name": "Read", "subspaces": topics})["id"]
    return made
