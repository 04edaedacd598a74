"""Our pipeline on the true nomic architecture, against an independent numpy implementation."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pytest

from misir.embed.backends import open_backend
from misir.embed.embedder import Embedder
from misir.embed.models import NOMIC, resolve_model
from misir.errors import MisirError
from misir.settings import Settings

if TYPE_CHECKING:
    from nomic_tiny import TinyNomic

TEXT = "Green tea leaves, hot water: steep the cup."
PREFIXES = {"document": "search_document: ", "query": "search_query: ", "clustering": "clustering: "}
NAME = "nomic-ai/nomic-embed-text-v1.5"


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


@pytest.fixture
def hub(tiny: TinyNomic, tmp_path: Path) -> Path:
    """The tiny model where Hugging Face's cache would hold the real one."""
    repository = tmp_path / "hf" / "hub" / "models--nomic-ai--nomic-embed-text-v1.5"
    snapshot = repository / "snapshots" / "0123456789abcdef"
    shutil.copytree(tiny.directory, snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123456789abcdef")
    return snapshot


@pytest.mark.parametrize("task", PREFIXES)
@pytest.mark.parametrize("dimension", [128, 64])
def test_prefix_mean_layer_norm_truncation_and_norm(
    make_embedder: Callable[..., Embedder], tiny: TinyNomic, task: str, dimension: int
) -> None:
    embedder = make_embedder(f"{tiny.directory}@{dimension}")
    (embedding,) = embedder.embed_texts([TEXT], task)
    expected = tiny.reference(PREFIXES[task] + TEXT, dimension)
    assert embedding.fraction == 1.0
    np.testing.assert_allclose(embedding.vector, expected, atol=3e-4)  # float16 leaves 2.4e-4 below 0.5
    assert cosine(embedding.vector, expected) > 0.999999


def test_graph_and_reference_agree_on_a_padded_batch(
    make_settings: Callable[..., Settings], tiny: TinyNomic, nomic_tiny: ModuleType
) -> None:
    backend = open_backend(resolve_model(make_settings(tiny.directory)), make_settings(tiny.directory))
    texts = ["tea", TEXT, "river bank loan money rate"]
    windows = [backend.split(text, "", 8)[0][0] for text in texts]
    pooled = backend.run(windows)
    for text, vector in zip(texts, pooled, strict=True):
        expected = nomic_tiny.encode_reference(tiny.weights, tiny.token_ids(text)).mean(axis=0)
        np.testing.assert_allclose(vector, expected, atol=2e-5)


def test_truncating_before_the_layer_norm_would_be_another_vector(
    tiny: TinyNomic, nomic_tiny: ModuleType
) -> None:
    pooled = nomic_tiny.encode_reference(tiny.weights, tiny.token_ids(TEXT)).mean(axis=0)
    cut = pooled[:64] / np.linalg.norm(pooled[:64])
    assert cut @ tiny.reference(TEXT, 64) < 0.9999


def test_windows_carry_the_prefix_and_are_averaged(
    make_embedder: Callable[..., Embedder], tiny: TinyNomic, nomic_tiny: ModuleType
) -> None:
    embedder = make_embedder(tiny.directory)
    words = np.random.default_rng(1).choice(
        ["tea", "water", "market", "bond", "python", "vector", "river", "money", "year"], 400
    )
    (embedding,) = embedder.embed_texts([" ".join(words)])
    prefix = tiny.token_ids("search_document: ")[1:-1]
    size = nomic_tiny.POSITIONS - 2 - len(prefix)
    body = tiny.token_ids(" ".join(words))[1:-1]
    cls, sep = tiny.token_ids("")
    starts = [0, *(i * (len(body) - size) // 7 for i in range(1, 8))]
    units = [
        nomic_tiny.finish_reference(
            nomic_tiny.encode_reference(tiny.weights, [cls, *prefix, *body[s : s + size], sep]), 128
        )
        for s in starts
    ]
    assert cosine(embedding.vector, np.mean(units, axis=0)) > 0.999999
    assert cosine(embedding.vector, units[0]) < 0.99
    assert embedding.fraction == pytest.approx(8 * size / len(body))


def test_a_directory_is_described_by_its_own_config(
    make_embedder: Callable[..., Embedder], tiny: TinyNomic, nomic_tiny: ModuleType
) -> None:
    spec = make_embedder(tiny.directory).spec
    assert (spec.hidden, spec.dimension, spec.trained) == (128, 128, (128, 64))
    assert spec.max_tokens == nomic_tiny.POSITIONS
    assert spec.layer_norm
    assert spec.fingerprint == "onnx/my-nomic@128#w8"


def test_the_hugging_face_cache_is_found_by_name(
    make_embedder: Callable[..., Embedder], hub: Path, tiny: TinyNomic
) -> None:
    embedder = make_embedder(f"{NAME}@64")
    assert embedder.fingerprint == f"onnx/{NAME}@64#w8"
    assert embedder.spec.source == str(hub)
    (embedding,) = embedder.embed_texts([TEXT], "query")
    assert cosine(embedding.vector, tiny.reference("search_query: " + TEXT, 64)) > 0.999999
    assert make_embedder(hub).spec.id == NAME


def test_a_model_that_is_not_here_says_so_and_one_that_came_asks_for_a_restart(
    make_settings: Callable[..., Settings], request: pytest.FixtureRequest
) -> None:
    spec = resolve_model(make_settings(NAME))
    assert spec == NOMIC
    with pytest.raises(MisirError, match=r"not on this machine.*hf download nomic-ai") as caught:
        open_backend(spec, make_settings("any"))
    assert (caught.value.status, caught.value.slug) == (503, "model-unavailable")
    request.getfixturevalue("hub")
    with pytest.raises(MisirError, match="restart Misir to use it"):
        open_backend(spec, make_settings("any"))


def test_a_size_it_was_not_trained_for_is_refused(make_embedder: Callable[..., Embedder]) -> None:
    with pytest.raises(MisirError, match=r"not trained for vectors of 384 numbers, only for 768, 512"):
        make_embedder(f"{NAME}@384")
