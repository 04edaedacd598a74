"""A second database, empty."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import psycopg
import pytest


@pytest.fixture
def fresh(server_url: Callable[..., str]) -> Iterator[str]:
    name = f"fresh_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server_url("postgres"), autocommit=True) as conn:
        conn.execute(f"create database {name} template misir_template strategy file_copy".encode())
    yield name
    with psycopg.connect(server_url("postgres"), autocommit=True) as conn:
        conn.execute(f"drop database {name} with (force)".encode())
