"""Who is served when, with a backend that waits at a gate: no clock, no chance."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import Any

import numpy as np
import pytest

from misir.embed.batcher import Batcher
from misir.embed.embedder import Embedder
from misir.embed.loaded import LazyBackend
from misir.embed.models import MINILM, model_unavailable
from misir.embed.text import plan_runs
from misir.errors import MisirError


class GatedBackend:
    """A window is a text's words. While the gate is shut, runs begin and wait."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Semaphore(0)
        self.runs: list[list[str]] = []
        self.longest_read = 0
        self.failure: Exception | None = None
        self._lock = threading.Lock()
        self._n_reading_long = 0

    def split(self, text: str, _prefix: str, _most: int) -> tuple[list[list[str]], float]:
        if len(text) > 200_000:
            with self._lock:
                self._n_reading_long += 1
                self.longest_read = max(self.longest_read, self._n_reading_long)
            self.begun.release()
            self.gate.wait(20)
            with self._lock:
                self._n_reading_long -= 1
        words = text.split()
        return [words[:100]], min(1.0, 100 / len(words))

    def plan(self, windows: list[list[str]]) -> list[list[int]]:
        return plan_runs([len(window) for window in windows], 40)

    def run(self, windows: list[list[str]]) -> np.ndarray:
        with self._lock:
            self.runs.append([" ".join(window) for window in windows])
        self.begun.release()
        assert self.gate.wait(20)
        if self.failure is not None:
            raise self.failure
        return np.stack([self.vector(" ".join(window)) for window in windows])

    def vector(self, text: str) -> np.ndarray:
        return np.random.default_rng(list(text.encode())).normal(size=384).astype(np.float32)

    def close(self) -> None:
        pass


class Counted:
    def __init__(self) -> None:
        self.runs: list[int] = []
        self.joined = 0
        self.dropped: list[str] = []
        self.tokens = 0

    def count_run(self, n_windows: int, _seconds: float) -> None:
        self.runs.append(n_windows)

    def count_joined(self, n: int) -> None:
        self.joined += n

    def count_dropped(self, reason: str) -> None:
        self.dropped.append(reason)

    def set_queue_tokens(self, tokens: int) -> None:
        self.tokens = tokens


class Bench:
    """A batcher with `threads` workers, and what it did."""

    def __init__(self, threads: int = 1, wait_s: float = 1e6) -> None:
        self.now = 0.0
        self.kept: dict[bytes, Any] = {}
        self.backend, self.counts = GatedBackend(), Counted()
        lazy = LazyBackend(MINILM, lambda: self.backend)
        lazy.ready()
        self.batcher = Batcher(
            MINILM,
            lazy,
            threads=threads,
            wait_s=wait_s,
            keep=self.kept.__setitem__,
            counts=self.counts,
            clock=lambda: self.now,
        )

    def ask(self, *texts: str, task: str = "document") -> Future[Any]:
        return self.batcher.submit({f"{task} {text}".encode(): text for text in texts}, task, 8)

    def busy(self, n: int = 1) -> list[Future[Any]]:
        """Shuts the gate, with every worker behind it."""
        self.backend.gate.clear()
        futures = [self.ask(f"blocker {i} " + "b " * 90) for i in range(n)]
        for _ in range(n):
            assert self.backend.begun.acquire(timeout=20)
        return futures


@pytest.fixture
def make_bench() -> Iterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def make(*args: Any, **kwargs: Any) -> Bench:
        benches.append(Bench(*args, **kwargs))
        return benches[-1]

    yield make
    for bench in benches:
        bench.backend.gate.set()
        bench.batcher.close()


def finish(bench: Bench, *futures: Future[Any]) -> None:
    bench.backend.gate.set()
    _, waiting = wait_for(futures, timeout=20)
    assert not waiting


