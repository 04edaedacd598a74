"""The files of deploy/, each checked with the program that will read it wherever that is installed."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from misir.plumbing.embedded_postgres import EmbeddedPostgres
from misir.plumbing.http import MAX_BODY_BYTES
from misir.plumbing.postgres_programs import find_programs
from misir.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PASSWORDS = ("POSTGRES", "MISIR_OWNER", "MISIR_LOGIN", "MISIR_WORKER", "REDIS")


def read(name: str) -> str:
    return (DEPLOY / name).read_text("utf-8")


def program(*names: str) -> str:
    """Where it is; without it the check is skipped, since a person who only runs the tests does not need it."""
    path = next(
        (found for name in names if (found := shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin"))),
        None,
    )
    if path is None:
        pytest.skip(f"{names[0]} is not installed here")
    return path


def test_every_file_is_named_in_the_deployment_document() -> None:
    text = (ROOT / "docs" / "deployment" / "README.md").read_text("utf-8")
    assert [path.name for path in DEPLOY.iterdir() if f"deploy/{path.name}" not in text] == []


# ---- compose -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load(read("compose.yaml")))


def test_every_container_is_closed(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"], name
        assert service["tmpfs"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name
        assert "latest" not in service["image"], name
        assert ":" in service["image"], name
    for name in ("db", "redis"):
        assert not service_of(compose, name).get("ports"), "only Misir is published"
        assert service_of(compose, name)["networks"] == ["inside"]
        assert service_of(compose, name)["healthcheck"]["test"]
        assert str(service_of(compose, name)["user"]).split(":")[0] not in {"0", "root"}
    assert compose["networks"]["inside"]["internal"]
    assert service_of(compose, "app")["ports"] == ["127.0.0.1:8000:8000"]


def service_of(compose: dict[str, Any], name: str) -> dict[str, Any]:
    return dict(compose["services"][name])


def test_what_compose_sets_are_settings_and_no_secret_is_written_down(compose: dict[str, Any]) -> None:
    for name in ("app", "migrate"):
        environment = service_of(compose, name)["environment"]
        assert set(environment) <= set(Settings.model_fields)
        assert service_of(compose, name)["env_file"] == "../.env.production"
    assert service_of(compose, "app")["environment"]["DATABASE_MIGRATE_URL"] == ""
    for secret in re.findall(r"(?:://[^:/@\s]*:|PASSWORD: )([^@\s]+)", read("compose.yaml")):
        assert secret.startswith("${"), secret


def test_migrations_come_between_the_database_and_the_app(compose: dict[str, Any]) -> None:
    assert service_of(compose, "migrate")["command"] == ["misir", "migrate"]
    assert service_of(compose, "migrate")["depends_on"]["db"]["condition"] == "service_healthy"
    after = service_of(compose, "app")["depends_on"]["migrate"]["condition"]
    assert after == "service_completed_successfully"


def test_the_client_of_compose_reads_it(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    shutil.copy(ROOT / ".env.production", tmp_path)
    file = tmp_path / "deploy" / "compose.yaml"
    (file.parent / ".env").write_text("".join(f"{name}_PASSWORD=0123abcd\n" for name in PASSWORDS))
    done = subprocess.run(
        [*_compose_client(file), "-f", str(file), "config"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    environment = yaml.safe_load(done.stdout)["services"]["app"]["environment"]
    assert environment["DATABASE_URL"] == "postgresql://misir_login:0123abcd@db:5432/misir"
    assert environment["CORS_ORIGINS"] == "https://your-app.com,https://api.your-app.com"
    assert environment["APP_ENV"] == "production"


def _compose_client(file: Path) -> list[str]:
    docker = shutil.which("docker")
    if (
        docker
        and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0
    ):
        return [docker, "compose"]
    first_generation = program("docker-compose")
    file.write_text(file.read_text().replace("name: misir\n", ""))  # the one line it does not know
    return [first_generation]


# ---- the image -----------------------------------------------------------------------------------


def test_the_image_is_pinned_and_runs_as_nobody_in_particular() -> None:
    text = read("Dockerfile")
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert len(bases) == 2
    assert all(re.fullmatch(r"python:3\.11\.\d+-slim-\w+", base) for base in bases)
    assert text.index("USER 10001:10001") < text.index("HEALTHCHECK") < text.index('CMD ["gunicorn"')
    assert "requirements.lock" in text
    copied = [
        word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE) for word in line.split()
    ]
    assert [name for name in copied if not (ROOT / name).exists()] == []
    allowed = re.findall(r"^!(\S+)", read("Dockerfile.dockerignore"), re.MULTILINE)
    assert sorted(copied) == sorted(allowed)


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_images_health_check_tells_health_from_sickness(status: int, code: int) -> None:
    """Its very command, at another port; nothing in the image can run curl."""
    (line,) = re.findall(r"^HEALTHCHECK .*\\\n +CMD (\[.+\])$", read("Dockerfile"), re.MULTILINE)
    with answering(status) as (url, _):
        port = url.rpartition(":")[2]
        _, *arguments = json.loads(line.replace("8000", port))
        assert subprocess.run([sys.executable, *arguments], check=False, timeout=20).returncode == code


def test_the_health_check_fails_where_nobody_listens() -> None:
    (line,) = re.findall(r"^HEALTHCHECK .*\\\n +CMD (\[.+\])$", read("Dockerfile"), re.MULTILINE)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        _, *arguments = json.loads(line.replace("8000", str(nobody.getsockname()[1])))
        assert subprocess.run(
            [sys.executable, *arguments], check=False, capture_output=True, timeout=20
        ).returncode


def test_the_images_server_command_is_one_gunicorn_understands() -> None:
    (line,) = re.findall(r"^CMD (\[.+\])$", read("Dockerfile"), re.MULTILINE)
    _check_gunicorn(json.loads(line)[1:])


def _check_gunicorn(arguments: list[str]) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("gunicorn"), *arguments, "--print-config"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": os.environ["PATH"], "WEB_CONCURRENCY": "4"},
    )
    assert done.returncode == 0, done.stderr
    shown = dict(re.findall(r"^(\w+) += (.*)$", done.stdout, re.MULTILINE))
    assert shown["workers"] == "4"
    assert "UvicornWorker" in shown["worker_class"]


# ---- the three logins ----------------------------------------------------------------------------


@pytest.fixture
def bare_server() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL that has never seen Misir: roles belong to the whole server."""
    root = Path(tempfile.mkdtemp(prefix="misir-roles-"))
    root.chmod(0o755)
    postgres = EmbeddedPostgres(root, throwaway=True)
    postgres.start()
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as conn:
        conn.execute("create database misir")
    yield postgres
    postgres.stop()
    shutil.rmtree(root, ignore_errors=True)


