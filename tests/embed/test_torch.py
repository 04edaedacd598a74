from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from misir.embed.embedder import Embedder
from misir.errors import MisirError

if TYPE_CHECKING:
    from nomic_tiny import TinyNomic


@pytest.fixture
def checkpoint(tiny: TinyNomic, tmp_path: Path) -> Path:
    """The tiny model without its ONNX file: weights as published, in safetensors."""
    directory = Path(shutil.copytree(tiny.directory, tmp_path / "torch-nomic"))
    shutil.rmtree(directory / "onnx")
    write_safetensors(directory / "model.safetensors", tiny.weights)
    return directory


def write_safetensors(path: Path, weights: dict[str, np.ndarray]) -> None:
    """Header length, header, little-endian data: https://github.com/huggingface/safetensors."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, value in weights.items():
        content = value.astype("<f4").tobytes()
        offsets = [len(data), len(data) + len(content)]
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": offsets}
        data += content
    encoded = json.dumps(header).encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + data)


@pytest.mark.skipif(
    importlib.util.find_spec("sentence_transformers") is not None, reason="the extra is installed"
)
def test_without_the_extra_one_sentence_says_what_to_install(
    make_embedder: Callable[..., Embedder], checkpoint: Path
) -> None:
    embedder = make_embedder(checkpoint)
    assert embedder.spec.provider == "sentence-transformers"
    with pytest.raises(
        MisirError, match=r"needs PyTorch: .*pip install 'misir\[sentence-transformers\]'"
    ) as e:
        embedder.embed_texts(["tea"])
    assert (e.value.status, e.value.slug) == (503, "model-unavailable")


@pytest.mark.skipif(
    importlib.util.find_spec("sentence_transformers") is None, reason="needs the extra sentence-transformers"
)
@pytest.mark.parametrize("dimension", [128, 64])
def test_torch_gives_the_vectors_of_the_reference(
    make_embedder: Callable[..., Embedder], checkpoint: Path, tiny: TinyNomic, dimension: int
) -> None:
    embedder = make_embedder(f"{checkpoint}@{dimension}")
    texts = ["green tea", "search the river bank for money, or be at home."]
    for text, embedding in zip(texts, embedder.embed_texts(texts), strict=True):
        expected = tiny.reference("search_document: " + text, dimension)
        np.testing.assert_allclose(embedding.vector, expected, atol=3e-4)
