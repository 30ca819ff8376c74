from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from surefoot.app.cli.drill import drill as command
from surefoot.app.drill import report
from surefoot.app.drill.run import drill
from surefoot.app.errors import RequestError, SettingsError
from surefoot.app.participant import EffectState
from surefoot.app.saga.definition import Saga
from tests.support import transfer_saga
from tests.support.transfer_saga import Accounts, Transfer, careless, safe, transfer, undeclared

SAGAS = "tests.support.transfer_saga"


def saga_that(**broken: Any) -> Saga[Transfer]:
    """The saga of the transfer, with accounts that do something else."""
    accounts = Accounts()
    for name, function in broken.items():
        setattr(accounts, name, function.__get__(accounts))
    return transfer_saga.transfer_saga("broken", accounts)


# --- what it finds -------------------------------------------------------------------------------------------------
def test_given_sound_saga_of_a_developer_when_drilled_then_every_row_passes() -> None:
    drawn = drill(transfer, only="undo:error")

    assert [(r.row.name, r.why) for r in drawn.failed] == []
    states = {
        r.row.name: (r.job_state, r.redriven_to, r.outcome, dict(r.services), r.attempts)
        for r in drawn.results
    }
    assert states["deposit.undo:error@after_effect"] == (
        "failed",
        "",
        "undone",
        {"accounts": "undone"},
        2,
    )
    assert states["withdraw.undo:error@before_effect*10"] == (
        "failed",
        "",
        "undone",
        {"accounts": "undone"},
        11,
    )


def test_given_undo_that_is_not_idempotent_when_drilled_then_it_fails_with_a_schedule_to_read_and_to_replay() -> (
    None
):
    drawn = drill(careless, only="deposit.undo:error@after")

    worst = drawn.shortest_failing
    assert worst is not None
    assert worst.row.name == "deposit.undo:error@after_effect"
    assert worst.why == "no_money_is_made: there were 200 in the accounts, and there are 190"
    said = [line.split("s  ", 1)[1] for line in worst.trace]
    assert said[3:9] == [
        "* reject note @ before_effect",
        "failed               note, attempt 1, refused by the drill",
        "compensation started job, refused by the drill",
        "* error deposit.undo @ after_effect",
        "attempt failed       deposit.undo, attempt 1, an error of the drill",
        "completed            deposit.undo, attempt 2",
    ]
    assert (
        drawn.replay(worst)
        == "surefoot drill careless --only 'deposit.undo:error@after_effect' --seed 0"
    )
    again = drill(careless, only=worst.row.name)
    assert [list(r.trace) for r in again.results] == [
        list(worst.trace)
    ]  # the same alone as among all others


def test_given_mistake_in_one_row_when_drilled_then_the_next_rows_start_in_a_fresh_world() -> None:
    results = drill(careless, only=":crash@after_effect").results
    once = [r.passed for r in results if r.row.name.endswith(":crash@after_effect")]
    assert once == [True, False, True, False, True]
    assert {r.row.name for r in results if not r.passed} == {
        f"{step}.undo:crash@after_effect{often}"
        for step in ("withdraw", "deposit")
        for often in ("", "*10")
    }


def test_given_action_that_comes_after_its_undo_and_is_let_in_when_drilled_then_the_worker_frozen_until_then_tells() -> (
    None
):
    def lets_in(self: Accounts, key: str, name: str, amount: int) -> int:
        if self.keys.get(key) != EffectState.DONE:
            self.keys[key] = EffectState.DONE
            self.balance[name] += amount
        return self.balance[name]

    drawn = drill(saga_that(book=lets_in), only=":freeze@before_effect")
    assert {r.row.name for r in drawn.failed} == {
        "withdraw:freeze@before_effect+undone",
        "deposit:freeze@before_effect+undone",
    }
    worst = drawn.shortest_failing
    assert worst is not None
    assert "no_money_is_made: there were 200 in the accounts, and there are 190" in worst.why
    assert "withdraw is undone by the engine's account; accounts says done" in worst.why
    said = [line.split("s  ", 1)[1] for line in worst.trace]
    assert said.index("job failed           job") < said.index("* the frozen worker goes on")
    assert said[-1] == "late result refused  job"
    # while the job goes forward meanwhile, under the same key, or the undo waits for it, nothing is wrong
    assert drill(saga_that(book=lets_in), only="withdraw:cancel").failed == []


