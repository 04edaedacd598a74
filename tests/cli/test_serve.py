"""`misir serve`: it says what is wrong before it serves, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
from typing import Any

import httpx
import pytest


def refusal(house: Any, *words: str, **environment: str) -> str:
    done = house.misir("serve", "--local", "--no-demo", *words, **environment)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("misir: ")
    return line


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_and_a_signal_leaves_nothing_running(house: Any, signum: int) -> None:
    server = house.serve("--no-demo")
    assert httpx.get(f"{server.url}/health", timeout=10).json() == {"status": "healthy"}
    assert httpx.get(f"{server.url}/api/v1/spaces", timeout=30).json()["count"] == 0
    assert "Three things to try" in server.said
    assert server.end(signum) == 0
    assert house.processes() == set()
    assert "Traceback" not in server.said


def test_a_second_server_attaches_and_outlives_the_first(house: Any) -> None:
    first = house.serve("--no-demo")
    httpx.post(f"{first.url}/api/v1/spaces", json={"name": "Shared"}, timeout=60).raise_for_status()
    second = house.serve("--no-demo")
    assert second.url != first.url
    assert first.end() == 0
    (space,) = httpx.get(f"{second.url}/api/v1/spaces", timeout=30).json()["spaces"]
    assert space["name"] == "Shared"
    assert second.end() == 0
    assert house.processes() == set()


def test_two_workers_share_a_port(house: Any) -> None:
    server = house.serve("--no-demo", "--workers", "2")
    assert httpx.get(f"{server.url}/api/v1/spaces", timeout=30).json()["count"] == 0
    assert server.end() == 0
    assert house.processes() == set()


def test_a_port_in_use_is_named(house: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sentence = refusal(house, "--port", str(port))
    assert f"Port {port} is in use" in sentence
    assert f"--port {port + 1}" in sentence


def test_a_directory_that_cannot_be_written_is_named(house: Any) -> None:
    blocked = house.root / "file"
    blocked.touch()
    assert f"cannot write in {blocked}/data" in refusal(house, "--port", "0", "--data-dir", f"{blocked}/data")


def test_a_wrong_variable_is_named(house: Any) -> None:
    assert "DB_POOL_SIZE" in refusal(house, DB_POOL_SIZE="many")


def test_local_never_opens_somebody_elses_database_to_everyone(house: Any) -> None:
    assert "DATABASE_URL is set" in refusal(house, DATABASE_URL="postgresql://app@db/production")


def test_another_embedding_model_is_refused(house: Any) -> None:
    assert house.serve("--no-demo").url
    sentence = refusal(house, "--port", "0", EMBEDDING_MODEL="nomic-ai/nomic-embed-text-v1.5")
    assert "was embedded with" in sentence
    assert "EMBEDDING_MODEL=sentence-transformers/all-MiniLM-L6-v2" in sentence


def test_ctrl_c_while_it_starts_leaves_nothing_running(house: Any) -> None:
    server = house.serve("--no-demo")
    os.kill(server.process.pid, 0)
    assert server.end(signal.SIGINT) != -signal.SIGKILL
    house.leave()
    assert "Traceback" not in server.said
