"""A small library whose meanings a test chooses, and the worker and the replay by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from misir.embed.embedder import Embedder
from misir.jobs.worker import drain
from misir.resources import Resources
from misir.settings import Settings
from misir.spaces.replay import check_space, list_space_ids

ME = Settings(_env_file=None).mock_user_id


@dataclass
class Library:
    """The API as the local user, and what goes on behind it."""

    api: httpx.Client
    embedder: Embedder
    in_process: Callable[..., Any]

    def ask(self, method: str, path: str, *, expect: int | tuple[int, ...] = (200, 201), **sent: Any) -> Any:
        answer = self.api.request(method, f"/api/v1{path}", **sent)
        expected = expect if isinstance(expect, tuple) else (expect,)
        assert answer.status_code in expected, (method, path, answer.status_code, answer.text)
        return answer.json()

    def declare(self, name: str, *topics: str, **more: Any) -> int:
        subspaces = [{"name": topic, "markers": [topic]} for topic in topics]
        return int(self.ask("POST", "/spaces", json={"name": name, "subspaces": subspaces, **more})["id"])

    def capture(self, space: int, url: str, title: str, **more: Any) -> dict[str, Any]:
        page = {"space_id": space, "url": f"https://x.example/{url}", "title": title, **more}
        return dict(self.ask("POST", "/capture", json=page))

    def topics(self, space: int) -> dict[str, dict[str, Any]]:
        return {topic["name"]: topic for topic in self.ask("GET", f"/spaces/{space}/subspaces")}

    def place_of(self, artifact: int) -> int | None:
        found: int | None = self.ask("GET", f"/artifacts/{artifact}")["subspace_id"]
        return found

    def events(self, space: int) -> list[dict[str, Any]]:
        return list(self.ask("GET", f"/spaces/{space}/events", params={"limit": 100})["events"])

    def corrections(self, space: int) -> list[dict[str, Any]]:
        return list(self.ask("GET", f"/spaces/{space}/corrections", params={"limit": 100})["corrections"])

    def undo(self, correction: int, **more: Any) -> Any:
        return self.ask("POST", f"/corrections/{correction}/undo", **more)

    def work(self, now: datetime | None = None, *, may_fail: bool = False) -> int:
        """Everything the worker would do by then; none of it may have failed."""

        async def do(res: Resources) -> tuple[int, list[Any]]:
            n_done = await drain(res, now or datetime.now(UTC))
            async with res.database.as_user(ME) as tx:
                rows = await tx.ask(b"select last_error from misir.job where last_error is not null")
                return n_done, await rows.fetchall()

        n_done, failed = self.in_process(do, embedder=self.embedder)
        assert may_fail or not failed
        return int(n_done)

    def differences(self) -> list[Any]:
        """What is stored and is not what the log says, over all spaces."""

        async def check(res: Resources) -> list[Any]:
            spaces = await list_space_ids(res, ME)
            return [one for space in spaces for one in (await check_space(res, ME, space)).differences]

        return list(self.in_process(check, embedder=self.embedder))


@pytest.fixture
def library_of(
    run_app: Callable[..., httpx.Client], in_process: Callable[..., Any], fakes: Any
) -> Callable[..., Library]:
    """`library_of(sea=(1,), wood=(0, 1))`: words and the directions they point in."""

    def make(**meanings: tuple[float, ...]) -> Library:
        embedder = fakes.embedder_of(**{word: fakes.direction(*way) for word, way in meanings.items()})
        return Library(run_app(embedder=embedder), embedder, in_process)

    return make


@pytest.fixture(scope="session")
def library_class() -> type[Library]:
    return Library
