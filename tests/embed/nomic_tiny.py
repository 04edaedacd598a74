"""A randomly initialised model of the true nomic_bert architecture, small enough for a test.

Written twice from the same weights: as an ONNX graph (padded batches, rotation by halves) and in plain
numpy (one text at a time, rotation by complex numbers), so that each checks the other. Weights carry the
names of the published checkpoint. Architecture: word and token type embeddings, layer norm, then layers
of rotary attention and gated SwiGLU, layer norms after the residuals; no biases but in the norms.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

HIDDEN, LAYERS, HEADS, INNER, POSITIONS, BASE, EPS = 128, 2, 4, 256, 48, 1000.0, 1e-12
HEAD = HIDDEN // HEADS

WORDS = """
search document query cluster ing tea leaf leaves water hot cup green black steep river bank
loan money rate bond yield market price code python test model vector word embed space time year the a of
and in to is that it on for with as was at by this from or an be are which
"""


@dataclass(frozen=True)
class TinyNomic:
    directory: Path
    weights: dict[str, np.ndarray]
    tokenizer: Tokenizer

    def reference(self, text: str, dimension: int = HIDDEN) -> np.ndarray:
        """Unit vector (dimension,) of a whole text with its prefix, by the plain numpy model."""
        ids = self.tokenizer.encode(text).ids
        return finish_reference(encode_reference(self.weights, ids), dimension)

    def token_ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text).ids


def build(directory: Path, seed: int = 7) -> TinyNomic:
    (directory / "onnx").mkdir(parents=True)
    tokenizer = build_tokenizer()
    weights = random_weights(tokenizer.get_vocab_size(), np.random.default_rng(seed))
    onnx.save(build_graph(weights), directory / "onnx" / "model.onnx")
    (directory / "config.json").write_text(json.dumps(describe(tokenizer.get_vocab_size())))
    # Like published tokenizers, this one asks for padding and truncation that must not happen to us.
    padded = build_tokenizer()
    padded.enable_truncation(8)
    padded.enable_padding(length=8)
    padded.save(str(directory / "tokenizer.json"))
    return TinyNomic(directory, weights, tokenizer)


def describe(vocab_size: int) -> dict[str, Any]:
    """config.json of nomic-ai/nomic-embed-text-v1.5: the model's own keys, then those transformers reads."""
    return {
        "activation_function": "swiglu",
        "architectures": ["NomicBertModel"],
        "causal": False,
        "layer_norm_epsilon": EPS,
        "max_trained_positions": POSITIONS,
        "mlp_fc1_bias": False,
        "mlp_fc2_bias": False,
        "model_type": "nomic_bert",
        "n_embd": HIDDEN,
        "n_head": HEADS,
        "n_inner": INNER,
        "n_layer": LAYERS,
        "n_positions": POSITIONS,
        "parallel_block": False,
        "prenorm": False,
        "qkv_proj_bias": False,
        "rotary_emb_base": int(BASE),
        "rotary_emb_fraction": 1.0,
        "rotary_emb_interleaved": False,
        "rotary_emb_scale_base": None,
        "type_vocab_size": 2,
        "vocab_size": vocab_size,
        "hidden_act": "silu",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "layer_norm_eps": EPS,
        "max_position_embeddings": POSITIONS,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "rope_parameters": {"rope_theta": BASE, "rope_type": "default"},
    }


def build_tokenizer() -> Tokenizer:
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)] + [str(digit) for digit in range(10)]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{letter}" for letter in letters)]
    pieces += [
        *"._:,!?-",
        *(word for word in dict.fromkeys(WORDS.split()) if len(word) > 1),
        "##ing",
        "##s",
        "##ed",
    ]
    vocab = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])]
    )
    return tokenizer