def test_given_key_with_the_attempt_in_it_when_drilled_then_a_crash_after_the_effect_tells() -> (
    None
):
    def forgets(self: Accounts, key: str, name: str, amount: int) -> int:
        self.keys[key] = EffectState.DONE
        self.balance[name] += amount
        return self.balance[name]

    drawn = drill(saga_that(book=forgets), only=":crash@after_effect")
    assert {r.row.name for r in drawn.failed} >= {
        "deposit:crash@after_effect",
        "withdraw:crash@after_effect",
    }


def test_given_lane_whose_only_worker_is_gone_when_drilled_then_jobs_wait_and_land_when_another_comes() -> (
    None
):
    drawn = drill(transfer, only="lane without a worker")

    assert [(r.row.name, r.why) for r in drawn.failed] == []
    assert {r.row.name: (r.job_state, r.redriven_to) for r in drawn.results} == {
        "accounts:gone": ("completed", ""),
        "accounts:gone@after_effect": ("completed", ""),
        "accounts:gone@undo": ("failed", ""),
        "notes:gone": ("completed", ""),
        "notes:gone@after_effect": ("completed", ""),
    }


def test_given_saga_that_gives_up_and_a_lane_without_its_worker_when_drilled_then_jobs_end_or_ask_and_land_when_another_comes() -> (
    None
):
    drawn = drill(
        transfer_saga.transfer_saga("hasty", Accounts(), queue_timeout="15m"),
        only="lane without a worker",
    )

    assert [(r.row.name, r.why) for r in drawn.failed] == []
    ends = {
        r.row.name: (r.job_state, r.redriven_to, dict(r.services)["accounts"])
        for r in drawn.results
    }
    assert ends == {
        "accounts:gone": ("failed", "", "none"),
        "accounts:gone@after_effect": ("attention", "failed", "undone"),
        "accounts:gone@undo": ("attention", "failed", "undone"),
        "notes:gone": ("failed", "", "undone"),  # the pivot was never begun
        "notes:gone@after_effect": ("attention", "completed", "done"),
    }
    back = next(r for r in drawn.results if r.row.name == "accounts:gone@after_effect")
    said = [
        line.split("s  ", 1)[1]
        for line in back.trace
        if line.endswith(("lane accounts", "redriven"))
    ]
    assert said == ["* a worker comes for lane accounts", "a person: withdraw.undo redriven"]


def test_given_reader_that_says_otherwise_when_drilled_then_the_account_and_the_service_are_set_side_by_side() -> (
    None
):
    drawn = drill(
        saga_that(
            seen=lambda self, keys: [
                transfer_saga.EffectReport(key, EffectState.UNDONE) for key in keys
            ]
        ),
        only="example-0",
    )
    assert "withdraw is done by the engine's account; accounts says undone" in drawn.failed[0].why


def test_given_invariant_that_breaks_when_drilled_then_that_is_a_finding() -> None:
    saga = saga_that()

    @saga.invariant
    def clumsy(world: Any) -> list[str]:
        raise ZeroDivisionError("by hand")

    assert (
        "clumsy could not be asked: ZeroDivisionError: by hand"
        in drill(saga, only="example-0").failed[0].why
    )


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        pytest.param(lambda self, keys: 1 / 0, "ZeroDivisionError: division by zero", id="raises"),
        pytest.param(
            lambda self, keys: ["done"], "TypeError: it gave str, not EffectReport", id="no-seen"
        ),
    ],
)
def test_given_reader_that_fails_when_drilled_then_that_is_a_finding(seen: Any, said: str) -> None:
    (result,) = drill(saga_that(seen=seen), only="example-0").failed
    assert f"the reader of 'accounts' could not be asked: {said}" in result.why
    assert dict(result.services)["accounts"] == "unreachable"


