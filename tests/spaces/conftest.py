"""A library whose meanings are known: `sea`, `wood`, and words between them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest


@dataclass
class Library:
    """One space, and what tests do in it."""

    api: httpx.Client
    space: int

    def declare(self, name: str, *markers: str, space: int | None = None, **more: Any) -> dict[str, Any]:
        body = {"name": name, "markers": list(markers), **more}
        answer = self.api.post(f"/api/v1/spaces/{space or self.space}/subspaces", json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def another_space(self) -> int:
        return int(self.api.post("/api/v1/spaces", json={"name": "Another"}).json()["id"])

    def read(self, topic: int, title: str, **more: Any) -> dict[str, Any]:
        """Capture a page into this topic."""
        page = {"space_id": self.space, "subspace_id": topic, "title": title, **more}
        page.setdefault("url", f"https://a.example/{title.replace(' ', '-')}")
        answer = self.api.post("/api/v1/capture", json=page)
        assert answer.status_code in {200, 201}, answer.text
        return dict(answer.json())

    def centroid(self, topic: int) -> list[float] | None:
        answer = self.api.get(f"/api/v1/subspaces/{topic}", params={"include": "centroid"}).json()
        centroid: list[float] | None = answer["centroid"]
        return centroid

    def at_once(self, *requests: tuple[str, str, dict[str, Any]]) -> list[httpx.Response]:
        """Method, path and body of requests that start together, each on a connection of its own."""

        def send(request: tuple[str, str, dict[str, Any]]) -> httpx.Response:
            method, path, body = request
            with httpx.Client(base_url=self.api.base_url, timeout=30, trust_env=False) as client:
                return client.request(method, f"/api/v1{path}", json=body)

        with ThreadPoolExecutor(len(requests)) as pool:
            return list(pool.map(send, requests))


@pytest.fixture
def library(run_app: Callable[..., httpx.Client], fakes: Any) -> Library:
    meanings = {
        "sea": fakes.direction(1),
        "wood": fakes.direction(0, 1),
        "shore": fakes.direction(1, 1),
        "sky": fakes.direction(0, 0, 1),
    }
    api = run_app(embedder=fakes.embedder_of(**meanings))
    return Library(api, api.post("/api/v1/spaces", json={"name": "Nature"}).json()["id"])
