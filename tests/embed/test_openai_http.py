"""The HTTP backend against a real server on this machine."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from misir.embed.backends.openai_http import HttpBackend
from misir.embed.embedder import Embedder
from misir.embed.models import resolve_model
from misir.errors import MisirError
from misir.settings import Settings

if TYPE_CHECKING:
    from conftest import EmbeddingServer


def layer_normed(vector: np.ndarray, dimension: int) -> np.ndarray:
    centred = vector.astype(np.float64) - vector.mean(dtype=np.float64)
    return centred[:dimension] / np.linalg.norm(centred[:dimension])


@pytest.mark.parametrize("form", ["answer_base64", "answer_lists"])
@pytest.mark.parametrize("dimension", [768, 256])
def test_prefix_norm_and_truncation_are_ours(
    make_embedder: Callable[..., Embedder], embedding_server: EmbeddingServer, form: str, dimension: int
) -> None:
    server = embedding_server
    server.answer = getattr(server, form)
    embedder = make_embedder(f"{server.url}#nomic-embed-text:v1.5@{dimension}")
    (embedding,) = embedder.embed_texts(["green tea"], "query")
    assert server.bodies[-1] == {
        "model": "nomic-embed-text:v1.5",
        "input": ["search_query: green tea"],
        "encoding_format": "base64",
    }
    expected = layer_normed(server.vector("search_query: green tea"), dimension)
    np.testing.assert_allclose(embedding.vector, expected, atol=1.3e-4)
    assert embedder.fingerprint == f"http/nomic-ai/nomic-embed-text-v1.5@{dimension}#w8"


def test_batches_of_32_in_any_order_come_back_in_ours(
    make_embedder: Callable[..., Embedder], embedding_server: EmbeddingServer
) -> None:
    server = embedding_server
    embedder = make_embedder(f"{server.url}#nomic-embed-text")
    texts = [f"text {'x' * (i * 7 % 50)} {i}" for i in range(70)]
    embeddings = embedder.embed_texts(texts)
    sizes = [len(body["input"]) for body in server.bodies]
    assert sum(sizes) == 71  # one of them asks whether the server is the right one
    assert max(sizes) <= 32
    assert len(sizes) <= 6  # four requests at a time share what there is
    for text, embedding in zip(texts, embeddings, strict=True):
        expected = layer_normed(server.vector("search_document: " + text), 768)
        np.testing.assert_allclose(embedding.vector, expected, atol=1.3e-4)


def test_windows_go_by_characters(
    make_embedder: Callable[..., Embedder], embedding_server: EmbeddingServer
) -> None:
    server = embedding_server
    embedder = make_embedder(f"{server.url}#some-encoder@768")
    (embedding,) = embedder.embed_texts(["abcdef " * 4000], max_windows=2)
    size = 512 * 3
    assert [len(text) for body in server.bodies[1:] for text in body["input"]] == [size, size]
    assert embedding.fraction == pytest.approx(2 * size / 28000)


@pytest.mark.parametrize(("key", "header"), [("s3cret", "Bearer s3cret"), (None, None)])
def test_the_key_travels_as_bearer(
    make_embedder: Callable[..., Embedder],
    embedding_server: EmbeddingServer,
    key: str | None,
    header: str | None,
) -> None:
    make_embedder(f"{embedding_server.url}#nomic-embed-text", EMBEDDING_API_KEY=key).embed_texts(["tea"])
    assert {headers.get("Authorization") for headers in embedding_server.headers} == {header}


def test_a_proxy_from_the_environment_is_ignored(
    make_embedder: Callable[..., Embedder], embedding_server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert len(make_embedder(f"{embedding_server.url}#nomic-embed-text").embed_texts(["tea"])) == 1


def rows(*vectors: Any) -> tuple[int, bytes]:
    return 200, json.dumps({"data": [{"index": i, "embedding": v} for i, v in enumerate(vectors)]}).encode()


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (rows([0.1] * 512), "answered vectors of 512 numbers where the model has 768"),
        (rows([0.0] * 768), "a vector that is zero or not finite"),
        (rows([float("nan")] * 768), "a vector that is zero or not finite"),
        (rows([0.1] * 768, [0.1] * 768), "another number of vectors"),
        (rows("no base64!"), "no list of embeddings"),
        (rows(None), "no list of embeddings"),
        (rows([0.1, "x"]), "no list of embeddings"),
        ((200, b"[]"), "no list of embeddings"),
        ((200, b'{"data": [{"embedding": []}]}'), "no list of embeddings"),
        ((200, b"<html>"), "no JSON"),
        ((500, b"out of memory"), r"answered 500 \(out of memory\)"),
        ((401, b"who are you"), "answered 401"),
        ((302, b""), "answered 302"),
    ],
)
def test_a_bad_answer_is_one_sentence(
    make_embedder: Callable[..., Embedder],
    embedding_server: EmbeddingServer,
    answer: tuple[int, bytes],
    sentence: str,
) -> None:
    embedding_server.answer = lambda _body: answer
    embedder = make_embedder(f"{embedding_server.url}#nomic-embed-text")
    with pytest.raises(MisirError, match=sentence) as caught:
        embedder.embed_texts(["tea"])
    assert (caught.value.status, caught.value.slug) == (503, "model-unavailable")
    assert f"127.0.0.1:{embedding_server.server_port}" in caught.value.detail
    assert embedder.problem == caught.value.detail


def test_a_dead_port_is_one_sentence(make_embedder: Callable[..., Embedder]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(MisirError, match=rf"127\.0\.0\.1:{port} .* cannot be reached"):
        make_embedder(f"http://127.0.0.1:{port}/v1#nomic-embed-text").embed_texts(["tea"])


def test_a_server_that_hangs_is_given_up(
    make_settings: Callable[..., Settings], embedding_server: EmbeddingServer
) -> None:
    released = threading.Event()

    def hang(body: dict[str, Any]) -> tuple[int, bytes]:
        released.wait(20)
        return embedding_server.answer_base64(body)

    embedding_server.answer = hang
    spec = resolve_model(make_settings(f"{embedding_server.url}#nomic-embed-text"))
    with pytest.raises(MisirError, match="did not answer in time"):
        HttpBackend(spec, timeout_s=0.2)
    released.set()


def test_the_path_must_be_right(
    make_settings: Callable[..., Settings], embedding_server: EmbeddingServer
) -> None:
    spec = resolve_model(make_settings(f"{embedding_server.url}#nomic-embed-text"))
    wrong = replace(spec, source=spec.source.replace("/v1", "/v2"))
    with pytest.raises(MisirError, match="answered 404"):
        HttpBackend(wrong)
