"""Texts that wait for a vector: whose turn it is, and what is worth computing together. No thread, no clock.

    Call ──< Text ──< Window        a call wants texts; equal texts of several calls are one Text

Queries go before everything else. Within a class the calls take turns, a step each, so a capture does not
wait for a batch of hundreds. A run is built round the oldest window of the call whose turn it is, with the
windows of any call that are about as long.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from misir.embed.text import Embedding, Vectors

AHEAD = 128
"""Windows that are cut before the first of them is run: enough of a choice for runs of one length."""

READ_CHARS = 16_384
"""Characters one step tokenises, unless a single text has more."""

LONG_CHARS = 131_072
"""A text that takes a worker longer to tokenise than a run takes: only one of them is read at a time."""

REACH = 32
"""Windows looked at on either side of the one whose turn it is."""

CHARS_PER_TOKEN = 4
"""For the estimate of a text's cost before it is read; what is left out cancels in the measured rate."""

Plan = Callable[[Sequence[Any]], list[list[int]]]


class State(Enum):
    UNREAD = "unread"
    READING = "being cut into windows"
    READ = "cut; its windows wait or are being run"
    DROPPED = "nobody wants it any more"
    DONE = "done"


@dataclass(eq=False)
class Call:
    """One request: `n_open` of its texts, of `tokens` in all, are not done.

    It gives up after `wait_s` without a step taken for it, which is at `give_up_at`.
    """

    future: Future[dict[bytes, Embedding]]
    is_urgent: bool
    tokens: int
    wait_s: float
    give_up_at: float
    texts: list[Text] = field(default_factory=list)
    unread: deque[Text] = field(default_factory=deque)
    read: deque[Text] = field(default_factory=deque)
    n_open: int = 0

    @property
    def has_unbegun(self) -> bool:
        """Whether it still waits for something; what is being computed already is not given up."""
        return any(
            text.state is State.UNREAD or (text.state is State.READ and text.n_begun < len(text.windows))
            for text in self.texts
        )


@dataclass(eq=False)
class Text:
    """One text on its way. `tokens` is what it was estimated to cost; `parts` are its windows' vectors."""

    key: bytes
    text: str
    prefix: str
    max_windows: int
    tokens: int
    is_urgent: bool
    state: State = State.UNREAD
    calls: list[Call] = field(default_factory=list)
    fraction: float = 1.0
    windows: list[Window] = field(default_factory=list)
    parts: list[Vectors] = field(default_factory=list)
    n_begun: int = 0
    n_left: int = 0
    made: Embedding = field(init=False)


@dataclass(eq=False)
class Window:
    text: Text
    index: int
    content: Any
    serial: int = 0
    is_begun: bool = False


@dataclass(eq=False)
class Read:
    """A step: cut these texts into windows."""

    texts: list[Text]


@dataclass(eq=False)
class Run:
    """A step: compute these windows together."""

    windows: list[Window]

    @property
    def tokens(self) -> float:
        return sum(one.text.tokens / len(one.text.windows) for one in self.windows)


class _Class:
    """The waiting of one class: calls in the order of their turns, and windows by length."""

    def __init__(self) -> None:
        self.calls: OrderedDict[Call, None] = OrderedDict()
        self.windows: list[tuple[int, int, Window]] = []


