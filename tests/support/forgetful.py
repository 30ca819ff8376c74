"""Sagas of two steps, the second of which needs what the first has learnt: from a module, from its result, from a service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from surefoot import Context, Saga


class Wish(BaseModel):
    cents: int


tokens: dict[str, str] = {}
service: dict[str, str] = {}

by_module = Saga("by_module", version=1, input=Wish, examples=[Wish(cents=5)])
by_result = Saga("by_result", version=1, input=Wish, examples=[Wish(cents=5)])
by_service = Saga("by_service", version=1, input=Wish, examples=[Wish(cents=5)])


@by_module.step(lane="a", no_effect=True, safe_to_drill=True)
def sign_in(ctx: Context, o: Wish) -> None:
    tokens[ctx.job_id] = "t"


@by_module.step(lane="b", no_effect=True, safe_to_drill=True)
def use(ctx: Context, o: Wish) -> str:
    return tokens[ctx.job_id]


@by_result.step(lane="a", no_effect=True, safe_to_drill=True)
def sign_in_and_say(ctx: Context, o: Wish) -> str:
    return "t"


@by_result.step(lane="b", no_effect=True, safe_to_drill=True)
def use_what_was_said(ctx: Context, o: Wish, token: str) -> str:
    return token


@by_service.step(lane="a", undo=None)
def put(ctx: Context, o: Wish) -> None:
    service[ctx.job_id] = "t"


@by_service.step(lane="b", no_effect=True)
def get(ctx: Context, o: Wish) -> str:
    return service[ctx.job_id]


@by_service.test_environment
def empty() -> Iterator[Any]:
    service.clear()
    yield
