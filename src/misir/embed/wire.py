"""What travels between the workers and the embedder process: frames on a unix socket.

A frame is 9 bytes (length of the body, kind, number of the call; big-endian) and the body.

    worker → embedder   EMBED    task, most windows, count, lengths, the texts in UTF-8
                        CANCEL   empty
    embedder → worker   VECTORS  count, width, shares read (float64), vectors (float32, as they are in memory)
                        PROBLEM  JSON: status, slug, detail, headers
                        STATE    JSON: the model's problem or null; to one worker also what was counted
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple, get_args

import numpy as np

from misir.embed.models import Task
from misir.embed.text import Embedding
from misir.errors import MisirError

HEAD = struct.Struct("!IBI")
ASKED = struct.Struct("!BII")
MADE = struct.Struct("!II")
TASKS: tuple[Task, ...] = get_args(Task)

MAX_BODY = 128 * 2**20
"""A hundred texts of a request of 8 MiB are far below."""


class Kind(IntEnum):
    EMBED = 1
    CANCEL = 2
    VECTORS = 3
    PROBLEM = 4
    STATE = 5


class Frame(NamedTuple):
    kind: int
    call: int
    body: bytes


def pack(kind: Kind, call: int = 0, body: bytes = b"") -> bytes:
    return HEAD.pack(len(body), kind, call) + body


def pack_json(kind: Kind, call: int, content: dict[str, Any]) -> bytes:
    return pack(kind, call, json.dumps(content).encode())


async def read_frame(reader: asyncio.StreamReader) -> Frame:
    """The next frame. ConnectionError where the other side is gone, or is not one of us."""
    try:
        length, kind, call = HEAD.unpack(await reader.readexactly(HEAD.size))
        if length > MAX_BODY:
            raise ConnectionError(f"a frame of {length} bytes")
        return Frame(kind, call, await reader.readexactly(length))
    except asyncio.IncompleteReadError as error:
        raise ConnectionError("the other side has hung up") from error


def pack_texts(texts: Sequence[str], task: Task, max_windows: int) -> bytes:
    """The body of EMBED.

    >>> unpack_texts(pack_texts(["tea", "Grüße"], "query", 2))
    (['tea', 'Grüße'], 'query', 2)
    """
    encoded = [text.encode() for text in texts]
    lengths = np.array([len(one) for one in encoded], ">u4")
    return ASKED.pack(TASKS.index(task), max_windows, len(texts)) + lengths.tobytes() + b"".join(encoded)


def unpack_texts(body: bytes) -> tuple[list[str], Task, int]:
    task, max_windows, n = ASKED.unpack_from(body)
    ends = ASKED.size + 4 * n + np.cumsum(np.frombuffer(body, ">u4", n, ASKED.size))
    starts = [ASKED.size + 4 * n, *ends[:-1].tolist()]
    texts = [body[start:end].decode() for start, end in zip(starts, ends.tolist(), strict=False)]
    return texts, TASKS[task], max_windows


def pack_embeddings(made: Sequence[Embedding]) -> bytes:
    fractions = np.array([one.fraction for one in made], "<f8")
    vectors = np.stack([one.vector for one in made]).astype("<f4")
    return MADE.pack(*vectors.shape) + fractions.tobytes() + vectors.tobytes()


def unpack_embeddings(body: bytes) -> list[Embedding]:
    """The very vectors that were packed, read-only as they were."""
    n, width = MADE.unpack_from(body)
    fractions = np.frombuffer(body, "<f8", n, MADE.size)
    vectors = np.frombuffer(body, "<f4", n * width, MADE.size + 8 * n).reshape(n, width)
    # Copies: the cache keeps single vectors, which would keep the whole answer.
    made = [
        Embedding(vector.astype(np.float32), float(f)) for vector, f in zip(vectors, fractions, strict=True)
    ]
    for one in made:
        one.vector.flags.writeable = False
    return made


def pack_problem(call: int, error: MisirError) -> bytes:
    said = {"status": error.status, "slug": error.slug, "detail": error.detail, "headers": error.headers}
    return pack_json(Kind.PROBLEM, call, said)


def unpack_problem(body: bytes) -> MisirError:
    said = json.loads(body)
    return MisirError(said["status"], said["slug"], said["detail"], headers=said["headers"])