def run(*command: str | Path, **environment: str) -> None:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin", **environment},
    )
    assert done.returncode == 0, done.stderr


def test_the_logins_are_made_and_the_owner_can_migrate(bare_server: EmbeddedPostgres, tmp_path: Path) -> None:
    psql = find_programs(bare_server.cluster).install / "bin" / "psql"
    passwords = {f"{name}_PASSWORD": "it's secret" for name in PASSWORDS}
    run(psql, "-X", bare_server.url("misir"), "-f", DEPLOY / "roles.sql", **passwords)
    logins = {"URL": "misir_login", "SERVICE_URL": "misir_worker", "MIGRATE_URL": "misir_owner"}
    urls = {f"DATABASE_{name}": bare_server.url("misir", login) for name, login in logins.items()}
    run(Path(sys.executable).with_name("misir"), "migrate", "--json", HOME=str(tmp_path), **urls)
    with psycopg.connect(bare_server.url("misir")) as conn:
        made = conn.execute(
            "select rolname, rolsuper, rolbypassrls, rolcreaterole, left(rolpassword, 5) = 'SCRAM' "
            "from pg_authid where rolname = any(%s) order by 1",
            [list(logins.values())],
        ).fetchall()
    assert made == [
        ("misir_login", False, False, False, True),
        ("misir_owner", False, True, True, True),
        ("misir_worker", False, False, False, True),
    ]
    for name, role in (("URL", "misir_app"), ("SERVICE_URL", "misir_service")):
        with psycopg.connect(urls[f"DATABASE_{name}"]) as conn:
            conn.execute("select set_config('role', %s, true)", [role])
            assert conn.execute("select count(*) from misir.space").fetchone() == (0,)


