"""What a job did outside, and what became of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from web.api.shapes.common import Fidelity, Shape


class Undo(Shape):
    state: Literal["not_needed", "pending", "done", "refused", "waived"]
    attempts: int
    note: str


class Effect(Shape):
    step: str
    item: str
    key: str = Field(description="The idempotency key under which the service knows it.")
    outcome: Literal["none", "done", "unknown"]
    fidelity: Fidelity | Literal["irreversible"] | None
    undo: Undo


class EffectSummary(Shape):
    done: int
    unknown: int
    undone: dict[str, int] = Field(description="How many were undone, by fidelity.")
    pending: int
    left_over: int
    sentence: str


class Effects(Shape):
    items: list[Effect]
    summary: EffectSummary
