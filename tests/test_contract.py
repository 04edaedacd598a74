"""The OpenAPI document and the server agree, whatever is sent: checked by schemathesis over real HTTP."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx

EXAMPLES = os.environ.get("MISIR_CONTRACT_EXAMPLES", "8")
"""Random examples per operation; 60 make more than 5,000 cases."""

NOT_SAID_BY_SCHEMAS = (
    # JSON Schema cannot say "a cursor this list gave out", "no two of these alike", "one of these three".
    "positive_data_acceptance",
    # PATCH /artifacts/capture reads "capture" as an id and answers 422, not 405.
    "unsupported_method",
)


def test_no_request_breaks_the_contract(api: httpx.Client, tmp_path: Path) -> None:
    space = api.post(
        "/api/v1/spaces", json={"name": "Python", "subspaces": [{"name": "Data", "markers": ["csv"]}]}
    )
    api.post(
        "/api/v1/capture", json={"space_id": space.json()["id"], "url": "https://a.example", "title": "csv"}
    )
    program = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    assert program is not None
    done = subprocess.run(
        [program, "run", str(api.base_url.join("/api/v1/openapi.json")), "--checks", "all", "--exclude-checks", ",".join(NOT_SAID_BY_SCHEMAS),
         "--phases", "examples,coverage,fuzzing,stateful", "--max-examples", EXAMPLES, "--seed", "1", "--continue-on-failure", "--no-color"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:]
    cases = re.search(r"(\d+) generated", done.stdout)
    assert cases is not None
    assert int(cases[1]) >= 1000
