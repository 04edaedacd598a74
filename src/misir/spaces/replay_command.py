"""`misir replay`: every topic from the log again; `--check` compares, `--config` shows what would change."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.progress import Progress

from misir.errors import MisirError, unavailable
from misir.locally import find_space, run
from misir.resources import Resources
from misir.shell import AsJson, DataDir, InSpace, User, now, out, print_json, print_table, steps
from misir.spaces.drift import judge_drift
from misir.spaces.redecide import Redecided, apply_redecided, read_numbers, redecide_space
from misir.spaces.replay import Replayed, check_space, count_lessons, list_space_ids, replay_space

EXAMPLES: Final = (
    "misir replay --check",
    "misir replay --space Python",
    "misir replay --config engine.json",
    "misir replay --config engine.json --apply",
)

MAX_SHOWN: Final = 20

OnStep = Callable[[int], None]


def replay_command(
    *,
    is_checking: Annotated[
        bool, typer.Option("--check", help="Compare and write nothing; exit code 1 where anything differs.")
    ] = False,
    space: InSpace = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help='Decide again with other numbers: JSON {"config": {…}, "calibration": {…}}.',
        ),
    ] = None,
    is_applying: Annotated[
        bool, typer.Option("--apply", help="With --config: make the change, and keep its numbers.")
    ] = False,
    user: User = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Compute every topic from the log again: signals and corrections, in their order.

    Without an option the result is stored; it is what is stored already, unless something went wrong.
    """
    if config is not None:
        _redecide(config, space, user, data_dir, is_applying=is_applying, as_json=as_json)
        return

    async def work(res: Resources, me: uuid.UUID) -> list[Replayed]:
        space_ids = await list_space_ids(res, me) if space is None else [await find_space(res, me, space)]
        return [await _replay(res, me, one, is_checking=is_checking) for one in space_ids]

    _report(run(work, user, data_dir), is_checking=is_checking, as_json=as_json)


async def _replay(res: Resources, me: uuid.UUID, space_id: int, *, is_checking: bool) -> Replayed:
    """The drift jobs first, so that what is compared is complete."""
    if res.locate_service() is not None:
        await judge_drift(res, me, space_id, now())
    n_signals = await count_lessons(res, me, space_id)
    with Progress(console=steps, transient=True, disable=not steps.is_terminal) as bar:
        task = bar.add_task(f"Space {space_id}", total=n_signals)

        def on_step(n: int) -> None:
            bar.advance(task, n)

        if is_checking:
            return await check_space(res, me, space_id, on_step)
        return await replay_space(res, me, space_id, now(), on_step)


def _report(replayed: list[Replayed], *, is_checking: bool, as_json: bool) -> None:
    differences = [(one.space_id, difference) for one in replayed for difference in one.differences]
    if as_json:
        print_json([_document(one) for one in replayed])
    else:
        rows: list[list[Any]] = [
            [one.space_id, len(one.topics), one.n_signals, len(one.differences)] for one in replayed
        ]
        print_table(["space", "topics", "signals", "differences"], rows)
        shown: list[list[Any]] = [
            [space_id, f"{d.what} {d.id}", d.name, f"{d.stored:.6g}", f"{d.replayed:.6g}"]
            for space_id, d in differences[:MAX_SHOWN]
        ]
        if shown:
            print_table(["space", "of", "number", "stored", "from the log"], shown)
    if is_checking and differences:
        raise MisirError(
            409,
            "differs",
            f"{len(differences)} numbers are not what the log says: `misir replay` stores them anew.",
        )


def _document(replayed: Replayed) -> dict[str, Any]:
    return {
        "space_id": replayed.space_id,
        "topics": len(replayed.topics),
        "signals": replayed.n_signals,
        "differences": [asdict(one) for one in replayed.differences],
    }


def _redecide(
    file: Path,
    space: str | None,
    user: uuid.UUID | None,
    data_dir: Path | None,
    *,
    is_applying: bool,
    as_json: bool,
) -> None:
    """What other numbers would have decided; with --apply, they do."""

    async def work(res: Resources, me: uuid.UUID) -> list[Redecided]:
        numbers = read_numbers(file, res.config, res.embedder.calibration)
        space_ids = await list_space_ids(res, me) if space is None else [await find_space(res, me, space)]
        found = [await redecide_space(res, me, one, numbers) for one in space_ids]
        if is_applying:
            if res.locate_service() is None:
                raise unavailable("--apply needs DATABASE_SERVICE_URL: the numbers are the deployment's.")
            await apply_redecided(res, me, found, numbers, now())
        return found

    _show(run(work, user, data_dir), is_applying=is_applying, as_json=as_json)


def _show(found: list[Redecided], *, is_applying: bool, as_json: bool) -> None:
    if as_json:
        print_json([asdict(one) for one in found])
        return
    rows: list[list[Any]] = [
        [
            one.space_id,
            one.n_decisions,
            one.n_changed,
            one.n_assigned,
            one.n_unassigned,
            f"{one.largest_turn:.1f}°",
        ]
        for one in found
    ]
    headings = ["space", "decisions", "other topic", "assigned now", "unassigned now", "largest turn"]
    print_table(headings, rows)
    moves: list[list[Any]] = [
        [move.artifact_id, (move.title or "")[:50], move.from_name or "none", move.to_name or "none"]
        for one in found
        for move in one.moves
    ]
    if moves:
        print_table(["artifact", "title", "from", "to"], moves[:MAX_SHOWN])
    out.print("Applied." if is_applying else "Nothing was written: add --apply to make the change.")
