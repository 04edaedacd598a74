"""One queue for all requests of a process: who wants a vector waits here, worker threads compute.

    submit ─▶ Waiting (whose turn?) ─▶ a step on a worker thread: cut texts into windows, or run windows
                  ▲                        │
                  └──── its result ◀───────┘   the next step is chosen the moment a worker is free

Nothing waits for a timer while a worker is idle: what is computed together is what happens to be there.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

import numpy as np

from misir.embed.loaded import LazyBackend
from misir.embed.models import ModelSpec, Task, model_busy
from misir.embed.text import Embedding, finish, merge_windows
from misir.embed.waiting import Call, Read, Run, Text, Waiting, Window, estimate_tokens

MAX_CHARS = 64 * 2**20
"""Characters that may wait; beyond it memory, not time, is what a new request would cost."""

QUERY_WAIT_S = 5.0
"""A person looks at the screen: an answer from words alone is worth more by then."""

TOKENS_PER_S = 3_000.0
"""Of one thread, until something has been measured; MiniLM on one core of 2024."""

MEMORY = 0.1
"""Weight of the newest run in the measured rate."""


class Counts(Protocol):
    """Where the batcher says what it does (plumbing/metrics.py, or a tally that travels)."""

    def count_run(self, n_windows: int, seconds: float) -> None: ...

    def count_joined(self, n: int) -> None: ...

    def count_dropped(self, reason: str) -> None: ...

    def set_queue_tokens(self, tokens: int) -> None: ...


class Batcher:
    """`keep` is given every vector as soon as it is there, whoever still wants it; `wait_s` is how long a
    request may have to wait for others before it is refused, or given up.
    """

    def __init__(
        self,
        spec: ModelSpec,
        backend: LazyBackend,
        *,
        threads: int,
        wait_s: float,
        keep: Callable[[bytes, Embedding], None],
        counts: Counts,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spec = spec
        self._backend = backend
        self._keep = keep
        self._counts = counts
        self._wait_s = wait_s
        self._clock = clock
        self._n_threads = threads
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="embed")
        self._lock = threading.Lock()
        self._waiting = Waiting()
        self._n_busy = 0
        self._is_closed = False
        self._rate = TOKENS_PER_S

    def submit(
        self, wanted: Mapping[bytes, str], task: Task, max_windows: int
    ) -> Future[dict[bytes, Embedding]]:
        """The vectors by the keys of `wanted`. Cancel it, and what nobody else wants is not computed.

        Raises MisirError 503 (`model-busy`) where it would wait too long; the future does where it has.
        """
        texts = {key: self._text(key, text, task, max_windows) for key, text in wanted.items()}
        future: Future[dict[bytes, Embedding]] = Future()
        is_urgent = task == "query"
        wait_s = min(self._wait_s, QUERY_WAIT_S) if is_urgent else self._wait_s
        tokens = sum(one.tokens for one in texts.values())
        call = Call(future, is_urgent, tokens, wait_s, self._clock() + wait_s)
        with self._lock:
            self._admit(call, sum(len(text) for text in wanted.values()))
            joined = self._waiting.add(call, texts)
            self._counts.set_queue_tokens(self._waiting.tokens)
        if joined:
            self._counts.count_joined(joined)
        future.add_done_callback(partial(self._notice_cancelled, call))
        self._pump()
        return future

    def close(self) -> None:
        """Finish the steps that are running; whoever still waits is refused."""
        with self._lock:
            self._is_closed = True
            calls = list(self._waiting.calls)
            for call in calls:
                self._waiting.drop(call)
        for call in calls:
            _fail(call, model_busy("Misir is shutting down: send the request again.", 2))
        self._threads.shutdown()
        self._backend.close()

    def _text(self, key: bytes, text: str, task: Task, max_windows: int) -> Text:
        prefix = self._spec.prefix(task)
        tokens = estimate_tokens(text, prefix, max_windows, self._spec.max_tokens)
        return Text(key, text, prefix, max_windows, tokens, task == "query")

    def _admit(self, call: Call, chars: int) -> None:
        """Refuses what would wait too long, by tokens before it ÷ measured tokens a second."""
        rate = self._rate * self._n_threads
        wait_s = self._waiting.tokens_before(call.tokens, is_urgent=call.is_urgent) / rate
        is_full = self._waiting.calls and self._waiting.chars + chars > MAX_CHARS
        if self._is_closed or is_full or wait_s > call.wait_s:
            self._counts.count_dropped("refused")
            raise _too_busy(self._waiting.tokens / rate)

    def _notice_cancelled(self, call: Call, future: Future[dict[bytes, Embedding]]) -> None:
        if future.cancelled():
            with self._lock:
                self._waiting.drop(call)
            self._counts.count_dropped("caller gone")

    def _pump(self, *, keeps_first: bool = False) -> Read | Run | None:
        """Gives every idle worker a step, if there is one; the first to the caller, if it wants."""
        steps = list[Read | Run]()
        with self._lock:
            late = self._drop_late()
            while not self._is_closed and self._n_busy < self._n_threads:
                opened = self._backend.opened
                plan = None if opened is None else opened.plan
                step = self._waiting.next_step(plan, self._n_threads - self._n_busy)
                if step is None:
                    break
                self._n_busy += 1
                self._note_turn(step)
                steps.append(step)
            own = steps.pop(0) if keeps_first and steps else None
            for one in steps:
                self._threads.submit(self._work, one)
        for call in late:
            self._counts.count_dropped("deadline")
            _fail(call, _too_busy(self._waiting.tokens / (self._rate * self._n_threads)))
        return own

    def _note_turn(self, step: Read | Run) -> None:
        """Begins anew to count how long those have waited that this step is for."""
        now = self._clock()
        for call in _callers(step):
            call.give_up_at = now + call.wait_s

    def _drop_late(self) -> list[Call]:
        now = self._clock()
        late = [call for call in self._waiting.calls if call.give_up_at < now and call.has_unbegun]
        for call in late:
            self._waiting.drop(call)
        return late

    # ---- on a worker thread ----

    def _work(self, step: Read | Run | None) -> None:
        """The step and those after it: a query that was read is run without waking another thread."""
        while step is not None:
            try:
                if isinstance(step, Read):
                    self._read(step.texts)
                else:
                    self._run(step)
            finally:
                step = self._settle(step, sys.exception())

    def _read(self, texts: Sequence[Text]) -> None:
        backend = self._backend.ready()
        for text in texts:
            windows, text.fraction = backend.split(text.text, text.prefix, text.max_windows)
            text.parts = [np.empty(0, np.float32)] * len(windows)
            text.windows = [Window(text, index, content) for index, content in enumerate(windows)]

    def _run(self, step: Run) -> None:
        backend = self._backend.ready()
        started = time.perf_counter()
        with self._backend.noting_problems():
            pooled = backend.run([window.content for window in step.windows])
        units = finish(pooled, dimension=self._spec.dimension, is_layer_normed=self._spec.layer_norm)
        for window, unit in zip(step.windows, units, strict=True):
            window.text.parts[window.index] = unit
        seconds = time.perf_counter() - started
        self._rate += MEMORY * (step.tokens / max(seconds, 1e-6) - self._rate)
        self._counts.count_run(len(step.windows), seconds)
        with self._lock:
            whole = self._waiting.have_run(step)
        for text in whole:
            text.made = _merge(text)
            self._keep(text.key, text.made)
        with self._lock:
            done = [call for text in whole for call in self._waiting.finish(text)]
            self._counts.set_queue_tokens(self._waiting.tokens)
        for call in done:
            _succeed(call)

    def _settle(self, step: Read | Run, error: BaseException | None) -> Read | Run | None:
        """The worker is free again, for the step that is returned. A step that failed fails every call that
        wanted something of it, and ends the worker's round.
        """
        failed = list[Call]()
        with self._lock:
            self._n_busy -= 1
            self._note_turn(step)
            if isinstance(step, Read):
                self._waiting.have_read(step)
            if error is not None:
                failed = _callers(step)
                for call in failed:
                    self._waiting.drop(call)
                self._counts.set_queue_tokens(self._waiting.tokens)
        for call in failed:
            _fail(call, error)
        return self._pump(keeps_first=error is None)


def _callers(step: Read | Run) -> list[Call]:
    texts = step.texts if isinstance(step, Read) else [window.text for window in step.windows]
    return list(dict.fromkeys(call for text in texts for call in text.calls))


def _merge(text: Text) -> Embedding:
    vector = merge_windows(np.stack(text.parts))
    vector.flags.writeable = False
    return Embedding(vector, text.fraction)


def _succeed(call: Call) -> None:
    if call.future.set_running_or_notify_cancel():
        call.future.set_result({text.key: text.made for text in call.texts})


def _fail(call: Call, error: BaseException | None) -> None:
    if call.future.set_running_or_notify_cancel():
        call.future.set_exception(error)


def _too_busy(wait_s: float) -> Any:
    return model_busy(
        "More texts wait for the embedding model than it can read in time: send the request again "
        "after Retry-After seconds.",
        wait_s,
    )
