"""Secrets that must be read again (webhook secrets), sealed before they reach the database."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from misir.errors import MisirError, unavailable
from misir.plumbing.data_dir import explained, make_directory

KEY_FILE: Final = "secret.key"
NONCE_BYTES: Final = 12
VERSION: Final = b"\x01"


class Seal:
    """AES-256-GCM under a key derived from `key`. What was sealed for one owner opens for no other."""

    def __init__(self, key: str) -> None:
        # The key is long and random (settings ask for 32 characters): one hash spreads it over 256 bits.
        self._aead = AESGCM(hashlib.sha256(b"misir seal 1:" + key.encode()).digest())

    def close(self, secret: bytes, owner: str) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return VERSION + nonce + self._aead.encrypt(nonce, secret, owner.encode())

    def open(self, sealed: bytes, owner: str) -> bytes:
        """Raises MisirError 503 when it was sealed with another key, or for somebody else."""
        nonce, text = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        try:
            return self._aead.decrypt(nonce, text, owner.encode())
        except (InvalidTag, ValueError):
            raise unavailable(
                "A stored secret cannot be read with this MISIR_SECRET_KEY: set the key it was stored with, "
                "or rotate the secret."
            ) from None


def read_key(configured: str | None, data_dir: Path | None) -> str:
    """MISIR_SECRET_KEY; without one, a key made once in the data directory of the embedded database.

    `data_dir` is None where the database is somebody else's: then several machines must agree, so it must be
    configured. Raises MisirError 503.
    """
    if configured is not None:
        return configured
    if data_dir is None:
        raise MisirError(
            503,
            "unavailable",
            "Webhook secrets are kept sealed: set MISIR_SECRET_KEY (32 random characters) on the server.",
            headers={"Retry-After": "60"},
        )
    with explained(data_dir):
        return _own_key(data_dir)


def _own_key(data_dir: Path) -> str:
    """Several processes may come here at once: the first to link its file wins, all read the same."""
    path = data_dir / KEY_FILE
    if not path.exists():
        make_directory(data_dir)
        made = data_dir / f".{KEY_FILE}.{os.getpid()}.{secrets.token_hex(4)}"
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(48))
        try:
            os.link(made, path)
        except FileExistsError:
            pass
        finally:
            made.unlink()
    return path.read_text("ascii").strip()
