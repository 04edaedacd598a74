"""Work beside a block: it ends with the block, and what broke it is not lost."""

from __future__ import annotations

import asyncio

import pytest

from misir.plumbing.beside import beside


def test_work_goes_on_beside_a_block_and_ends_with_it() -> None:
    steps: list[str] = []

    async def work() -> None:
        try:
            while True:
                steps.append("worked")
                await asyncio.sleep(0)
        finally:
            steps.append("ended")

    async def run() -> None:
        async with beside(work(), "work") as task:
            for _ in range(3):
                await asyncio.sleep(0)
            assert "worked" in steps
            assert "ended" not in steps
        assert steps[-1] == "ended"
        assert task.cancelled()

    asyncio.run(run())


def test_what_broke_the_work_is_raised_after_the_block() -> None:
    async def break_down() -> None:
        raise LookupError("no such job")

    async def run() -> None:
        async with beside(break_down(), "work") as task:
            await asyncio.wait((task,))

    with pytest.raises(LookupError, match="no such job"):
        asyncio.run(run())