def random_weights(vocab_size: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Weights (out, in) like a checkpoint's; spread widely enough that no step is close to a no-op."""

    def draw(*shape: int, scale: float = 0.1, centre: float = 0.0) -> np.ndarray:
        return (centre + scale * rng.standard_normal(shape)).astype(np.float32)

    weights = {
        "embeddings.word_embeddings.weight": draw(vocab_size, HIDDEN, scale=1.0),
        "embeddings.token_type_embeddings.weight": draw(2, HIDDEN, scale=0.5),
    }
    norms = ["emb_ln", *(f"encoder.layers.{i}.norm{k}" for i in range(LAYERS) for k in (1, 2))]
    for name in norms:
        weights[f"{name}.weight"] = draw(HIDDEN, scale=0.3, centre=1.0)
        weights[f"{name}.bias"] = draw(HIDDEN, scale=0.3)
    for layer in (f"encoder.layers.{i}" for i in range(LAYERS)):
        weights[f"{layer}.attn.Wqkv.weight"] = draw(3 * HIDDEN, HIDDEN)
        weights[f"{layer}.attn.out_proj.weight"] = draw(HIDDEN, HIDDEN)
        weights[f"{layer}.mlp.fc11.weight"] = draw(INNER, HIDDEN)
        weights[f"{layer}.mlp.fc12.weight"] = draw(INNER, HIDDEN)
        weights[f"{layer}.mlp.fc2.weight"] = draw(HIDDEN, INNER)
    return weights


# --- plain numpy -------------------------------------------------------------------------------------


def encode_reference(weights: dict[str, np.ndarray], ids: list[int]) -> np.ndarray:
    """Token vectors (L, H) in float64."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.token_type_embeddings.weight"][0]
    x = _norm(x, w, "emb_ln")
    for layer in (f"encoder.layers.{i}" for i in range(LAYERS)):
        x = _norm(x + _attend(x, w, layer), w, f"{layer}.norm1")
        gate = x @ w[f"{layer}.mlp.fc12.weight"].T
        inner = (x @ w[f"{layer}.mlp.fc11.weight"].T) * gate / (1 + np.exp(-gate))
        x = _norm(x + inner @ w[f"{layer}.mlp.fc2.weight"].T, w, f"{layer}.norm2")
    return x


def finish_reference(hidden: np.ndarray, dimension: int) -> np.ndarray:
    """The model card's recipe: mean, layer norm over all of H, first d, L2."""
    mean = hidden.mean(axis=0)
    normed = (mean - mean.mean()) / np.sqrt(mean.var() + 1e-5)
    return normed[:dimension] / np.linalg.norm(normed[:dimension])


def _attend(x: np.ndarray, w: dict[str, np.ndarray], layer: str) -> np.ndarray:
    queries, keys, values = np.split(x @ w[f"{layer}.attn.Wqkv.weight"].T, 3, axis=1)
    heads = []
    for start in range(0, HIDDEN, HEAD):
        part = slice(start, start + HEAD)
        scores = _rotate(queries[:, part]) @ _rotate(keys[:, part]).T / np.sqrt(HEAD)
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        heads.append(scores / scores.sum(axis=1, keepdims=True) @ values[:, part])
    return np.concatenate(heads, axis=1) @ w[f"{layer}.attn.out_proj.weight"].T


def _rotate(x: np.ndarray) -> np.ndarray:
    """Components (k, k + HEAD/2) are one complex number, turned by position · base^(−2k/HEAD)."""
    half = HEAD // 2
    angles = np.arange(len(x))[:, None] * BASE ** (-2 * np.arange(half) / HEAD)[None, :]
    turned = (x[:, :half] + 1j * x[:, half:]) * np.exp(1j * angles)
    return np.concatenate([turned.real, turned.imag], axis=1)


def _norm(x: np.ndarray, w: dict[str, np.ndarray], name: str) -> np.ndarray:
    normed = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + EPS)
    return normed * w[f"{name}.weight"] + w[f"{name}.bias"]


# --- ONNX --------------------------------------------------------------------------------------------


