"""A saga whose steps say their secret wherever they can."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, SecretStr

from surefoot.app.saga.definition import Saga
from surefoot.app.saga.inputs import secret
from surefoot.app.saga.outcomes import Rejected
from surefoot.app.saga.policies import Retry

CANARY, PIN, WORD = "tok_canary_5up3r", 907_231, "hunter2 & co"
SECRETS = (CANARY, str(PIN), WORD)
GIVEN = {"sku": "apple", "card": CANARY, "pin": PIN, "word": WORD, "end": "well"}


class Purse(BaseModel):
    """`end`: well, refused, or undo_fails."""

    sku: str
    card: Annotated[str, secret()]
    pin: Annotated[int, secret()]
    word: SecretStr
    end: str


def all_of(o: Purse) -> str:
    return f"{o.card.upper()} {o.pin} {o.word.get_secret_value()}"


def trouble(o: Purse) -> Exception:
    kind = type(f"Bad_{o.card}", (RuntimeError,), {})
    error = kind(f"cannot use {all_of(o)}")
    error.__cause__ = ValueError(all_of(o))
    return error  # type: ignore[no-any-return]


def leaky(during: Callable[[], None] = lambda: None) -> Saga[Any]:
    """`during` is called in the middle of a step, when its progress is there."""
    saga = Saga(
        "leaky", version=1, input=Purse, locks=lambda o: [f"{o.sku}:{o.card}"], lock_wait="1h"
    )

    @saga.step(lane="a", retry=Retry(limit=3, backoff="1ms"))
    def speak(ctx: Any, o: Purse) -> dict[str, Any]:
        if ctx.attempt == 1:
            ctx.checkpoint({"card": o.card})
            raise trouble(o)
        assert ctx.last_checkpoint == {"card": o.card}
        ctx.progress(1.0, f"charging {all_of(o)}")
        ctx.log.info(
            f"event {o.card}",
            card=o.card,
            deep={"list": [o.card, o.pin], o.card: trouble(o)},
            purse=o,
        )
        try:
            raise trouble(o)
        except RuntimeError:
            logging.getLogger("a.library").exception("library %s", all_of(o))
        print("printed", all_of(o))
        during()
        return {"card": o.card, "all": [all_of(o), {o.card: o.pin}]}

    @speak.compensate(fidelity="exact", retry=Retry(limit=1))
    def unspeak(ctx: Any, o: Purse, said: dict[str, Any] | None) -> None:
        assert said is not None and said["card"] == o.card, "a step is handed what was returned"
        if o.end == "undo_fails":
            raise trouble(o)

    @saga.step(lane="a", after=[speak])
    def end(ctx: Any, o: Purse, said: dict[str, Any]) -> dict[str, Any]:
        assert said["all"][1] == {o.card: o.pin}, "a step is handed what was returned"
        if o.end != "well":
            raise Rejected(f"refused {all_of(o)}")
        return said

    @end.compensate(fidelity="exact")
    def unend(ctx: Any, o: Purse, said: Any) -> None:
        return None

    return saga
