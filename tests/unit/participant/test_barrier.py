from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy.orm import Session

from surefoot.app.participant import ActionUndone, EffectState, barrier, effects_in_barrier


def act(participant: Any, ctx: Any, result: Any = None, what: str = "effect") -> Any:
    """Do an effect behind the barrier, as a service does. Returns: the barrier's answer."""
    with participant.engine.begin() as tx, barrier(tx, ctx) as first:
        if first:
            participant.write(tx, what)
            first.keep(result)
        return first


def test_given_first_action_when_repeated_then_stored_result_and_one_effect(
    participant: Any, ask: Any
) -> None:
    assert act(participant, ask(), {"id": 7})
    again = act(participant, ask(fence=2), {"id": 8})
    assert not again
    assert again.result == {"id": 7}
    assert participant.count("effect") == 1


@pytest.mark.parametrize("result", [None, {"a": [1, 2.5, "ü", None, True]}, [], "text", 0, False])
def test_given_any_json_result_when_repeated_then_the_same(
    participant: Any, ask: Any, result: Any
) -> None:
    act(participant, ask(), result)
    assert act(participant, ask()).result == result


def test_given_other_step_or_kind_when_asked_then_its_own_effect(
    participant: Any, ask: Any
) -> None:
    assert act(participant, ask())
    assert act(participant, ask(step="other"))
    assert act(participant, ask(kind="confirm"))
    assert not act(participant, ask(kind="confirm"))


def test_given_action_done_when_undone_then_first_and_repeat_has_its_result(
    participant: Any, ask: Any
) -> None:
    act(participant, ask())
    undo = act(participant, ask("undo"), {"released": 2}, "undo")
    again = act(participant, ask("undo"), {"released": 9}, "undo")
    assert undo
    assert not undo.empty
    assert not again
    assert not again.empty
    assert again.result == {"released": 2}
    assert participant.count("undo") == 1


def test_given_no_action_when_undone_twice_then_empty_both_times(
    participant: Any, ask: Any
) -> None:
    for _ in range(3):
        undo = act(participant, ask("undo"), None, "undo")
        assert not undo
        assert undo.empty
    assert participant.count("undo") == 0


def test_given_empty_undo_when_action_comes_late_then_refused(participant: Any, ask: Any) -> None:
    act(participant, ask("undo"))
    with pytest.raises(ActionUndone) as caught:
        act(participant, ask())
    assert caught.value.nothing_happened
    assert participant.count("effect") == 0


def test_given_undone_action_when_a_frozen_worker_asks_again_then_refused(
    participant: Any, ask: Any
) -> None:
    act(participant, ask(), {"id": 7})
    act(participant, ask("undo"), None, "undo")
    with pytest.raises(ActionUndone):
        act(participant, ask())
    assert participant.count("effect") == 1


def test_given_error_in_the_block_when_repeated_then_it_is_the_first_again(
    participant: Any, ask: Any
) -> None:
    with pytest.raises(RuntimeError), participant.engine.begin() as tx, barrier(tx, ask()) as first:
        assert first
        participant.write(tx, "effect")
        raise RuntimeError
    assert act(participant, ask())
    assert participant.count("effect") == 1


def test_given_orm_session_when_used_then_the_same_promise(participant: Any, ask: Any) -> None:
    answers = []
    for _ in range(2):
        with (
            Session(participant.engine) as session,
            session.begin(),
            barrier(session, ask()) as first,
        ):
            answers.append((bool(first), first.result))
            if first:
                first.keep("kept")
    assert answers == [(True, None), (False, "kept")]


def test_given_action_under_way_when_repeated_then_the_second_waits_and_gets_the_result(
    participant: Any, ask: Any, threads: ThreadPoolExecutor
) -> None:
    with participant.engine.begin() as tx, barrier(tx, ask()) as first:
        assert first
        second = threads.submit(act, participant, ask(fence=2), {"id": 8})
        participant.wait_for_a_waiter()
        assert not second.done()
        participant.write(tx, "effect")
        first.keep({"id": 7})
    assert second.result(20).result == {"id": 7}
    assert participant.count("effect") == 1


