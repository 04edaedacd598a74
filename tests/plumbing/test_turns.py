from __future__ import annotations

import asyncio

import pytest

from misir.errors import MisirError
from misir.plumbing.turns import Turns


def test_who_comes_first_goes_first_and_other_keys_do_not_wait() -> None:
    async def run() -> list[str]:
        turns, order = Turns(), list[str]()

        async def write(name: str, key: int) -> None:
            async with turns.of(key):
                order.append(f"{name} begins")
                await asyncio.sleep(0.01)
                order.append(f"{name} ends")

        await asyncio.gather(write("a", 1), write("b", 1), write("c", 2))
        return order

    order = asyncio.run(run())
    assert [one for one in order if one[0] in "ab"] == ["a begins", "a ends", "b begins", "b ends"]
    assert order.index("c begins") < order.index("a ends")


def test_who_waits_too_long_is_told_to_come_back_and_the_line_goes_on() -> None:
    async def run() -> None:
        turns = Turns(wait_s=0.02)
        async with turns.of(1):
            with pytest.raises(MisirError) as refused:
                async with turns.of(1):
                    pass
        assert refused.value.status == 503
        assert refused.value.headers["Retry-After"] == "2"
        async with turns.of(1):
            pass

    asyncio.run(run())
