"""Any OpenAI-compatible embedding server: text-embeddings-inference, Ollama, llama.cpp, hosted ones."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np

from misir.embed.models import ModelSpec, model_unavailable
from misir.embed.text import Vectors, choose_windows
from misir.errors import MisirError

MAX_BATCH = 32
"""Texts per request: text-embeddings-inference refuses more by default."""

CHARS_PER_TOKEN = 3
"""Characters we count as one token: English has about 4 to 4.5 a token, code and most European
languages about 3. Scripts with a token per character can exceed the server's window; what it then does
(cut, or refuse the request) is the server's."""

TIMEOUT_S = 30.0


class HttpBackend:
    """Sends windows of text, takes the server's pooled vectors of the model's full width H.

    We have no tokenizer here, so windows, and the share of a text that was read, go by characters. The
    prefix, layer norm, truncation and L2 are ours: a server knows none of them for sure. The layer norm
    is exact although servers send unit vectors (a factor on v does not turn layer_norm(v)), but only on
    the full width, so a server that truncates is refused by the check of the width.
    """

    def __init__(self, spec: ModelSpec, *, api_key: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        base, _, self._served = spec.source.partition("#")
        self._spec = spec
        self._host = httpx.URL(base).netloc.decode("ascii")
        self._client = httpx.Client(
            base_url=base,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, 3.0)),
            trust_env=False,  # a proxy from the environment must not see people's texts
        )
        self.run(["misir"])

    def split(self, text: str, prefix: str, most: int) -> tuple[list[str], float]:
        size = max(1, self._spec.max_tokens * CHARS_PER_TOKEN - len(prefix))
        bounds, fraction = choose_windows(len(text), size, most)
        return [prefix + text[start:stop] for start, stop in bounds], fraction

    def plan(self, windows: Sequence[str]) -> list[list[int]]:
        # Shortest first: servers that pad, pad less. Their own batching does the rest.
        order = sorted(range(len(windows)), key=lambda index: len(windows[index]))
        return [order[start : start + MAX_BATCH] for start in range(0, len(order), MAX_BATCH)]

    def run(self, windows: Sequence[str]) -> Vectors:
        body = {"model": self._served, "input": list(windows), "encoding_format": "base64"}
        vectors = self._decode(self._post(body), len(windows))
        if vectors.shape[1:] != (self._spec.hidden,):
            raise self._refused(
                f"answered vectors of {vectors.shape[-1]} numbers where the model has "
                f"{self._spec.hidden}: check the model named after # in EMBEDDING_MODEL"
            )
        if not np.all(np.isfinite(vectors)) or not np.all(vectors.any(axis=1)):
            raise self._refused("answered a vector that is zero or not finite: check the server's model")
        return vectors

    def close(self) -> None:
        self._client.close()

    def _post(self, body: dict[str, Any]) -> Any:
        try:
            response = self._client.post("embeddings", json=body)
        except httpx.TimeoutException as error:
            raise self._refused("did not answer in time: see whether it is overloaded") from error
        except httpx.TransportError as error:
            raise self._refused("cannot be reached: start it, or correct EMBEDDING_MODEL") from error
        if response.status_code != httpx.codes.OK:
            said = response.text[:200].replace("\n", " ")
            raise self._refused(f"answered {response.status_code} ({said}): see its log")
        try:
            return response.json()
        except ValueError as error:
            raise self._refused("answered something that is no JSON: check the URL") from error

    def _decode(self, answer: Any, n: int) -> Vectors:
        """(n, H) in the order asked for. Servers may answer base64 or, ignoring our wish, lists."""
        try:
            rows = sorted(answer["data"], key=lambda row: int(row["index"]))
            if [row["index"] for row in rows] != list(range(n)):
                raise self._refused("answered another number of vectors than it was sent texts")
            return np.stack([_decode_vector(row["embedding"]) for row in rows])
        except (KeyError, TypeError, ValueError) as error:
            raise self._refused("answered something that is no list of embeddings: check the URL") from error

    def _refused(self, what: str) -> MisirError:
        return model_unavailable(f"The embedding server {self._host} ({self._spec.id}) {what}.")


def _decode_vector(value: str | list[float]) -> Vectors:
    """One vector (H,): little-endian float32 in base64, or a list. ValueError where it is neither."""
    if isinstance(value, str):
        return np.frombuffer(base64.b64decode(value, validate=True), "<f4").astype(np.float32)
    vector = np.asarray(value, np.float32)
    if vector.ndim != 1:
        raise ValueError("a vector is one list of numbers")
    return vector