# ---- nginx ---------------------------------------------------------------------------------------


class Echo(BaseHTTPRequestHandler):
    """Answers with the headers it was sent."""

    status = 200

    def do_GET(self) -> None:
        body = json.dumps([[name.lower(), value] for name, value in self.headers.items()]).encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        pass


class answering:  # noqa: N801 - read as a verb where it is used
    """An Echo server with this status, as (url, server)."""

    def __init__(self, status: int) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Echo", (Echo,), {"status": status}))

    def __enter__(self) -> tuple[str, ThreadingHTTPServer]:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}", self.server

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def write_certificate(directory: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "misir.example.com")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1)
    )
    names = x509.SubjectAlternativeName([x509.DNSName("misir.example.com")])
    signed = made.add_extension(names, critical=False).sign(key, hashes.SHA256())
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (directory / "fullchain.pem").write_bytes(signed.public_bytes(pem))
    (directory / "privkey.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))


def nginx_files(directory: Path, upstream: str, port: int, port_plain: int) -> Path:
    """The shipped site inside a whole configuration, at ports and paths of this test."""
    site = read("nginx.conf").replace("/etc/ssl/misir", str(directory)).replace("127.0.0.1:8000", upstream)
    site = re.sub(r"listen \[::\].*\n", "", site)
    site = site.replace("listen 443", f"listen 127.0.0.1:{port}").replace(
        "listen 80", f"listen 127.0.0.1:{port_plain}"
    )
    write_certificate(directory)
    paths = "".join(
        f"{kind}_temp_path {directory};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    whole = directory / "whole.conf"
    whole.write_text(
        f"daemon off; pid {directory}/pid; error_log stderr; {user} worker_processes 1; events {{}}\n"
        f"http {{ access_log off; {paths}\n{site}\n}}\n"
    )
    return whole


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Callable[..., httpx.Response]]:
    """The shipped nginx site in front of an Echo: `proxy(method, path, …)` is a request over TLS."""
    nginx = program("nginx")
    with (
        answering(200) as (upstream, _),
        socket.create_server(("127.0.0.1", 0)) as a,
        socket.create_server(("127.0.0.1", 0)) as b,
    ):
        ports = a.getsockname()[1], b.getsockname()[1]
        a.close()
        b.close()
        whole = nginx_files(tmp_path, upstream.removeprefix("http://"), *ports)
        tested = subprocess.run([nginx, "-t", "-c", whole], capture_output=True, text=True, check=False)
        assert tested.returncode == 0, tested.stderr
        assert "[warn]" not in tested.stderr, tested.stderr
        running = subprocess.Popen([nginx, "-c", whole], stderr=subprocess.DEVNULL)
        try:
            yield _asker(*ports)
        finally:
            running.terminate()
            running.wait(10)


def _asker(port: int, port_plain: int) -> Callable[..., httpx.Response]:
    def ask(method: str, path: str, *, tls: bool = True, **options: Any) -> httpx.Response:
        url = f"https://127.0.0.1:{port}{path}" if tls else f"http://127.0.0.1:{port_plain}{path}"
        headers = {"Host": "misir.example.com", **options.pop("headers", {})}
        with httpx.Client(verify=False, trust_env=False, timeout=20) as client:  # noqa: S501 - our own, a minute old
            return client.request(
                method, url, headers=headers, extensions={"sni_hostname": "misir.example.com"}, **options
            )

    for _ in range(100):
        with suppress(httpx.TransportError):
            ask("GET", "/")
            return ask
    raise AssertionError("nginx does not answer")


def test_nginx_tells_misir_what_it_saw_and_nothing_a_client_claims(
    proxy: Callable[..., httpx.Response],
) -> None:
    lies = {
        "Forwarded": "for=10.9.9.9",
        "X-Forwarded-For": "10.9.9.9",
        "X-Real-IP": "10.9.9.9",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "gopher",
        "X-Forwarded-Port": "1",
        "X-Forwarded-Prefix": "/evil",
    }
    sent = proxy("GET", "/", headers=lies).json()
    said = {name: value for name, value in sent if name in {*map(str.lower, lies), "host"}}
    assert said == {
        "host": "misir.example.com",
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "https",
        "x-real-ip": "127.0.0.1",
    }


def test_nginx_has_misirs_own_limit_for_bodies_and_sends_plain_http_away(
    proxy: Callable[..., httpx.Response],
) -> None:
    assert proxy("POST", "/", content=b"x" * MAX_BODY_BYTES).status_code == 200
    assert proxy("POST", "/", content=b"x" * (MAX_BODY_BYTES + 1)).status_code == 413
    moved = proxy("GET", "/a?b=c", tls=False)
    assert (moved.status_code, moved.headers["location"]) == (308, "https://misir.example.com/a?b=c")


# ---- systemd -------------------------------------------------------------------------------------

UNITS = ("misir.service", "misir-migrate.service")


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    """Their programs must exist for it, so they stand in a house of this test."""
    analyze = program("systemd-analyze")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in ("gunicorn", "misir"):
        (tmp_path / ".venv" / "bin" / name).symlink_to("/bin/true")
    (tmp_path / ".env.production").touch()
    units = [tmp_path / name for name in UNITS]
    for unit in units:
        unit.write_text(read(unit.name).replace("/srv/misir", str(tmp_path)))
    done = subprocess.run(
        [analyze, "verify", "--man=no", *units], capture_output=True, text=True, timeout=60, check=False
    )
    ours = [line for line in done.stderr.splitlines() if "misir" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


@pytest.mark.parametrize("name", UNITS)
def test_the_units_are_closed_and_read_the_template(name: str) -> None:
    pairs = re.findall(r"^(\w+)=(.*)$", read(name), re.MULTILINE)
    unit = dict(pairs)
    assert unit["EnvironmentFile"] == "/srv/misir/.env.production"
    assert unit["User"] == "misir"
    wanted = {
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "PrivateTmp": "yes",
        "CapabilityBoundingSet": "",
    }
    assert {key: unit.get(key) for key in wanted} == wanted


def test_systemds_server_command_is_one_gunicorn_understands() -> None:
    unit = dict(re.findall(r"^(\w+)=(.*)$", read("misir.service"), re.MULTILINE))
    assert unit["UnsetEnvironment"] == "DATABASE_MIGRATE_URL"
    _check_gunicorn(unit["ExecStart"].split()[1:])


# ---- measuring -----------------------------------------------------------------------------------


def test_prometheus_asks_misir_where_it_listens() -> None:
    (job,) = yaml.safe_load(read("prometheus.yml"))["scrape_configs"]
    assert job["metrics_path"] == "/metrics"
    assert job["static_configs"] == [{"targets": ["127.0.0.1:8000"]}]


def test_the_dashboard_shows_only_what_misir_measures() -> None:
    source = ROOT / "src" / "misir" / "plumbing" / "metrics.py"
    if not source.exists():
        pytest.skip("nothing is measured yet")
    made = re.findall(r'make\.(counter|histogram|gauge)\(\s*"(\w+)"', source.read_text("utf-8"))
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    known = {f"misir_{name}{suffix}" for kind, name in made for suffix in suffixes[kind]}
    board = json.loads(read("grafana-dashboard.json"))
    shown = {
        name
        for panel in board["panels"]
        for target in panel["targets"]
        for name in re.findall(r"misir_\w+", target["expr"])
    }
    assert len(shown) > 10
    assert shown <= known


def test_the_dashboards_panels_do_not_overlap() -> None:
    panels = json.loads(read("grafana-dashboard.json"))["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels) == len({panel["id"] for panel in panels})
    assert all(panel["title"] and panel["targets"] for panel in panels)