def test_a_query_waits_for_one_run_and_not_for_a_batch(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    blockers = bench.busy()
    bulk = bench.ask(*(f"page {i} " + "w " * 80 for i in range(20)))
    query = bench.ask("where was it", task="query")
    finish(bench, *blockers, bulk, query)
    assert bench.backend.runs[1] == ["where was it"]  # right after the one that was running
    assert len(bench.backend.runs) == 22


def test_a_capture_takes_its_turn_between_the_runs_of_a_batch(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    blockers = bench.busy()
    bulk = bench.ask(*(f"page {i} " + "w " * 80 for i in range(20)))
    single = bench.ask("one page " + "z " * 60)
    finish(bench, *blockers, bulk, single)
    place = next(i for i, run in enumerate(bench.backend.runs) if run[0].startswith("one page"))
    assert place <= 3


def test_similar_lengths_of_several_requests_are_run_together(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    blockers = bench.busy()
    calls = [bench.ask(f"a b c d {i}", f"{'l ' * 30}{i}") for i in range(6)]
    finish(bench, *blockers, *calls)
    short = [run for run in bench.backend.runs[1:] if len(run[0].split()) == 5]
    assert [len(run) for run in short] == [6]  # all requests' short texts in one
    assert all(len(run) == 1 for run in bench.backend.runs[1:] if run not in short)
    for i, call in enumerate(calls):
        vector = call.result()[f"document a b c d {i}".encode()].vector
        assert np.linalg.norm(vector) == pytest.approx(1, abs=5e-4)
        expected = bench.backend.vector(f"a b c d {i}")
        assert vector @ expected / np.linalg.norm(expected) == pytest.approx(1, abs=1e-3)


def test_little_work_is_shared_among_idle_workers(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(threads=2)
    blockers = bench.busy(2)
    pair = bench.ask("a b c", "d e f")
    finish(bench, *blockers, pair)
    bench.backend.runs.clear()
    finish(bench, bench.ask("g h i", "j k l", "m n o", "p q r"))
    assert max(len(run) for run in bench.backend.runs) <= 2


def test_equal_texts_on_their_way_are_computed_once(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    blockers = bench.busy()
    first, second = bench.ask("same words", "other words"), bench.ask("same words")
    finish(bench, *blockers, first, second)
    assert sorted(text for run in bench.backend.runs for text in run).count("same words") == 1
    key = b"document same words"
    assert first.result()[key] is second.result()[key] is bench.kept[key]
    assert bench.counts.joined == 1


def test_who_joins_a_batch_does_not_wait_for_its_end(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    blockers = bench.busy()
    texts = [f"page {i} " + "w " * (50 + i) for i in range(20)]
    bulk, joined = bench.ask(*texts), bench.ask(texts[-1])
    finish(bench, *blockers, bulk, joined)
    assert next(i for i, run in enumerate(bench.backend.runs) if run == [texts[-1].strip()]) <= 2


def test_what_nobody_waits_for_is_not_computed(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    blockers = bench.busy()
    gone, stays = bench.ask("left alone", "shared text"), bench.ask("shared text")
    assert gone.cancel()
    finish(bench, *blockers, stays)
    computed = {text for run in bench.backend.runs for text in run}
    assert "shared text" in computed
    assert "left alone" not in computed
    assert bench.counts.dropped == ["caller gone"]
    assert bench.counts.tokens == 0


def test_a_cancelled_coroutine_is_a_caller_that_went_away() -> None:
    backend = GatedBackend()

    async def scenario() -> None:
        embedder = Embedder(MINILM, lambda: backend, threads=1)
        backend.gate.clear()
        first = asyncio.create_task(embedder.embed_text("first " + "w " * 60))
        await asyncio.to_thread(backend.begun.acquire)
        second = asyncio.create_task(embedder.embed_text("second"))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        await asyncio.sleep(0)
        backend.gate.set()
        await first
        await embedder.aclose()

    asyncio.run(scenario())
    assert [run[0].split()[0] for run in backend.runs] == ["first"]


def test_a_request_past_its_deadline_is_dropped_with_a_reason(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(wait_s=30)
    blockers = bench.busy()
    late = bench.ask("too late")
    bench.now = 31
    fresh = bench.ask("in time")
    finish(bench, *blockers, late, fresh)
    error = late.exception()
    assert isinstance(error, MisirError)
    assert (error.status, error.slug) == (503, "model-busy")
    assert int(error.headers["Retry-After"]) >= 1
    assert ["too late"] not in bench.backend.runs
    assert bench.counts.dropped == ["deadline"]


def test_too_much_is_refused_with_the_time_it_takes(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(wait_s=2)
    blockers = bench.busy()
    filled: list[Future[Any]] = []

    def fill() -> None:
        while len(filled) < 100:  # 10,000 tokens, at the 3,000 a second assumed before anything was measured
            filled.append(bench.ask(f"{len(filled)} " + "wordy " * 66))

    with pytest.raises(MisirError) as caught:
        fill()
    assert (caught.value.status, caught.value.slug) == (503, "model-busy")
    assert 40 <= len(filled) <= 70
    assert int(caught.value.headers["Retry-After"]) == 3
    assert bench.counts.dropped == ["refused"]
    query = bench.ask("a query is still let in", task="query")
    small = bench.ask("tea")  # so is a small capture: in turns, it waits for a little of each
    finish(bench, *blockers, *filled, query, small)
    assert bench.ask("again").result(20)


def test_an_empty_queue_takes_a_request_of_any_size(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(wait_s=0.001)
    assert len(bench.ask(*(f"{i} " + "w " * 400 for i in range(50))).result(20)) == 50


def test_a_failing_run_fails_those_it_was_for(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    blockers = bench.busy()
    other = bench.ask("l " * 60)
    bench.backend.failure = model_unavailable("The server is away.")
    finish(bench, *blockers, other)
    assert "away" in str(blockers[0].exception())
    bench.backend.failure = None
    assert bench.ask("afterwards").result(20)
    assert bench.counts.tokens == 0


def test_only_one_worker_reads_a_very_long_text(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(threads=2)
    bench.backend.gate.clear()
    books = [bench.ask(f"book {i} " + "w " * 150_000) for i in range(3)]
    assert bench.backend.begun.acquire(timeout=20)
    query = bench.ask("meanwhile", task="query")
    assert bench.backend.begun.acquire(timeout=20)
    assert bench.backend.runs == [["meanwhile"]]
    finish(bench, query, *books)
    assert bench.backend.longest_read == 1


def test_closing_refuses_who_still_waits(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.busy()
    waiting = bench.ask("not begun")
    closing = threading.Thread(target=bench.batcher.close)
    closing.start()
    assert waiting.exception(20).slug == "model-busy"
    bench.backend.gate.set()
    closing.join(20)
    with pytest.raises(MisirError):
        bench.ask("after the end")


def test_many_at_once_all_come_back_right(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(threads=4)
    chance = np.random.default_rng(7)
    texts = [f"{i % 40} " + "w " * int(chance.integers(1, 90)) for i in range(400)]
    calls = [texts[start : start + int(chance.integers(1, 30))] for start in chance.integers(0, 370, 120)]
    cancelled = set(chance.choice(120, 30, replace=False).tolist())
    futures: list[Future[Any] | None] = [None] * len(calls)

    def ask(numbers: range) -> None:
        for number in numbers:
            futures[number] = bench.ask(*calls[number])
            if number in cancelled:
                futures[number].cancel()

    threads = [threading.Thread(target=ask, args=(range(i, 120, 4),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, future in enumerate(futures):
        if not future.cancelled():
            for text in calls[number]:
                vector = future.result(20)[f"document {text}".encode()].vector
                expected = bench.backend.vector(text.strip())
                assert vector @ expected / np.linalg.norm(expected) > 0.999
    assert bench.counts.tokens == 0
    assert not bench.batcher._waiting.texts
    assert not bench.batcher._waiting.calls
