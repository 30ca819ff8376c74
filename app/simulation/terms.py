"""What a seed's saga says beside its steps: locks, how long a job may take, at most once, and
versions that are deployed.

One of sixteen seeds has such terms. The others have none, so that what shows there shows
undisturbed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from surefoot.app.simulation.sagas import StepPlan

OF_SIXTEEN = 15


@dataclass(frozen=True)
class Terms:
    """`on_locked`: every job takes one and the same lock, and waits for it or fails; "" without.

    `sla_s`: after how many seconds a job is late, and `on_sla` what becomes of it then; 0: nobody
    looks.
    `versions`: how many the saga has; the first is there from the beginning.
    `once`: irreversible steps are done at most once, by a service that has no barrier.
    `gives_up_s`: after how many seconds without a worker an operation is given up; 0: never.
    """

    on_locked: Literal["", "wait", "fail"] = ""
    sla_s: float = 0.0
    on_sla: Literal["ask", "redrive", "compensate"] = "ask"
    versions: int = 1
    once: bool = False
    gives_up_s: float = 0.0

    def __str__(self) -> str:
        told = [f"locks: {self.on_locked}"] if self.on_locked else []
        told += [f"late after {self.sla_s:g} s: {self.on_sla}"] if self.sla_s else []
        told += [f"{self.versions} versions"] if self.versions > 1 else []
        told += [f"given up without a worker for {self.gives_up_s:g} s"] if self.gives_up_s else []
        return "; ".join([*told, *(["at most once"] if self.once else [])]) or "no terms"

    @property
    def any(self) -> bool:
        return self != NONE

    def of_saga(self) -> dict[str, Any]:
        """How they are declared."""
        said: dict[str, Any] = {}
        if self.on_locked:
            said |= {"locks": lambda o: [f"thing:{o.name}"], "on_locked": self.on_locked}
        if self.sla_s:
            said |= {"sla": self.sla_s, "on_sla": self.on_sla}
        if self.gives_up_s:
            said |= {"queue_timeout": self.gives_up_s}
        return said


NONE = Terms()


def terms_of(seed: int) -> Terms:
    """Those of a seed."""
    if seed % 16 != OF_SIXTEEN:
        return NONE
    chance = random.Random(f"{seed} terms")
    return Terms(
        on_locked=chance.choice(("", "", "wait", "fail")),
        sla_s=chance.choice((0.0, 30.0, 120.0)),
        on_sla=chance.choice(("ask", "redrive", "compensate")),
        versions=chance.choice((1, 2, 3)),
        once=(seed // 16) % 2 == 1,
        gives_up_s=chance.choice((0.0, 30.0)),
    )


def on_these_terms(plans: Sequence[StepPlan], terms: Terms) -> tuple[StepPlan, ...]:
    """At most once: what is past the point of no return cannot be asked whether it happened, nor
    done again.
    """
    if not terms.once:
        return tuple(plans)
    once: dict[str, Any] = {
        "promise": "final",
        "on_unknown": "attention",
        "attempts": 3,
        "bare": True,
    }
    return tuple(
        replace(plan, **once) if plan.promise in ("pivot", "final", "onward") else plan
        for plan in plans
    )