class Graph:
    """Nodes in the order they are named; `op` returns the name of its (first) output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        names = [f"{kind}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def const(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def linear(self, x: str, weight: np.ndarray) -> str:
        return str(self.op("MatMul", x, self.const(weight.T)))

    def norm(self, x: str, weights: dict[str, np.ndarray], name: str) -> str:
        scale, bias = self.const(weights[f"{name}.weight"]), self.const(weights[f"{name}.bias"])
        return str(self.op("LayerNormalization", x, scale, bias, epsilon=EPS))


def build_graph(weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    g = Graph()
    word = g.op("Gather", g.const(weights["embeddings.word_embeddings.weight"]), "input_ids")
    kind = g.op("Gather", g.const(weights["embeddings.token_type_embeddings.weight"]), "token_type_ids")
    x = g.norm(g.op("Add", word, kind), weights, "emb_ln")
    cos, sin = _angles(g)
    bias = _mask_bias(g)
    for layer in (f"encoder.layers.{i}" for i in range(LAYERS)):
        x = g.norm(
            g.op("Add", x, _attention(g, x, weights, layer, (cos, sin, bias))), weights, f"{layer}.norm1"
        )
        x = g.norm(g.op("Add", x, _gated(g, x, weights, layer)), weights, f"{layer}.norm2")
    g.nodes.append(helper.make_node("Identity", [x], ["last_hidden_state"]))
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    output = helper.make_tensor_value_info(
        "last_hidden_state", TensorProto.FLOAT, ["batch", "sequence", HIDDEN]
    )
    graph = helper.make_graph(g.nodes, "nomic_bert", inputs, [output], g.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def _angles(g: Graph) -> tuple[str, str]:
    """cos and sin (L, HEAD) of position · base^(−2k/HEAD), both halves alike."""
    length = g.op("Gather", g.op("Shape", "input_ids"), g.const(1, np.int64))
    positions = g.op("Range", g.const(0, np.int64), length, g.const(1, np.int64))
    column = g.op("Unsqueeze", g.op("Cast", positions, to=TensorProto.FLOAT), g.const([1], np.int64))
    inverse = BASE ** -(np.arange(0, HEAD, 2, dtype=np.float32) / HEAD)
    half = g.op("Mul", column, g.const(inverse[None, :]))
    angles = g.op("Concat", half, half, axis=-1)
    return g.op("Cos", angles), g.op("Sin", angles)


def _mask_bias(g: Graph) -> str:
    mask = g.op("Unsqueeze", "attention_mask", g.const([1, 2], np.int64))
    hidden = g.op("Sub", g.const(1.0), g.op("Cast", mask, to=TensorProto.FLOAT))
    return str(g.op("Mul", hidden, g.const(-1e9)))


def _attention(
    g: Graph, x: str, weights: dict[str, np.ndarray], layer: str, shared: tuple[str, str, str]
) -> str:
    cos, sin, bias = shared
    packed = g.op(
        "Reshape", g.linear(x, weights[f"{layer}.attn.Wqkv.weight"]), _shape(g, 0, 0, 3, HEADS, HEAD)
    )
    packed = g.op("Transpose", packed, perm=[2, 0, 3, 1, 4])
    query, key, value = (g.op("Gather", packed, g.const(i, np.int64), axis=0) for i in range(3))
    query, key = _rotary(g, query, cos, sin), _rotary(g, key, cos, sin)
    scores = g.op("MatMul", query, g.op("Transpose", key, perm=[0, 1, 3, 2]))
    scores = g.op("Add", g.op("Mul", scores, g.const(HEAD**-0.5)), bias)
    mixed = g.op("MatMul", g.op("Softmax", scores, axis=-1), value)
    joined = g.op("Reshape", g.op("Transpose", mixed, perm=[0, 2, 1, 3]), _shape(g, 0, 0, HIDDEN))
    return g.linear(joined, weights[f"{layer}.attn.out_proj.weight"])


def _rotary(g: Graph, x: str, cos: str, sin: str) -> str:
    first, second = g.op("Split", x, _shape(g, HEAD // 2, HEAD // 2), outputs=2, axis=-1)
    turned = g.op("Concat", g.op("Neg", second), first, axis=-1)
    return str(g.op("Add", g.op("Mul", x, cos), g.op("Mul", turned, sin)))


def _gated(g: Graph, x: str, weights: dict[str, np.ndarray], layer: str) -> str:
    value = g.linear(x, weights[f"{layer}.mlp.fc11.weight"])
    gate = g.linear(x, weights[f"{layer}.mlp.fc12.weight"])
    inner = g.op("Mul", value, g.op("Mul", gate, g.op("Sigmoid", gate)))
    return g.linear(inner, weights[f"{layer}.mlp.fc2.weight"])


def _shape(g: Graph, *sizes: int) -> str:
    return g.const(sizes, np.int64)
