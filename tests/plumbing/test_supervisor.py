"""One supervisor per data directory, whoever comes, goes or is killed."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from misir.errors import MisirError
from misir.plumbing.data_dir import short_directory
from misir.plumbing.supervisor import Attachment, attach, attach_sync

PREPARE = """
def prepare(postgres):
    url = postgres.url("postgres")
    return {"database_url": url, "service_url": url, "migrate_url": url}

def refuse(postgres):
    from misir.plumbing.data_dir import database_unavailable
    raise database_unavailable("The moon is in the wrong house: wait.")

def crash(postgres):
    raise ZeroDivisionError
"""
CLIENT = """
import sys, time
from pathlib import Path
from misir.plumbing.supervisor import attach_sync
here = attach_sync(Path(sys.argv[1]), prepare="plain:prepare")
print(here.database_url, flush=True)
sys.stdin.read()
here.close()
"""


class House:
    """A data directory, and who is at work in it."""

    def __init__(self, root: Path, code: Path) -> None:
        self.root = root
        self.environment = {**os.environ, "PYTHONPATH": str(code)}

    def attach(self, prepare: str = "plain:prepare") -> Attachment:
        return attach_sync(self.root, prepare=prepare, environment=self.environment)

    def client(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", CLIENT, str(self.root)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=self.environment)

    def supervisors(self) -> set[int]:
        return {
            pid
            for pid, words in commands()
            if "misir.plumbing.supervisor" in words and str(self.root) in words
        }

    def postmaster(self) -> int:
        return int((self.root / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])

    def servers(self) -> set[int]:
        """Processes at work in the database itself (a zombie is not)."""
        return {pid for pid, _ in commands() if _cwd(pid) == str(self.root / "postgres")}

    def is_empty(self) -> bool:
        return not self.supervisors() and not self.servers()


def commands() -> Iterator[tuple[int, list[str]]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield int(path.parent.name), path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue


def _cwd(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink())
    except OSError:
        return ""


def eventually(condition: Callable[[], object], within_s: float = 20) -> bool:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def ask(url: str, question: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        answer = connection.execute(question.encode())
        row = answer.fetchone() if answer.description else None
        return row and row[0]


def answers(url: str) -> bool:
    try:
        return ask(url, "select 1") == 1
    except psycopg.OperationalError:
        return False


def read_line(client: subprocess.Popen[str]) -> str:
    assert client.stdout is not None
    return client.stdout.readline().strip()


def leave(client: subprocess.Popen[str]) -> None:
    client.communicate(timeout=30)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    code = tmp_path / "code"
    code.mkdir()
    (code / "plain.py").write_text(PREPARE)
    house = House(tmp_path / "data", code)
    yield house
    for pid in house.supervisors():
        os.kill(pid, signal.SIGTERM)
    assert eventually(house.is_empty)
    if house.root.exists():
        shutil.rmtree(short_directory(house.root))  # what a supervisor that was killed leaves in /tmp


def test_cold_shared_warm_and_gone(house: House) -> None:
    with_steps: list[str] = []
    first = attach_sync(
        house.root, prepare="plain:prepare", environment=house.environment, on_step=with_steps.append
    )
    second = house.attach()
    assert with_steps[-2:] == ["starting the database", "preparing the schema"]
    assert len(house.supervisors()) == 1
    ask(first.database_url, "create table kept as select 42 as answer")
    first.close()
    assert first.lost
    assert not second.lost
    assert answers(second.database_url)
    second.close()
    assert house.is_empty()
    third = house.attach()
    assert ask(third.database_url, "select answer from kept") == 42
    third.close()
    assert house.is_empty()


def test_the_real_thing_from_a_coroutine(tmp_path: Path) -> None:
    root = tmp_path / "data"
    here = asyncio.run(attach(root))
    assert ask(here.database_url, "select current_user::text") == "misir_login"
    assert ask(here.service_url, "select current_user::text") == "misir_worker"
    assert ask(here.migrate_url, "select count(*) from pg_roles where rolsuper") == 1
    here.close()


def test_six_processes_attach_to_a_cold_directory(house: House) -> None:
    clients = [house.client() for _ in range(6)]
    urls = {read_line(client) for client in clients}
    assert len(urls) == 1
    assert answers(urls.pop())
    assert len(house.supervisors()) == 1
    assert (house.root / "postgres.log").read_text().count("starting PostgreSQL") == 1
    for client in clients:
        leave(client)
    assert house.is_empty()


def test_coming_while_the_last_one_leaves(house: House) -> None:
    for _ in range(4):
        client = house.client()
        assert read_line(client)
        assert client.stdin is not None
        client.stdin.close()  # it says bye while we come in
        here = house.attach()
        assert answers(here.database_url)
        client.wait(30)
        assert client.stdout is not None
        client.stdout.close()
        here.close()


def test_kill_9_of_the_only_client_ends_everything(house: House) -> None:
    client = house.client()
    assert read_line(client)
    client.kill()
    leave(client)
    assert eventually(house.is_empty)


def test_kill_9_of_one_client_leaves_the_others_alone(house: House) -> None:
    here = house.attach()
    client = house.client()
    assert read_line(client)
    client.kill()
    leave(client)
    time.sleep(2.5)  # longer than a supervisor without clients would stay
    assert not here.lost
    assert answers(here.database_url)
    here.close()


def test_kill_9_of_the_supervisor(house: House) -> None:
    here = house.attach()
    ask(here.database_url, "create table kept as select 42 as answer")
    os.kill(house.supervisors().pop(), signal.SIGKILL)
    assert eventually(lambda: here.lost)
    again = here.reattach()
    here.close()
    assert ask(again.database_url, "select answer from kept") == 42
    assert again.database_url == here.database_url
    os.kill(house.supervisors().pop(), signal.SIGKILL)
    assert eventually(lambda: not house.servers())
    again.close()


def test_sigterm_stops_everything_cleanly(house: House) -> None:
    here = house.attach()
    os.kill(house.supervisors().pop(), signal.SIGTERM)
    assert eventually(house.is_empty)
    assert here.lost
    assert "database system is shut down" in (house.root / "postgres.log").read_text()
    here.close()


def test_kill_9_of_postgres_under_a_living_supervisor(house: House) -> None:
    here = house.attach()
    ask(here.database_url, "create table kept as select 42 as answer")
    os.kill(house.postmaster(), signal.SIGKILL)
    assert eventually(lambda: "PostgreSQL is back" in (house.root / "supervisor.log").read_text())
    assert ask(here.database_url, "select answer from kept") == 42
    assert not here.lost
    here.close()


def test_a_very_long_path(house: House) -> None:
    house.root = house.root / ("long and winding " * 6).strip() / ("road" * 20)
    here = house.attach()
    assert answers(here.database_url)
    here.close()
    assert house.is_empty()


def test_what_went_wrong_reaches_the_client(house: House) -> None:
    with pytest.raises(MisirError, match="The moon is in the wrong house: wait") as refusal:
        house.attach("plain:refuse")
    assert refusal.value.slug == "database-unavailable"
    with pytest.raises(MisirError, match=r"broke down: see .*supervisor\.log"):
        house.attach("plain:crash")
    with pytest.raises(MisirError, match=r"did not start: see .*supervisor\.log"):
        house.attach("no_such_module:prepare")
    here = house.attach()  # and once the cause is gone, all is well
    assert answers(here.database_url)
    here.close()


def test_a_place_nobody_can_write_to() -> None:
    with pytest.raises(MisirError, match="Misir cannot write in /proc/misir"):
        attach_sync(Path("/proc/misir"))
