"""The npm package `standardwebhooks` as a second judge: what Misir signs, receivers in JavaScript accept, and nothing else.

`make test` installs it into .venv/node where there is npm; NODE_PATH names another place.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("verify.js")
FOLDERS = [ROOT / ".venv" / "node" / "node_modules", *map(Path, filter(None, [os.environ.get("NODE_PATH")]))]
HOME = next((folder for folder in FOLDERS if (folder / "standardwebhooks").is_dir()), None)

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js on this machine"),
    pytest.mark.skipif(
        HOME is None, reason="the npm package standardwebhooks is in none of .venv/node, NODE_PATH"
    ),
]


def verdicts(asked: list[tuple[str, dict[str, str], bytes]]) -> list[dict[str, str]]:
    """{"id": …} of what is accepted, {"refused": …} of the rest."""
    requests = [
        {"secret": secret, "headers": headers, "body": body.decode()} for secret, headers, body in asked
    ]
    node = subprocess.run(
        ["node", str(SCRIPT)],
        input=json.dumps(requests).encode(),
        capture_output=True,
        check=True,
        env={**os.environ, "NODE_PATH": str(HOME)},
    )
    return list(json.loads(node.stdout))


def test_javascript_accepts_every_delivery_and_nothing_that_was_changed(house: Any, space: int) -> None:
    endpoints = [house.listen() for _ in range(3)]
    rotated, secrets = endpoints[0], {one["path"]: [one["secret"]] for one in endpoints}
    pages = [
        {"space_id": space, "url": f"https://x.example/{n}", "title": title}
        for n, title in enumerate(("sea", "wood", "Straße 🌊 \u2028 „quoted“", 'back\\slash "and" </script>'))
    ]
    house.ask("POST", "/artifacts/batch", json={"artifacts": pages[:2]})
    house.work()
    new = house.ask("POST", f"/webhooks/{rotated['id']}/rotate")["secret"]
    n_before = len(house.receiver.of(rotated["path"]))
    for page in pages[2:]:
        house.ask("POST", "/capture", json=page)
    house.work()
    heard = {path: house.receiver.of(path) for path in secrets}
    asked = [(secrets[path][0], one.headers, one.body) for path, ones in heard.items() for one in ones]
    asked += [(new, one.headers, one.body) for one in heard[rotated["path"]][n_before:]]
    assert len(asked) >= 3 * 4 + 2
    assert verdicts(asked) == [{"id": headers["webhook-id"]} for _, headers, _ in asked]

    secret, headers, body = asked[-1]
    later = {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}
    changed = [
        (secret, headers, body.replace(b"artifact", b"artefact", 1)),
        (secret, headers, body + b" "),
        (secret, later, body),
        (secret, {**headers, "webhook-id": "evt_other"}, body),
        (endpoints[1]["secret"], headers, body),
        (new, *asked[0][1:]),  # from before the rotation
    ]
    assert verdicts(changed) == [{"refused": "WebhookVerificationError"}] * len(changed)
