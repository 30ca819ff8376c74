"""A traceparent is taken as it came; what is none is replaced."""

from __future__ import annotations

import pytest

from surefoot import Context
from surefoot.app.trace import CHARS, taken, trace_id
from surefoot.workers.sagas.order.services import bank_client

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SAID = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (SAID, SAID),
        (SAID.replace("-01", "-00"), SAID.replace("-01", "-00")),
        (f"cc-{TRACE}-00f067aa0ba902b7-01-what-a-later-version-says", SAID),
        (f"cc-{TRACE}-00f067aa0ba902b7-01", SAID),
    ],
)
def test_given_a_traceparent_when_taken_then_it_is_kept(said: str, kept: str) -> None:
    assert taken(said) == kept
    assert (trace_id(kept), len(kept)) == (TRACE, CHARS)


@pytest.mark.parametrize(
    "said",
    [
        None,
        "",
        "rubbish",
        TRACE,
        SAID.upper(),
        SAID + "-more",
        SAID + "\n",
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-00f067aa0ba902b7-01" * 2,
    ],
)
def test_given_what_is_no_traceparent_when_taken_then_a_new_one_each_time(said: str | None) -> None:
    first, second = taken(said), taken(said)
    assert first != second
    assert taken(first) == first
    assert TRACE not in first


def test_given_a_job_with_a_trace_when_its_steps_ask_the_bank_then_the_bank_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard = []

    def call(
        method: str, path: str, timeout_s: float, **request: dict[str, str]
    ) -> tuple[int, bytes]:
        heard.append(request["headers"].get("traceparent"))
        state = "void" if path.endswith("void") else "settled"
        entry = bank_client.BankCharge(
            key="j:s::action", charge_id="c", amount_cents=1, refunded_cents=0, state=state
        )
        return 200, entry.model_dump_json().encode()

    monkeypatch.setattr(bank_client, "_call", call)
    for traceparent in (SAID, None):
        bank_client.charge(Context("j", "order", "s", traceparent=traceparent), 1, "tok_ok")
        bank_client.void(Context("j", "order", "s", kind="undo", traceparent=traceparent))
    assert heard == [SAID, SAID, None, None]
