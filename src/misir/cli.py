"""`misir`: the same functions as behind the routes, called by hand.

Exit codes: 0 done; 1 refused or failed, with one sentence on stderr; 2 wrong usage.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup

from misir.errors import MisirError
from misir.shell import epilog

COMMANDS: Final = {
    "serve": "misir.serve",
    "capture": "misir.capture.command",
    "search": "misir.search.command",
    "spaces": "misir.spaces.command",
    "import": "misir.imports.command",
    "export": "misir.exports.command",
    "demo": "misir.demo",
    "worker": "misir.jobs.command",
    "migrate": "misir.migrate_command",
    "reembed": "misir.reembed.command",
    "replay": "misir.spaces.replay_command",
    "calibrate": "misir.calibrate",
    "check": "misir.check.command",
    "bench": "misir.quality.report",
}
"""Where each is: <name>_command with its EXAMPLES, or <name>_app with commands of its own. A module is
imported when its command is asked for: all of them take seconds.
"""


class Commands(TyperGroup):
    """The commands, imported one by one."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - as click calls it
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - as click calls it
        return _imported(cmd_name) if cmd_name in COMMANDS else None


def _imported(name: str) -> Any:
    module = import_module(COMMANDS[name])
    own: typer.Typer | None = getattr(module, f"{name}_app", None)
    if own is None:
        own = typer.Typer(rich_markup_mode="rich", add_completion=False, pretty_exceptions_enable=False)
        own.command(name, epilog=epilog(*module.EXAMPLES))(getattr(module, f"{name}_command"))
    command = typer.main.get_command(own)
    command.name = name
    return command


app = typer.Typer(
    cls=Commands,
    epilog=epilog("misir serve --local", 'misir search "waiting for several tasks"'),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback()
def misir() -> None:
    """Misir captures what you read, places it by meaning, and finds it again by meaning."""


def main() -> None:
    """The entry point: a refusal becomes one sentence and exit code 1."""
    try:
        app()
    except MisirError as error:
        sys.exit(f"misir: {error.detail}")
