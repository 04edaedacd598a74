""".env.production means the same, however it is loaded."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from misir.settings import Settings

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / ".env.production"
LINES = TEMPLATE.read_text().splitlines()

# The founding document's variables, in its order; PROJECT_NAME has spaces and stays at its default.
DOCUMENT = [
    "VERSION",
    "LOG_LEVEL",
    "SUPABASE_URL",
    "SUPABASE_KEY",
    "SUPABASE_SERVICE_KEY",
    "MOCK_AUTH",
    "RATE_LIMIT_STORAGE",
    "REDIS_URL",
    "CORS_ORIGINS",
    "EMBEDDING_MODEL",
]
BEYOND = ["APP_ENV", "TRUSTED_PROXIES", "DATABASE_URL", "DATABASE_SERVICE_URL", "DATABASE_MIGRATE_URL"]

PROBE = "from misir.settings import Settings\nprint(Settings(_env_file={file!r}).model_dump_json())\n"
LOADS = {
    "bash": ("bash", "export $(cat .env.production | xargs); python probe.py"),
    "dash": ("dash", "export $(cat .env.production | xargs); python probe.py"),
    "set -a in bash": ("bash", "set -a; . ./.env.production; set +a; python probe.py"),
    "set -a in dash": ("dash", "set -a; . ./.env.production; set +a; python probe.py"),
    "uvicorn --env-file": ("dash", "uvicorn --env-file .env.production probe:app"),
    "the settings loader": ("dash", "python loader.py"),
    ".env": ("dash", "cp .env.production .env; python from_dot_env.py"),
}  # fmt: skip


NAMES = [line.partition("=")[0] for line in LINES]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment of this test run sets must not count."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name, raising=False)


def test_it_has_the_documents_variables_in_its_order_and_then_ours() -> None:
    assert [*DOCUMENT, *BEYOND] == NAMES
    assert set(NAMES) <= set(Settings.model_fields)
    assert Settings.model_fields["PROJECT_NAME"].default == "Misir Orientation Engine"


@pytest.mark.parametrize("line", LINES)
def test_nothing_in_a_value_means_something_to_a_shell(line: str) -> None:
    assert re.fullmatch(r"[A-Z_]+=[A-Za-z0-9:/@.,_?=-]+", line)


def test_its_values_are_the_documents() -> None:
    settings = Settings(_env_file=TEMPLATE)
    assert not settings.MOCK_AUTH
    assert settings.CORS_ORIGINS == ("https://your-app.com", "https://api.your-app.com")
    assert settings.REDIS_URL == "redis://:password@your-redis-host:6379/0"
    assert (settings.LOG_LEVEL, settings.RATE_LIMIT_STORAGE) == ("WARNING", "redis")
    assert (settings.EMBEDDING_MODEL, settings.APP_ENV) == ("nomic-ai/nomic-embed-text-v1.5", "production")


def load(shell: str, line: str, directory: Path) -> dict[str, object]:
    """The whole Settings object as a process sees it that was started so."""
    (directory / ".env.production").write_text(TEMPLATE.read_text())
    # uvicorn imports probe:app in a process that has loaded the file: printing is all it is to do there.
    (directory / "probe.py").write_text(PROBE.format(file=None) + "raise SystemExit(0)\n")
    (directory / "loader.py").write_text(PROBE.format(file=".env.production"))
    (directory / "from_dot_env.py").write_text(PROBE.format(file=".env"))
    venv = Path(sys.executable).parent
    done = subprocess.run(
        [shell, "-c", line],
        cwd=directory,
        env={"PATH": f"{venv}:/usr/bin:/bin", "HOME": str(directory), "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("way", LOADS)
def test_every_way_of_loading_it_gives_the_same_settings(way: str, tmp_path: Path) -> None:
    shell, line = LOADS[way]
    expected = Settings(_env_file=TEMPLATE).model_dump_json()
    assert load(shell, line, tmp_path) == json.loads(expected)
