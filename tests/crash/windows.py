"""One copy of the order saga for each crash window: what is injected there, and how its order must end."""

from __future__ import annotations

from dataclasses import dataclass, field

from surefoot.app.faults import Point
from tests.support.order_copies import copy_of_order

ACTIONS = (
    "create_order",
    "reserve_stock",
    "charge_card",
    "confirm_order",
    "ship_order",
    "send_receipt",
)
UNDOS = ("create_order", "reserve_stock", "charge_card")
QUICK_ONES = (Point.BEFORE_CLAIM, Point.AFTER_EFFECT, Point.AFTER_COMMIT)
HANGS = "4s"  # after which a hanging attempt is stopped: longer than a pause of the machine, which must not count as one
COUNTED = (
    Point.AFTER_CLAIM,
    Point.BEFORE_EFFECT,
    Point.AFTER_EFFECT,
)  # where the attempt is lost that was under way


@dataclass(frozen=True)
class Window:
    """`attempts`: of the operation that was hit, at the end; `quick`: it is in the small set."""

    name: str
    faults: str
    step: str
    kind: str
    ends: str
    attempts: int
    quick: bool = False
    limits: dict[str, str] = field(default_factory=dict)

    @property
    def fired(self) -> tuple[str, ...]:
        """Under which keys its faults are counted."""
        return tuple(fault.partition("*")[0] for fault in self.faults.split(";"))


def _crash(step: str, point: Point) -> Window:
    name = f"crash_{step}_{point}"
    attempts = 2 if point in COUNTED else 1
    return Window(
        name,
        f"{name}.{step}:crash@{point}",
        step,
        "action",
        "completed",
        attempts,
        step == "charge_card" and point in QUICK_ONES,
    )


def _crash_of_undo(step: str, point: Point) -> Window:
    name = f"undo_{step}_{point}"
    faults = f"{name}.confirm_order:reject@before_effect;{name}.{step}.undo:crash@{point}"
    quick = step == "charge_card" and point == Point.AFTER_EFFECT
    return Window(name, faults, step, "undo", "failed", 2 if point in COUNTED else 1, quick)


def _error(point: Point) -> Window:
    name = f"error_{point}"
    return Window(
        name,
        f"{name}.charge_card:error@{point}",
        "charge_card",
        "action",
        "completed",
        2 if point in COUNTED else 1,
    )


def _refusal(step: str) -> Window:
    name, ends = (
        f"refused_{step}",
        "failed" if ACTIONS.index(step) < ACTIONS.index("ship_order") else "attention",
    )
    return Window(name, f"{name}.{step}:reject@before_effect", step, "action", ends, 1)


WINDOWS = (
    *(_crash(step, point) for step in ACTIONS for point in Point),
    *(_crash_of_undo(step, point) for step in UNDOS for point in Point),
    *(_error(point) for point in Point if point != Point.BEFORE_ACK),
    *(_refusal(step) for step in ACTIONS),
    Window(
        "hangs",
        "hangs.charge_card:hang@before_effect",
        "charge_card",
        "action",
        "completed",
        2,
        True,
        {"timeout": HANGS},
    ),
    Window(
        "hangs_after",
        "hangs_after.confirm_order:reject@before_effect;hangs_after.charge_card.undo:hang@after_effect",
        "charge_card",
        "undo",
        "failed",
        2,
        limits={"timeout": HANGS},
    ),
)
COPIES = {window.name: copy_of_order(window.name, **window.limits) for window in WINDOWS}  # type: ignore[arg-type]
globals().update(COPIES)  # where sagas are looked for


def faults_of(windows: tuple[Window, ...]) -> str:
    """What SUREFOOT_FAULTS says for these."""
    return ";".join(window.faults for window in windows)
