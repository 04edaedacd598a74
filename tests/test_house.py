"""The house rules that a machine can check."""

from __future__ import annotations

import ast
import statistics
from importlib.resources import files
from pathlib import Path

SOURCE = Path(str(files("misir")))
MODULES = sorted(SOURCE.rglob("*.py"))
BROAD_EXCEPT = {"plumbing/http.py", "jobs/worker.py"}


def functions() -> list[tuple[str, int]]:
    return [
        (f"{path.relative_to(SOURCE)}:{node.name}", (node.end_lineno or 0) - node.lineno + 1)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def test_functions_are_short() -> None:
    lengths = [length for _, length in functions()]
    assert [name for name, length in functions() if length > 60] == []
    assert statistics.median(lengths) <= 10


def test_modules_are_short() -> None:
    assert [str(path) for path in MODULES if len(path.read_text("utf-8").splitlines()) > 400] == []


def test_broad_except_is_where_it_is_allowed() -> None:
    found = {
        str(path.relative_to(SOURCE))
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ExceptHandler)
        and (
            node.type is None
            or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"})
        )
    }
    assert found <= BROAD_EXCEPT


def test_nothing_is_called_what_it_does_not_say() -> None:
    vague = ("Manager", "Service", "Handler", "Repository", "Utils", "Helper")
    names = [
        node.name
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef) and node.name.endswith(vague)
    ]
    assert names == []
    assert [path for path in MODULES if path.stem in {"utils", "helpers", "common", "misc"}] == []
