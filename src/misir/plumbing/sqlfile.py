"""SQL lives in files of named statements; this reads them.

A file is a run of statements, each opened by `-- name: verb_noun`; comment lines below the name say why.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"^-- name: *([a-z_][a-z0-9_]*) *$", re.MULTILINE)


class Statements:
    """The statements of one file as attributes: `SQL.lock_space_for_update` is bytes for `execute`."""

    def __init__(self, source: str, text: str) -> None:
        _, *parts = _NAME.split(text)
        self.source = source
        self.by_name = {
            name: body.strip().encode() for name, body in zip(parts[::2], parts[1::2], strict=True)
        }

    def __getattr__(self, name: str) -> bytes:
        try:
            return self.by_name[name]
        except KeyError:
            raise AttributeError(f"{self.source} has no statement named {name}") from None


@cache
def load_statements(package: str, filename: str) -> Statements:
    return Statements(f"{package}/{filename}", files(package).joinpath(filename).read_text("utf-8"))