class Waiting:
    """Not safe between threads: its owner holds a lock. Times are passed in, in seconds of one clock."""

    def __init__(self) -> None:
        self.texts: dict[bytes, Text] = {}
        self.calls: set[Call] = set()
        self.chars = 0
        self.tokens = 0
        self._classes = {True: _Class(), False: _Class()}
        self._is_reading_long = False
        self._serial = 0

    def tokens_before(self, own: int, *, is_urgent: bool) -> int:
        """What is computed before a new call of `own` tokens is done, without the call's own.

        Calls take turns, so each of the others has at most as much computed meanwhile as the new one
        needs; queries do not wait for anything else.
        """
        return sum(min(call.tokens, own) for call in self.calls if call.is_urgent or not is_urgent)

    def add(self, call: Call, wanted: Mapping[bytes, Text]) -> int:
        """Puts a call in line; texts that are on their way already are joined. How many those are."""
        n_joined = 0
        for key, text in wanted.items():
            found = self.texts.get(key)
            n_joined += found is not None
            self._want(call, text if found is None else found)
        self.calls.add(call)
        self._line_up(call)
        return n_joined

    def _want(self, call: Call, text: Text) -> None:
        if not text.calls:
            self.texts[text.key] = text
            self.chars += len(text.text)
            self.tokens += text.tokens
        text.calls.append(call)
        call.texts.append(text)
        call.n_open += 1
        {State.UNREAD: call.unread, State.READ: call.read}.get(text.state, deque()).append(text)

    def _line_up(self, call: Call) -> None:
        if call.unread or call.read:
            self._classes[call.is_urgent].calls.setdefault(call)

    def next_step(self, plan: Plan | None, n_idle: int) -> Read | Run | None:
        """What one of `n_idle` ≥ 1 workers does now. `plan` groups windows; None while there are none."""
        for each in (self._classes[True], self._classes[False]):
            for _ in range(len(each.calls)):
                call = next(iter(each.calls))
                each.calls.move_to_end(call)
                step = self._read(each, call) or self._run(each, call, plan, n_idle)
                if step is not None:
                    return step
                if not call.unread:
                    del each.calls[call]  # all of it is begun; reading puts it in line again
        return None

    def _read(self, each: _Class, call: Call) -> Read | None:
        while call.unread and call.unread[0].state is not State.UNREAD:
            call.unread.popleft()
        _skip_begun(call)
        if not call.unread or (call.read and len(each.windows) >= AHEAD):
            return None
        texts, chars = list[Text](), 0
        while call.unread and (not texts or chars + len(call.unread[0].text) <= READ_CHARS):
            text, is_long = call.unread[0], len(call.unread[0].text) > LONG_CHARS
            if text.state is State.UNREAD:
                if is_long and (self._is_reading_long or texts):
                    break
                self._is_reading_long |= is_long
                text.state = State.READING
                texts.append(text)
                chars += len(text.text)
            call.unread.popleft()
        return Read(texts) if texts else None

    def _run(self, each: _Class, call: Call, plan: Plan | None, n_idle: int) -> Run | None:
        _skip_begun(call)
        if not call.read or plan is None:
            return None
        first = call.read[0].windows[call.read[0].n_begun]
        at = bisect_left(each.windows, _entry(first))
        low = max(0, at - REACH)
        near = [window for _, _, window in each.windows[low : at + REACH]]
        group = next(one for one in plan([window.content for window in near]) if at - low in one)
        # What little there is, is shared among the workers that have nothing to do.
        most = max(1, -(-len(each.windows) // n_idle))
        chosen = sorted(group, key=lambda index: abs(index - (at - low)))[:most]
        for index in sorted(chosen, reverse=True):
            del each.windows[low + index]
        return Run([_begin(near[index]) for index in sorted(chosen)])

    def have_read(self, step: Read) -> None:
        """The step's texts have windows now (or, after a failure, none)."""
        if any(len(text.text) > LONG_CHARS for text in step.texts):
            self._is_reading_long = False
        for text in step.texts:
            if text.state is State.READING and text.windows:
                text.state = State.READ
                text.n_left = len(text.windows)
                self._add_windows(text)

    def _add_windows(self, text: Text) -> None:
        windows = self._classes[text.is_urgent].windows
        for window in text.windows:
            self._serial += 1
            window.serial = self._serial
            insort(windows, _entry(window))
        for call in text.calls:
            call.read.append(text)
            self._line_up(call)

    def have_run(self, step: Run) -> list[Text]:
        """The texts that are whole now: their last window was among these."""
        for window in step.windows:
            window.text.n_left -= 1
        whole = dict.fromkeys(window.text for window in step.windows if not window.text.n_left)
        return [text for text in whole if text.state is State.READ]

    def finish(self, text: Text) -> list[Call]:
        """The text has a vector. The calls that now have all they wanted."""
        done = list[Call]()
        if text.state is State.DROPPED:
            return done
        for call in text.calls:
            call.n_open -= 1
            call.tokens -= text.tokens
            if not call.n_open:
                done.append(call)
                self.calls.discard(call)
        self._forget(text, State.DONE)
        return done

    def drop(self, call: Call) -> None:
        """The call waits no longer. Texts nobody else wants are not begun any more."""
        self.calls.discard(call)
        self._classes[call.is_urgent].calls.pop(call, None)
        for text in call.texts:
            if text.state is not State.DONE and call in text.calls:
                text.calls.remove(call)
                if not text.calls:
                    self._forget(text, State.DROPPED)

    def _forget(self, text: Text, state: State) -> None:
        text.state = state
        del self.texts[text.key]
        self.chars -= len(text.text)
        self.tokens -= text.tokens
        if text.n_begun < len(text.windows):
            windows = self._classes[text.is_urgent].windows
            windows[:] = [entry for entry in windows if entry[2].text is not text]


def _entry(window: Window) -> tuple[int, int, Window]:
    return len(window.content), window.serial, window


def _begin(window: Window) -> Window:
    window.is_begun = True
    text = window.text
    text.n_begun = next(
        (i for i in range(text.n_begun, len(text.windows)) if not text.windows[i].is_begun), len(text.windows)
    )
    return window


def _skip_begun(call: Call) -> None:
    while call.read and (
        call.read[0].state is not State.READ or call.read[0].n_begun == len(call.read[0].windows)
    ):
        call.read.popleft()


def estimate_tokens(text: str, prefix: str, max_windows: int, max_tokens: int) -> int:
    """Tokens a text will cost, give or take: by its characters, and no more than its windows hold.

    >>> estimate_tokens("word " * 8, "", 8, 256), estimate_tokens("x" * 1_000_000, "", 8, 256)
    (12, 2048)
    """
    return min((len(text) + len(prefix)) // CHARS_PER_TOKEN + 2, max_windows * max_tokens)
