"""What must hold of an order, however it is made: with a coordinator, without one, or changed
later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from surefoot.app.rules.states import ENDED


def money_is_whole(world: Any) -> Iterator[str]:
    """Always: what is charged and not refunded is nothing or the price."""
    price = world.job.input["amount_cents"]
    for seen in world.service("payments"):
        net = seen.detail["charged_cents"] - seen.detail["refunded_cents"]
        if net not in (0, price):
            yield f"{seen.key}: {net} cents are charged, which is neither nothing nor the price of {price}"


def all_or_nothing(*services: str) -> Callable[[Any], Iterator[str]]:
    """At its end a completed job has the effect of each of these services standing, an undone one
    none.
    """

    def end_is_all_or_nothing(world: Any) -> Iterator[str]:
        for service in services if world.job.state in ENDED else ():
            seen = [effect for effect in world.service(service) if effect.state != "unknown"]
            if world.job.state == "completed" and not seen:
                yield f"the job is completed, but {service} knows nothing of it"
            for effect in seen:
                if (effect.state == "done") != (world.job.state == "completed"):
                    yield f"the job is {world.job.state}, but {service} says of {effect.key}: {effect.state}"

    return end_is_all_or_nothing


def books_agree(world: Any) -> Iterator[str]:
    """In a drill, whose databases hold nothing else, all the books together say nothing against
    each other.
    """
    if world.own is not None:
        yield from world.own.disagreements(settled=world.job.state in ENDED)
