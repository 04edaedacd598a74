"""The OpenAPI document and the server agree, whatever is sent: checked by schemathesis over real HTTP."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx

EXAMPLES = int(os.environ.get("MISIR_CONTRACT_EXAMPLES", "8"))
"""Random examples per operation; 60 make more than 5,000 cases."""

NOT_SAID_BY_SCHEMAS = (
    # JSON Schema cannot say "a cursor this list gave out", "no two of these alike", "one of these three".
    "positive_data_acceptance",
    # PATCH /artifacts/capture reads "capture" as an id and answers 422, not 405.
    "unsupported_method",
)


# 413 refuses data as well as 422 does; the tool's own list lacks it.
CONFIG = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429]
"""

SERVICE_KEY = "a-service-key-for-the-admin-routes"


def test_no_request_breaks_the_contract(
    run_app: Callable[..., httpx.Client], server_url: Callable[..., str], database: str, tmp_path: Path
) -> None:
    api = run_app(
        SUPABASE_SERVICE_KEY=SERVICE_KEY,
        DATABASE_SERVICE_URL=server_url(database, "misir_worker"),
        MISIR_SECRET_KEY="a-key-of-the-tests-that-seals-secrets",
    )
    space = api.post(
        "/api/v1/spaces", json={"name": "Python", "subspaces": [{"name": "Data", "markers": ["csv"]}]}
    )
    api.post(
        "/api/v1/capture", json={"space_id": space.json()["id"], "url": "https://a.example", "title": "csv"}
    )
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    program = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    assert program is not None
    done = subprocess.run(
        [program, "run", str(api.base_url.join("/api/v1/openapi.json")), "--checks", "all", "--exclude-checks", ",".join(NOT_SAID_BY_SCHEMAS),
         "--phases", "examples,coverage,fuzzing,stateful", "--max-examples", str(EXAMPLES), "--seed", "1", "--continue-on-failure", "--no-color",
         "--header", f"Authorization: Bearer {SERVICE_KEY}"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300 + 40 * EXAMPLES,
    )  # fmt: skip
    assert done.returncode == 0, _told(done.stdout)
    cases = re.search(r"(\d+) generated", done.stdout)
    assert cases is not None
    sys.stdout.write(f"{cases[1]} cases, no failure\n")
    assert int(cases[1]) >= 1000


def _told(output: str) -> str:
    """The failures themselves; the requests that reproduce them may be megabytes long."""
    return "\n".join(line[:400] for line in output.splitlines())[-8000:]
