"""Named points where a test or a drill may crash, fail, hang or delay a process; inert in
production.

Hazard: a crash window is a few microseconds wide, so killing at random from outside hits the
dangerous ones by luck only.
Answer: the engine names its windows (`Point`) and says when it has reached one (`reached`); a
process that was told to (`SUREFOOT_FAULTS`) then does at exactly this line what an accident would
do. How often each fault has fired is counted by the caller that arms it, durably and before it
fires, or a process that is started again would crash again for ever.

    TARGET:WHAT@POINT[*TIMES]; …         order.charge_card:crash@after_effect*2; web.submit:error@after_commit

What happens at a point is an object (`active`): a simulation puts its own there, in which a crash
is an exception.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn, Protocol, runtime_checkable

import structlog

from surefoot.app.errors import SettingsError, StoreUnavailable, SurefootError
from surefoot.app.rules.states import Kind

log = structlog.get_logger("surefoot.faults")
MOST_SECONDS = 3600.0
MOST_TIMES = 1_000_000
HANG_LOOK_S = 60.0


class What(StrEnum):
    """What happens to the process that reaches the point."""

    CRASH = (
        "crash"  # SIGKILL to itself: in a pool's child this ends the child, in the relay the relay
    )
    ERROR = (
        "error"  # a transient error: of the step around its effect, of the store everywhere else
    )
    REJECT = "reject"  # the participant says no: before the effect only
    FAIL = "fail"  # the step fails for good after its effect
    HANG = "hang"  # never comes back, and is deaf to whatever is raised in it
    DELAY = "delay"  # comes back after so many seconds


class Point(StrEnum):
    """Where.

    An operation has all of them; a submission and a publication have what `POINTS_OF` says.
    """

    BEFORE_CLAIM = "before_claim"  # the message is here, nothing is written
    AFTER_CLAIM = "after_claim"  # the claim is committed
    BEFORE_EFFECT = "before_effect"  # the developer's function is about to be called
    AFTER_EFFECT = "after_effect"  # it has returned, and nobody knows
    AFTER_COMMIT = (
        "after_commit"  # the outcome is committed, nothing of what it makes ready has left
    )
    AFTER_PUBLISH = "after_publish"  # that has left, and is not marked as sent by the relay
    BEFORE_ACK = "before_ack"  # chain and chord went on; the broker still holds the message


POINTS_OF = {
    "web.submit": (Point.BEFORE_EFFECT, Point.AFTER_COMMIT, Point.AFTER_PUBLISH),
    "relay.publish": (Point.AFTER_COMMIT, Point.AFTER_PUBLISH),
}
KINDS = (Kind.UNDO, Kind.CONFIRM)
_FAULT = re.compile(
    r"(?P<target>[^:@*]+):(?P<what>[^:@*=]+)(=(?P<seconds>[^:@*]*))?@(?P<point>[^:@*]+)(\*(?P<times>.*))?"
)
_NAME = r"[a-z][a-z0-9_]*"
_OPERATION = re.compile(rf"{_NAME}\.{_NAME}(\.({'|'.join(KINDS)}))?")


@dataclass(frozen=True)
class Fault:
    """One fault.

    `target`: `order.charge_card`, `order.charge_card.undo`, `web.submit` or `relay.publish`;
    `seconds`: of a delay.
    """

    target: str
    what: What
    point: Point
    times: int = 1
    seconds: float = 0.0

    @property
    def key(self) -> str:
        """What it is counted under: as it is written, without TIMES."""
        amount = f"={self.seconds:g}" if self.what == What.DELAY else ""
        return f"{self.target}:{self.what}{amount}@{self.point}"


class Injected(StoreUnavailable):
    """This error was injected by SUREFOOT_FAULTS."""


class InjectedRefusal(SurefootError):
    """This refusal was injected by SUREFOOT_FAULTS."""

    nothing_happened = True  # what the engine asks of a refusal


class InjectedFailure(SurefootError):
    """This failure was injected by SUREFOOT_FAULTS."""

    ends_for_good = True  # what the engine asks of a failure that is not tried again


class Crashed(BaseException):
    """A crash inside a simulation: no handler of a step's errors may catch it, as none catches
    SIGKILL.
    """


class Fires(Protocol):
    """What happens at the points. It may raise, stall, or end the process."""

    def fire(self, target: str, point: Point) -> None: ...


@runtime_checkable
class FiresInside(Fires, Protocol):
    """What happens between the lines of a developer's function as well: a drill's."""

    def inside(self, target: str) -> AbstractContextManager[None]: ...


active: Fires | None = None


def reached(point: Point, saga: str, step: str, kind: str = Kind.ACTION) -> None:
    """This process stands at a point of an operation (or of `web`, `submit`; `relay`, `publish`)."""
    if active is not None:
        active.fire(f"{saga}.{step}" if kind == Kind.ACTION else f"{saga}.{step}.{kind}", point)


def inside(saga: str, step: str, kind: str) -> AbstractContextManager[None]:
    """Stands around the call of a developer's function, for who strikes between its lines."""
    if active is None or not isinstance(active, FiresInside):
        return nullcontext()
    return active.inside(f"{saga}.{step}" if kind == Kind.ACTION else f"{saga}.{step}.{kind}")


