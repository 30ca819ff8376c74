"""What the supervisor has to know of a part. Only a description: nothing is running yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Part:
    """One long-running process and how to live with it.

    `ready(pid)` says whether it does its work, and must answer within about a second; `stop_rank`:
    parts of a lower rank are stopped, and have ended, before those of a higher one are asked to;
    `stop_budget_s`, how long it may take from SIGTERM to its end before its group is killed.
    """

    name: str
    command: tuple[str, ...]
    stop_rank: int
    env: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[int], bool] = lambda pid: True
    stop_budget_s: float = 10.0
    url: str = ""
    port: int | None = (
        None  # where it listens on the loopback, when we chose that: it may move to another one
    )
