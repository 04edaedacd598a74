"""Where the model is: in this process, or in the embedder process, and on which socket. Imports no model."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from misir.embed.models import ModelSpec
from misir.plumbing.data_dir import fits_socket, make_directory, short_directory
from misir.plumbing.metrics_dir import service_pid
from misir.settings import Settings

PROTOCOL = 1
"""Of wire.py: workers of two versions, as during an upgrade, talk to two processes."""


def address(root: Path, spec: ModelSpec) -> Path:
    """The process's socket: one for each model, so that workers of two settings never share vectors."""
    name = f"embedder-{hashlib.sha256(f'{PROTOCOL} {spec.fingerprint}'.encode()).hexdigest()[:8]}.sock"
    path = root.expanduser().absolute() / name
    return path if fits_socket(path) else short_directory(root) / name


def is_shared(settings: Settings) -> bool:
    """Whether the model is in a process of its own: asked for, or one of several workers needs it.

    A worker has a parent that starts others like it. Where the data directory cannot be written, each
    worker keeps a model of its own, as it must.
    """
    if settings.EMBEDDER != "auto":
        return settings.EMBEDDER == "shared"
    if service_pid() == os.getpid():
        return False
    try:
        make_directory(settings.data_dir)
    except OSError:
        return False
    return os.access(settings.data_dir, os.W_OK)