@contextmanager
def injecting(fires: Fires | None) -> Iterator[None]:
    """Put `fires` at the points of this process, for tests and simulations; afterwards what was
    there before.
    """
    global active
    before, active = active, fires
    try:
        yield
    finally:
        active = before


class Injector:
    """Fires what a plan says.

    `due(key, times)`: count one more firing durably; False: it has fired `times` already.
    """

    def __init__(self, plan: Sequence[Fault], due: Callable[[str, int], bool]) -> None:
        self._due = due
        self._at: defaultdict[tuple[str, Point], list[Fault]] = defaultdict(list)
        for fault in plan:
            self._at[fault.target, fault.point].append(fault)

    def fire(self, target: str, point: Point) -> None:
        for fault in self._at.get((target, point), ()):
            if self._due(fault.key, fault.times):
                log.warning("fault.fired", fault=fault.key, pid=os.getpid())
                self.do(fault)

    def do(self, fault: Fault) -> None:
        """The fault itself."""
        match fault.what:
            case What.CRASH:
                self.crash()
            case What.HANG:
                self.hang()
            case What.DELAY:
                time.sleep(fault.seconds)
            case What.REJECT:
                raise InjectedRefusal(f"refused, as SUREFOOT_FAULTS says ({fault.key})")
            case What.FAIL:
                raise InjectedFailure(f"failed for good, as SUREFOOT_FAULTS says ({fault.key})")
            case What.ERROR:
                raise Injected(f"failed, as SUREFOOT_FAULTS says ({fault.key})")

    def crash(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def hang(self) -> NoReturn:
        while True:
            try:
                time.sleep(HANG_LOOK_S)
            except BaseException as error:  # a time-out does not end it: that is the point
                if not isinstance(error, Exception) and not getattr(error, "times_out", False):
                    raise
                log.info("fault.hangs_on", error=repr(error))


# --- the setting ----------------------------------------------------------------------------------
def parse_faults(text: str) -> tuple[Fault, ...]:
    """The faults of a setting. Raises: SettingsError, one sentence."""
    plan = tuple(_parse(part.strip()) for part in text.split(";") if part.strip())
    for fault in plan:
        if sum(other.key == fault.key for other in plan) > 1:
            raise SettingsError(
                f"{fault.key!r} is there twice; write {fault.key}*{sum(o.times for o in plan if o.key == fault.key)}"
            )
    return plan


def _parse(text: str) -> Fault:
    found = _FAULT.fullmatch(text)
    if found is None:
        raise SettingsError(f"{text!r} is not TARGET:WHAT@POINT or TARGET:WHAT@POINT*TIMES")
    target = found["target"].strip()
    if target not in POINTS_OF and (
        target.partition(".")[0] in ("web", "relay") or not _OPERATION.fullmatch(target)
    ):
        raise SettingsError(
            f"{text!r}: no target {target!r}; write SAGA.STEP, SAGA.STEP.undo, SAGA.STEP.confirm, {_or(POINTS_OF)}"
        )
    if found["what"] not in set(What):
        raise SettingsError(
            f"{text!r}: nothing is called {found['what']!r}; there are {_or(What)}".replace(
                "delay", "delay=S"
            )
        )
    if found["point"] not in set(Point):
        raise SettingsError(
            f"{text!r}: no point is called {found['point']!r}; there are {_or(Point)}"
        )
    what, point = What(found["what"]), Point(found["point"])
    if target in POINTS_OF and point not in POINTS_OF[target]:
        raise SettingsError(f"{text!r}: the point of {target} is {_or(POINTS_OF[target])}")
    _fits(text, target, what, point)
    return Fault(
        target, what, point, _times(text, found["times"]), _seconds(text, what, found["seconds"])
    )


def _fits(text: str, target: str, what: What, point: Point) -> None:
    if what == What.REJECT and (point != Point.BEFORE_EFFECT or target in POINTS_OF):
        raise SettingsError(
            f"{text!r}: reject says that nothing happened, so its one point is before_effect of an operation"
        )
    if what == What.FAIL and (point != Point.AFTER_EFFECT or target in POINTS_OF):
        raise SettingsError(
            f"{text!r}: fail says that the effect is there, so its one point is after_effect of an operation"
        )
    if what == What.ERROR and point == Point.BEFORE_ACK:
        raise SettingsError(
            f"{text!r}: before_ack nothing is left that could fail; use crash, hang or delay=S"
        )


def _times(text: str, said: str | None) -> int:
    if said is None:
        return 1
    if not (said.isdecimal() and said.isascii() and 1 <= int(said) <= MOST_TIMES):
        raise SettingsError(
            f"{text!r}: TIMES is a whole number from 1 to {MOST_TIMES}, not {said!r}"
        )
    return int(said)


def _seconds(text: str, what: What, said: str | None) -> float:
    if what != What.DELAY:
        if said is not None:
            raise SettingsError(f"{text!r}: {what} takes no number; only delay=S does")
        return 0.0
    try:
        seconds = float(said or "")
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= MOST_SECONDS:
        raise SettingsError(
            f"{text!r}: write delay=S, with S in seconds, above 0 and at most {MOST_SECONDS:g}"
        )
    return seconds


def _or(names: Iterable[str]) -> str:
    words = [str(name) for name in names]
    return f"{', '.join(words[:-1])} or {words[-1]}"