def test_given_invariant_that_returns_one_sentence_when_drilled_then_it_is_told_whole() -> None:
    saga = saga_that()
    saga.invariant(said_as_a_text)
    assert drill(saga, only="example-0").failed[0].why == "said_as_a_text: it is late"


def said_as_a_text(world: Any) -> str:
    return "it is late"


# --- whether it starts ---------------------------------------------------------------------------------------------
def test_given_neither_world_nor_safe_steps_when_drilled_then_it_does_not_start_and_says_what_to_do() -> (
    None
):
    with pytest.raises(
        SettingsError,
        match=r"never calls the real world. Declare @undeclared.test_environment.*not said of withdraw, deposit, note",
    ):
        drill(undeclared)


def test_given_steps_that_are_safe_when_drilled_then_no_world_is_needed() -> None:
    assert drill(safe, only="withdraw:crash@after_effect").failed == []


def test_given_production_when_drilled_then_it_does_not_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SUREFOOT_ENV", "production")
    with pytest.raises(
        SettingsError, match="SUREFOOT_ENV=production: a drill makes faults on purpose"
    ):
        drill(transfer)


def test_given_no_examples_or_unknown_row_when_drilled_then_it_says_so() -> None:
    saga = saga_that()
    saga.examples = ()
    with pytest.raises(RequestError, match="saga broken has no examples"):
        drill(saga)
    with pytest.raises(RequestError, match="has no row, group or operation 'nothing'"):
        drill(transfer, only="nothing")


# --- the command ---------------------------------------------------------------------------------------------------
def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str]:
    monkeypatch.setenv("SUREFOOT_SAGAS", SAGAS)
    done = CliRunner().invoke(command, words, standalone_mode=False)
    code = (
        done.return_value if done.exception is None else getattr(done.exception, "exit_code", None)
    )
    return code or 0, done.stdout


def test_given_failing_row_when_asked_for_json_then_its_shape_and_exit_code_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code, out = run(monkeypatch, "careless", "--only", "deposit.undo:error@after_effect", "--json")
    told = json.loads(out)
    assert code == 1
    assert {name: told[name] for name in ("saga", "seed", "passed", "failed")} == {
        "saga": "careless",
        "seed": 0,
        "passed": 0,
        "failed": 1,
    }
    assert told["rows"][0] == {
        "row": "deposit.undo:error@after_effect",
        "group": "compensation retry",
        "fault": "error",
        "operation": "deposit.undo",
        "point": "after_effect",
        "job_state": "failed",
        "redriven_to": "",
        "outcome": "undone",
        "services": {"accounts": "undone"},
        "attempts": 2,
        "lines": 0,
        "lines_in_all": 0,
        "lines_kept_in": 0,
        "skipped": False,
        "pass": False,
        "step": "deposit",
        "why": "no_money_is_made: there were 200 in the accounts, and there are 190",
        "findings": [
            {
                "step": "deposit",
                "says": "no_money_is_made: there were 200 in the accounts, and there are 190",
            }
        ],
    }
    assert (
        told["shortest_failing"]["replay"]
        == "surefoot drill careless --only 'deposit.undo:error@after_effect' --seed 0"
    )


def test_given_command_when_run_then_text_and_markdown_and_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code, out = run(monkeypatch, "transfer", "--only", "withdraw:crash@after_claim")
    assert code == 0
    assert "1 of 1 rows passed (seed 0)" in out
    _, out = run(monkeypatch, "transfer", "--only", "withdraw:crash@after_claim", "--markdown")
    assert (
        "| worker killed | withdraw | after_claim | completed | accounts done | 2 | pass |" in out
    )
    _, out = run(monkeypatch, "transfer", "--list")
    assert "deposit.undo:freeze@before_effect" in out
    assert run(monkeypatch, "careless", "--only", "deposit.undo:error@after_effect")[0] == 1


def test_given_results_when_services_agree_then_one_word_says_it() -> None:
    assert report.said({"a": "done", "b": "done"}) == "all done"
    assert report.said({"a": "done", "b": "none"}) == "a done, b none"
    assert report.said({}) == "-"