def test_given_action_under_way_when_it_rolls_back_then_the_waiting_one_is_first(
    participant: Any, ask: Any, threads: ThreadPoolExecutor
) -> None:
    with pytest.raises(RuntimeError), participant.engine.begin() as tx, barrier(tx, ask()):
        second = threads.submit(act, participant, ask(fence=2), {"id": 8})
        participant.wait_for_a_waiter()
        raise RuntimeError
    assert second.result(20)
    assert participant.count("effect") == 1


@pytest.mark.parametrize("commits", [True, False])
def test_given_action_under_way_when_undo_races_then_it_waits_for_the_outcome(
    participant: Any, ask: Any, threads: ThreadPoolExecutor, commits: bool
) -> None:
    with (
        participant.engine.connect() as tx
    ):  # closed whatever happens, or the other thread would wait for ever
        transaction = tx.begin()
        with barrier(tx, ask()):
            participant.write(tx, "effect")
        undo = threads.submit(act, participant, ask("undo"), None, "undo")
        participant.wait_for_a_waiter()
        if commits:
            transaction.commit()
        else:
            transaction.rollback()
    assert bool(undo.result(20)) is commits
    assert undo.result().empty is not commits
    assert participant.count("undo") == participant.count("effect") == int(commits)


def test_given_undo_under_way_when_action_races_then_it_waits_and_is_refused(
    participant: Any, ask: Any, threads: ThreadPoolExecutor
) -> None:
    with participant.engine.begin() as tx, barrier(tx, ask("undo")) as undo:
        assert undo.empty
        action = threads.submit(act, participant, ask())
        participant.wait_for_a_waiter()
    with pytest.raises(ActionUndone):
        action.result(20)


def test_given_many_racing_actions_and_undos_when_all_have_ended_then_effects_equal_undos(
    participant: Any, ask: Any, threads: ThreadPoolExecutor
) -> None:
    gate = threading.Barrier(8)

    def one(step: str, kind: str) -> None:
        gate.wait(20)
        try:
            act(participant, ask(kind, step=step), None, f"{kind} {step}")
        except ActionUndone:
            assert kind == "action"

    for step in ("a", "b", "c", "d", "e"):
        kinds = ["action", "undo"] * 4
        for future in [threads.submit(one, step, kind) for kind in kinds]:
            future.result(30)
        done, undone = participant.count(f"action {step}"), participant.count(f"undo {step}")
        assert done == undone <= 1


CHILD = """
import os, signal, sys
sys.path.insert(0, {root!r})
from sqlalchemy import create_engine, text
from types import SimpleNamespace
from surefoot.app.participant import barrier
tx = create_engine({url!r}).connect()
tx.begin()
with barrier(tx, SimpleNamespace(key="job-1:reserve_stock::action", action_key="", kind="action", fence=1)) as first:
    assert first
    tx.execute(text("insert into effects (what) values ('effect')"))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_given_worker_killed_in_its_transaction_when_repeated_then_it_is_the_first(
    participant: Any, ask: Any
) -> None:
    url = participant.engine.url.render_as_string(hide_password=False)
    child = subprocess.run(
        [sys.executable, "-c", CHILD.format(root=os.getcwd(), url=url)], timeout=60
    )
    assert child.returncode == -signal.SIGKILL
    assert act(participant, ask(fence=2), {"id": 7})
    assert participant.count("effect") == 1


def test_given_barrier_rows_when_read_as_effects_then_states_in_words(
    participant: Any, ask: Any
) -> None:
    act(participant, ask(step="stands"), {"id": 7})
    act(participant, ask(step="gone"))
    act(participant, ask("undo", step="gone"))
    act(participant, ask("undo", step="never"))
    keys = [f"job-1:{step}::action" for step in ("stands", "gone", "never", "unheard")]
    with participant.engine.begin() as tx:
        seen = {s.key.split(":")[1]: s for s in effects_in_barrier(tx, keys)}
    assert {name: s.state for name, s in seen.items()} == {
        "stands": EffectState.DONE,
        "gone": EffectState.UNDONE,
        "never": EffectState.NONE,
    }
    assert seen["stands"].detail == {"result": {"id": 7}}
