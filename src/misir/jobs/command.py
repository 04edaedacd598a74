"""`misir worker`: jobs in a process of their own, or until nothing is left of them."""

from __future__ import annotations

import asyncio
import signal
import uuid
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from misir.jobs.worker import drain, require_service, work_on
from misir.locally import run
from misir.plumbing.beside import beside
from misir.plumbing.memory import keep_memory_low
from misir.resources import Resources
from misir.shell import DataDir, out, steps

EXAMPLES: Final = ("misir worker", "misir worker --drain")


def worker_command(
    *,
    is_draining: Annotated[bool, typer.Option("--drain", help="Do what is due, then end.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Do what captures leave behind: drift, consolidation, names and sleep of topics.

    A server does this itself unless JOBS=off; several workers share the work.
    """

    async def work(res: Resources, _: uuid.UUID) -> int | None:
        require_service(res)
        if is_draining:
            with steps.status("Working …"):
                return await drain(res, datetime.now(UTC))
        steps.print("Working. Ctrl-C ends it.")
        await _until_stopped(res)
        return None

    keep_memory_low()
    n_done = run(work, None, data_dir)
    out.print("Stopped." if n_done is None else f"Nothing is due any more: {n_done} jobs were done.")


async def _until_stopped(res: Resources) -> None:
    """A job that is being done when the signal comes is left to whoever leases it next."""
    stopped = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, stopped.set)
    async with beside(work_on(res), "worker") as working, beside(stopped.wait(), "stopped") as ended:
        await asyncio.wait((working, ended), return_when=asyncio.FIRST_COMPLETED)
