"""What a test has planned for the steps of its sagas: which fails or loses its worker, where, and
how often.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from surefoot.app.faults import Point


@dataclass
class Planned:
    """`times`: how often more; None: always."""

    point: Point
    error: BaseException
    times: int | None


class Script:
    """Fires at the points of `surefoot.app.faults`.

    Of several plans for one operation the oldest comes first.
    """

    def __init__(self) -> None:
        self._planned: defaultdict[str, list[Planned]] = defaultdict(list)

    def plan(self, target: str, planned: Planned) -> None:
        """`target`: as `trip.book_hotel` or `trip.book_hotel.undo`."""
        self._planned[target].append(planned)

    def fire(self, target: str, point: Point) -> None:
        """An operation stands at a point. Raises: what was planned there."""
        for planned in self._planned.get(target, ()):
            if planned.point != point or planned.times == 0:
                continue
            if planned.times is not None:
                planned.times -= 1
            raise planned.error

    def unmet(self) -> list[str]:
        """The operations that never came to something planned for them."""
        return [
            target
            for target, plans in self._planned.items()
            if any(planned.times for planned in plans)
        ]
