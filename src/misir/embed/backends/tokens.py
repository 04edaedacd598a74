"""Texts as windows of token ids, from a tokenizer.json."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from misir.embed.models import model_unavailable
from misir.embed.text import choose_windows

# One text at a time on threads of ours: the library's own would fight with them for the cores.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

TokenIds = list[int]
Ids = NDArray[np.int64]


class TokenWindows:
    """Splits texts into windows of at most `max_tokens` ids, special tokens and prefix in each.

    `content` is the text of a tokenizer.json; padding and truncation it asks for are switched off, both
    are ours. `name` is for the error. Raises MisirError 503 when it is no tokenizer.
    """

    def __init__(self, content: str, max_tokens: int, name: str) -> None:
        self._tokenizer = _parse(content, name)
        self._max_tokens = max_tokens
        self._pad_id = _find_pad_id(self._tokenizer)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def split(self, text: str, prefix: str, most: int) -> tuple[list[TokenIds], float]:
        # As a batch of one: `encode` holds the interpreter's lock meanwhile (0.3 s for 200,000 characters).
        (encoding,) = self._tokenizer.encode_batch([prefix + text])
        start, stop = _content_bounds(encoding, len(prefix))
        ids = encoding.ids
        head, body, tail = ids[:start], ids[start:stop], ids[stop:]
        size = max(1, self._max_tokens - len(head) - len(tail))
        bounds, fraction = choose_windows(len(body), size, most)
        return [head + body[a:b] + tail for a, b in bounds], fraction

    def pad(self, windows: Sequence[TokenIds]) -> tuple[Ids, Ids]:
        """Token ids and mask of 1 and 0, both (n, longest)."""
        longest = max(len(window) for window in windows)
        ids = np.full((len(windows), longest), self._pad_id, np.int64)
        mask = np.zeros_like(ids)
        for row, window in enumerate(windows):
            ids[row, : len(window)] = window
            mask[row, : len(window)] = 1
        return ids, mask


def _content_bounds(encoding: Encoding, prefix_chars: int) -> tuple[int, int]:
    """Where the text's own tokens begin and end: after [CLS] and the prefix, before [SEP]."""
    special = encoding.special_tokens_mask
    start, stop = 0, len(special)
    while start < stop and special[start]:
        start += 1
    while stop > start and special[stop - 1]:
        stop -= 1
    while start < stop and _end_of(encoding, start) <= prefix_chars:
        start += 1
    return start, stop


def _end_of(encoding: Encoding, token: int) -> int:
    """The character after a token; asked one by one, since `offsets` makes a list of all of them."""
    bounds = encoding.token_to_chars(token)
    return bounds[1] if bounds else 0


def _parse(content: str, name: str) -> Tokenizer:
    # The library raises a bare Exception for what is no tokenizer; we look first, so as not to catch that.
    try:
        described = json.loads(content)
    except ValueError:
        described = None
    if not isinstance(described, dict) or not isinstance(described.get("model"), dict):
        raise model_unavailable(
            f"The tokenizer.json of the embedding model {name} is damaged: put the original back."
        )
    return Tokenizer.from_str(content)


def _find_pad_id(tokenizer: Tokenizer) -> int:
    # Masked tokens cannot change a vector, but RoBERTa counts positions by this id.
    if tokenizer.padding:
        return int(tokenizer.padding["pad_id"])
    found = (tokenizer.token_to_id(token) for token in ("[PAD]", "<pad>"))
    return next((token_id for token_id in found if token_id is not None), 0)
