"""Simhash: a fingerprint of a text that near-identical texts share in at least one quarter."""

from __future__ import annotations

import re
import zlib
from typing import Final

import numpy as np
import numpy.typing as npt

N_BANDS: Final = 4
BAND_BITS: Final = 16
MAX_CHARACTERS: Final = 10_000
"""What is read of a text: enough to tell texts apart, little enough not to hold anybody up."""

_WORD: Final = re.compile(r"\w+")


def bands(text: str) -> tuple[int, int, int, int]:
    """The four 16-bit quarters of the text's 64-bit simhash, each 0..65535.

    Every run of three words votes on every bit (Charikar 2002). Texts whose hashes differ in at most three
    bits, which is how near-identical ones are told from others (Manku, Jain and Das Sarma 2007), agree in at
    least one quarter, by the pigeonhole principle. Case and punctuation make no difference.

    >>> bands("Mind the gap, please.") == bands("mind the GAP please")
    True
    >>> bands("")
    (0, 0, 0, 0)
    """
    words = _WORD.findall(text[:MAX_CHARACTERS].casefold())
    if not words:
        return (0, 0, 0, 0)
    return _quarters(_vote(_shingles(words)))


def _shingles(words: list[str]) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of each run of three words; of all of them, where there are fewer."""
    codes = np.array([zlib.crc32(word.encode("utf-8", "replace")) for word in words], dtype=np.uint64)
    padded = np.concatenate([np.zeros(max(0, 3 - len(codes)), dtype=np.uint64), codes])
    first, second, third = padded[:-2], padded[1:-1], padded[2:]
    return _mix((first << np.uint64(32)) ^ (second << np.uint64(16)) ^ third)


def _mix(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """splitmix64 (Steele, Lea and Flood 2014): every bit of the input moves every bit of the output."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


def _vote(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Which bits do more than half of the hashes have? (64,)"""
    by_hash = np.unpackbits(hashes.astype("<u8").view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
    return np.asarray(by_hash.sum(axis=0, dtype=np.int64) * 2 > len(hashes))


def _quarters(bits: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    weights = 1 << np.arange(BAND_BITS)
    first, second, third, fourth = (bits.reshape(N_BANDS, BAND_BITS) @ weights).tolist()
    return first, second, third, fourth
