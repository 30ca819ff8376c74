"""Questions that come while an answer is under way are asked together, in the next statement.

The hazard: threads that ask the store the same kind of question many times a second pay a statement
each. An answer kept for the next asker would be cheaper still, and old: a key that was revoked
meanwhile would go on opening doors.

The answer: if no query is in flight, a caller sends one at once. Callers that arrive meanwhile are
queued; when the answer is back, the first in the queue asks for all that are in it by then. So
**every answer is of a statement that began after its question came**, as if each had asked alone. A
caller relies on another for `patience_s` at most: after that it asks alone.

Left to the caller: that `ask_all` is bounded in time, and only reads, for a question may be asked
twice.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from surefoot.app.errors import StoreUnavailable

Q = TypeVar("Q")
A = TypeVar("A")
PATIENCE_S = 0.5
TOGETHER_MOST = 64  # questions in one statement


class _Told(Enum):
    """What somebody in line is told."""

    NOTHING_YET = "nothing yet"
    LEAD = "it is your turn to ask, for all"
    ANSWERED = "here is your answer"
    UNAVAILABLE = "the store cannot be asked"
    ALONE = "ask for yourself"


class _Waiter(Generic[Q, A]):
    """Somebody in line. `bell` is locked until there is something to tell."""

    __slots__ = ("answer", "bell", "failure", "question", "told")

    def __init__(self, question: Q) -> None:
        self.question = question
        self.told = _Told.NOTHING_YET
        self.answer: A | None = None
        self.failure: StoreUnavailable | None = None
        self.bell = threading.Lock()
        self.bell.acquire()

    def tell(
        self, told: _Told, answer: A | None = None, failure: StoreUnavailable | None = None
    ) -> None:
        self.told, self.answer, self.failure = told, answer, failure
        self.bell.release()


class Coalescer(Generic[Q, A]):
    """`ask_all(questions)`: an answer for each, in their order; None says that there is none.

    Raises: StoreUnavailable.
    """

    def __init__(
        self, ask_all: Callable[[Sequence[Q]], Sequence[A | None]], patience_s: float = PATIENCE_S
    ) -> None:
        self._ask_all, self._patience_s = ask_all, patience_s
        self.begin()
        _everyone.add(self)

    def begin(self) -> None:
        """No query is in flight and no caller waits: at first, and in a forked child, since its
        callers stayed in the parent.
        """
        self._lock = threading.Lock()
        self._asking = False
        self._line: list[_Waiter[Q, A]] = []

    def ask(self, question: Q) -> A | None:
        """The answer of a statement that begins after this call. Raises: StoreUnavailable."""
        waiter: _Waiter[Q, A] | None = None
        with self._lock:
            if self._asking:
                waiter = _Waiter(question)
                self._line.append(waiter)
            self._asking = True
        told = _Told.LEAD if waiter is None else self._wait(waiter)
        if waiter is None or told is _Told.LEAD:
            return self._lead(question)
        if told is _Told.ANSWERED:
            return waiter.answer
        if waiter.failure is not None:
            raise StoreUnavailable(waiter.failure.message) from waiter.failure
        return self._ask_all([question])[0]

    def _wait(self, waiter: _Waiter[Q, A]) -> _Told:
        if waiter.bell.acquire(timeout=self._patience_s):
            return waiter.told
        with self._lock:
            if waiter.told is _Told.LEAD:  # in this very moment
                return _Told.LEAD
            if waiter in self._line:
                self._line.remove(waiter)
        return _Told.ALONE

    def _lead(self, question: Q) -> A | None:
        with self._lock:
            gathered, self._line = self._line[: TOGETHER_MOST - 1], self._line[TOGETHER_MOST - 1 :]
        try:
            return self._ask_for(question, gathered)
        finally:
            # last: meanwhile others come, and the next statement is for more of them
            self._pass_on()

    def _ask_for(self, question: Q, gathered: Sequence[_Waiter[Q, A]]) -> A | None:
        try:
            mine, *theirs = self._ask_all([question, *(waiter.question for waiter in gathered)])
        except BaseException as error:
            for waiter in gathered:
                if isinstance(error, StoreUnavailable):
                    waiter.tell(_Told.UNAVAILABLE, failure=error)
                else:
                    waiter.tell(_Told.ALONE)  # it may be about another's question
            raise
        for waiter, answer in zip(gathered, theirs, strict=True):
            waiter.tell(_Told.ANSWERED, answer)
        return mine

    def _pass_on(self) -> None:
        """The first in line is next to ask; if the queue is empty, the next caller."""
        with self._lock:
            if self._line:
                self._line.pop(0).tell(_Told.LEAD)
            else:
                self._asking = False


_everyone: WeakSet[Coalescer[Any, Any]] = WeakSet()


def _begin_in_child() -> None:
    for gathering in list(_everyone):
        gathering.begin()


os.register_at_fork(after_in_child=_begin_in_child)
