"""A process that is started when somebody first asks for it, and kept up for as long as its owner lives."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 30.0
STABLE_AFTER_S = 60.0
LEAVE_WITHIN_S = 5.0

log = logging.getLogger("misir.supervisor")


class Child:
    """Its standard input is a pipe of ours: it ends when we do, however we do. Its output goes to our log."""

    def __init__(self, *command: str) -> None:
        self._command = command
        self._keeping: asyncio.Task[None] | None = None

    def want(self) -> None:
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeping

    async def _keep(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            started = time.monotonic()
            process = await asyncio.create_subprocess_exec(*self._command, stdin=asyncio.subprocess.PIPE)
            try:
                code = await process.wait()
            except asyncio.CancelledError:
                await _end(process)
                raise
            is_stable = time.monotonic() - started > STABLE_AFTER_S
            pause_s = FIRST_PAUSE_S if is_stable else min(2 * pause_s, LONGEST_PAUSE_S)
            log.error("%s ended (%s): starting it again in %.1f s", self._command[2], code, pause_s)
            await asyncio.sleep(pause_s)


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), LEAVE_WITHIN_S)
    except TimeoutError:
        process.kill()
        await process.wait()
