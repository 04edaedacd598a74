"""Weights that need PyTorch (no ONNX export, or a GPU): the optional extra sentence-transformers.

We take the token vectors of its first module only. Its own pooling ignores our windows, and its
`truncate_dim` skips the layer norm that nomic's smaller sizes need.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from misir.embed.backends.tokens import TokenIds, TokenWindows
from misir.embed.models import ModelSpec, model_unavailable
from misir.embed.text import Vectors, plan_runs, pool_mean

GPU_RUN_TOKENS = 16_384
"""Padded tokens of one run on a GPU; on a CPU padding and memory cost more than a run does (text.py)."""


class TorchBackend:
    """The encoder in `directory`, on the GPU when PyTorch sees one. Runs no code the model brings along."""

    def __init__(self, spec: ModelSpec, directory: Path) -> None:
        self._spec = spec
        self._model = _load(spec, directory)
        self._tokens = TokenWindows(_read_tokenizer(spec, directory), spec.max_tokens, spec.id)
        self.run(self.split("misir", spec.document_prefix, 1)[0])

    def split(self, text: str, prefix: str, most: int) -> tuple[list[TokenIds], float]:
        return self._tokens.split(text, prefix, most)

    def plan(self, windows: Sequence[TokenIds]) -> list[list[int]]:
        lengths = [len(window) for window in windows]
        return plan_runs(lengths) if self._model.device.type == "cpu" else plan_runs(lengths, GPU_RUN_TOKENS)

    def run(self, windows: Sequence[TokenIds]) -> Vectors:
        torch = importlib.import_module("torch")
        ids, mask = self._tokens.pad(windows)
        device = self._model.device
        features = {
            "input_ids": torch.from_numpy(ids).to(device),
            "attention_mask": torch.from_numpy(mask).to(device),
        }
        with torch.inference_mode():
            hidden = self._model[0](features)["token_embeddings"].float().cpu().numpy()
        if hidden.shape[-1] != self._spec.hidden:
            raise _unusable(self._spec, f"gives {hidden.shape[-1]} numbers, not {self._spec.hidden}")
        return pool_mean(np.asarray(hidden, np.float32), mask)

    def close(self) -> None:
        """Nothing to let go of: the weights die with this object."""


def _load(spec: ModelSpec, directory: Path) -> Any:
    try:
        extra = importlib.import_module("sentence_transformers")  # optional, and seconds to import
    except ImportError as error:
        raise model_unavailable(
            f"The embedding model {spec.id} has no ONNX file, so it needs PyTorch: "
            "install it with `pip install 'misir[sentence-transformers]'`."
        ) from error
    try:
        return extra.SentenceTransformer(str(directory), local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _unusable(spec, f"cannot be loaded ({str(error).partition(chr(10))[0][:200]})") from error


def _read_tokenizer(spec: ModelSpec, directory: Path) -> str:
    path = directory / "tokenizer.json"
    if not path.is_file():
        raise _unusable(spec, f"has no tokenizer.json in {directory}")
    return path.read_text(encoding="utf-8")


def _unusable(spec: ModelSpec, what: str) -> Exception:
    return model_unavailable(f"The embedding model {spec.id} {what}: put its original files back.")
