"""A drill on real processes: a real broker, real signals, and faults that are told by
SUREFOOT_FAULTS.

All rows share one start. The processes are told every fault there is; which of them fires is a
matter of the counts in the store, for a fault that has fired its TIMES does not fire: before a row
all counts stand at the full number, but for the faults of the row. What no fault can do (kill a
whole worker, freeze it, empty the broker) is done to a job that a `delay` holds at the point.
Back-offs are made due in the store, so nobody waits for a clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from datetime import UTC, datetime
from typing import Any

import httpx
import redis
from sqlalchemy import Engine, select

from surefoot.app.clock import now
from surefoot.app.config import Settings
from surefoot.app.delivery.broker import redis_url
from surefoot.app.delivery.producer import producer_app
from surefoot.app.delivery.publisher import Publisher
from surefoot.app.drill.processes import Processes
from surefoot.app.drill.real_rows import HOLD_S, fault_of, held_at
from surefoot.app.drill.row import COPIES, Disturbance, Row
from surefoot.app.drill.run_result import NotLanded, RunResult, line_of
from surefoot.app.engine.jobs.dispatch import publish_plan
from surefoot.app.engine.jobs.transaction import message_of
from surefoot.app.errors import StoreUnavailable
from surefoot.app.faults import MOST_TIMES, Fault, Point, What
from surefoot.app.rules.events import HistoryEvent, stored
from surefoot.app.rules.planner import Chain, Plan
from surefoot.app.rules.states import ENDED, LIVE, Dir, JobState
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.naming import task_name
from surefoot.app.store import fault_control, job_reads, operation_reads
from surefoot.app.store.ids import new_id, operation_id
from surefoot.app.store.rows.operations import OperationRow
from surefoot.app.store.session import asking
from surefoot.app.store.tables import history, jobs, operations
from surefoot.app.supervisor.child import Child

LOOK_S = 0.02
OUTAGE_S = (
    30.0  # a job that has not landed by then only waits for the service, which then comes back
)
LAND_S = 60.0  # how long a row may take; none should need a quarter of it
MET_S = 10.0  # how long after the end of a job its last fault may still fire
LATE_S = 0.5  # how long a message that comes too late is given to do harm
POST_S = 15.0
HELD = (
    Disturbance.FREEZE,
    Disturbance.KILL_ALL,
    Disturbance.CANCEL,
    Disturbance.FLUSH,
)  # done from outside to a job that is held at the point


class RealProcesses:
    """Plays rows one after the other on running processes."""

    def __init__(
        self,
        saga: Saga[Any],
        running: Processes,
        faults: Sequence[Fault],
        outage: Callable[[str], Any] | None,
    ) -> None:
        self.saga, self._run, self._faults, self._outage = saga, running, faults, outage
        self.db: Engine = running.db
        self.settings: Settings = running.settings
        self._publisher = Publisher(producer_app(running.broker_url), 0.0)
        self._http = httpx.Client(
            base_url=f"{running.web_url}/api/v1",
            headers={"Authorization": f"Bearer {running.secrets.api_key}"},
            timeout=POST_S,
            trust_env=False,
        )
        self._away = ExitStack()
        with (
            asking(self.db) as connection
            # how far the store's clock is ahead of this process: its times and those of logs are told
            # side by side
        ):
            self._ahead = connection.execute(select(now())).scalar_one() - datetime.now(UTC)
        self._disarm()

    def close(self) -> None:
        self._away.close()
        self._http.close()

    # --- what a drill asks of its player ----------------------------------------------------------
    def play(self, row: Row, input: dict[str, Any]) -> RunResult:  # noqa: A002
        """Submit the input over HTTP, do to the job what the row says, and let it land.

        Raises: NotLanded; Stopped.
        """
        self._begin(row)
        self._run.until_ready()
        armed = self._arm(row)
        if row.trick == Disturbance.OUTAGE and not row.first:
            self._take_away(row.service)
        self._job_id = self._submit(input)
        if row.trick == Disturbance.EARLY:
            self._send(row)
        met = self._while_held(row, armed)
        self._land()
        if self._frozen is not None:
            self._run.thaw(self._frozen)
            self.say("* the frozen worker goes on")
            self._wait(lambda: self._refused_late(), HOLD_S + LATE_S)
        if row.trick == Disturbance.LATE:
            self._come_again(row)
        self._read_history()
        if row.trick == Disturbance.OUTAGE:
            met = self._taken
        elif row.strike is not None and row.trick not in HELD:
            met = self._wait(
                lambda: self._left(armed) == 0, MET_S
            )  # the last commit may be seen before what comes after it fires
        self._disarm()
        return RunResult(self._job_id, self._trace, met)

    def _begin(self, row: Row) -> None:
        self._row, self._began, self._seq, self._job_id = row, time.monotonic(), 0, ""
        self._began_at = datetime.now(UTC)
        self._lines: list[tuple[float, str]] = []  # (seconds since the row began, what happened)
        self._trace: list[str] = []
        self._run.fired()  # of rows before
        self._frozen: Child | None = None
        self._taken = False

    def go_on(self) -> None:
        """Let the job land again. Raises: NotLanded."""
        self._land()
        self._read_history()

    def publish_plan(self, plan: Plan) -> None:
        """Publish what a person's decision has released."""
        publish_plan(self.db, self._publisher, plan)

    def bring_back(self) -> None:
        """End the outage, if there is one."""
        self._away.close()

    def say(self, text: str) -> None:
        """One line into the trace."""
        self._note([(time.monotonic() - self._began, text)])

    def _note(self, lines: Iterable[tuple[float, str]]) -> None:
        self._lines = sorted([*self._lines, *lines], key=lambda line: line[0])
        self._trace[:] = [f"{seconds:8.1f} s  {text}" for seconds, text in self._lines]

    # --- faults -----------------------------------------------------------------------------------
    def _arm(self, row: Row) -> dict[str, int]:
        """Let the faults of this row fire, but for what happens then.

        Returns: fault's key -> how often.
        """
        armed = {
            fault_of(strike).key: strike.times for strike in row.strikes if strike not in row.then
        }
        if row.trick == Disturbance.DUPLICATE:
            armed[
                held_at(task_name(self.saga.name, row.step, row.kind), Point.BEFORE_EFFECT).key
            ] = 1
        self._may_fire(armed)
        return armed

    def _may_fire(self, times: Mapping[str, int]) -> None:
        fault_control.set_fired(self.db, {key: MOST_TIMES - count for key, count in times.items()})

    def _disarm(self) -> None:
        fault_control.set_fired(self.db, {fault.key: MOST_TIMES for fault in self._faults})

    def _left(self, armed: dict[str, int]) -> int:
        """How often the faults of this row have still to fire."""
        return sum(MOST_TIMES - fault_control.fired(self.db, key) for key in armed)

    def _while_held(self, row: Row, armed: dict[str, int]) -> bool:
        """Do from outside what no fault can do, while the job stands at the point.

        False: it never came there.
        """
        if row.trick not in (*HELD, Disturbance.DUPLICATE):
            return True
        key = next(reversed(armed))  # the row's own fault comes after those that lead to it
        if not self._wait(
            lambda: fault_control.fired(self.db, key) == MOST_TIMES, LAND_S, hurry=True
        ):
            return False
        self.say(f"* {row.trick} {row.operation} @ {row.point or Point.BEFORE_EFFECT}")
        match row.trick:
            case Disturbance.DUPLICATE:
                for _ in range(COPIES):
                    self._send(row)
            case Disturbance.KILL_ALL:
                self._run.kill_all()
            case Disturbance.FREEZE:
                operation = self._operation(row)
                pid = operation.pid if operation is not None else None
                self._frozen = self._run.worker_of(pid) if pid is not None else None
                if self._frozen is None:
                    return False
                self._run.freeze(self._frozen)
                self._may_fire({fault_of(strike).key: strike.times for strike in row.then})
            case Disturbance.CANCEL:
                answer = self._http.post(f"/jobs/{self._job_id}/cancel")
                self.say(f"  cancel answered {answer.status_code}")
            case Disturbance.FLUSH:
                with redis.Redis.from_url(redis_url(self._run.broker_url)) as client:
                    client.flushdb()
        return True

    def _take_away(self, service: str) -> None:
        away: AbstractContextManager[Any] | None = (
            self._outage(service) if self._outage is not None else None
        )
        if away is not None:
            self._away.enter_context(away)
            self._taken = True
            self.say(f"* {service} is away")

    # --- messages ---------------------------------------------------------------------------------
    def _submit(self, input: dict[str, Any]) -> str:  # noqa: A002
        """The job that is accepted; asked for again, under the same key, while the web server is
        not there. Raises: NotLanded; Stopped.
        """
        key, found = {"Idempotency-Key": new_id()}, ""

        def accepted() -> bool:
            nonlocal found
            with suppress(httpx.TransportError):
                answer = self._http.post(
                    "/jobs", json={"saga": self.saga.name, "input": input}, headers=key
                )
                if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                    return False
                answer.raise_for_status()
                found = str(answer.json()["id"])
            return bool(found)

        if not self._wait(accepted, LAND_S):
            raise NotLanded("not accepted", self._trace)
        return found

    def _send(self, row: Row) -> None:
        message = message_of(self._job_id, self.saga.graph, row.step, row.kind)
        self._publisher.publish((Chain((message,)),))

    def _come_again(self, row: Row) -> None:
        self._read_history()
        self.say(f"* message of {row.operation} comes again")
        for _ in range(COPIES):
            self._send(row)
        self._wait(lambda: False, LATE_S)

    # --- waiting ----------------------------------------------------------------------------------
    def _land(self) -> None:
        row = self._row

        def landed() -> bool:
            if row.trick == Disturbance.OUTAGE and row.first and not self._taken and self._turned():
                self._take_away(row.service)
            if (
                row.strike is not None
                and row.strike.what == What.HANG
                and fault_control.fired(self.db, fault_of(row.strike).key) == MOST_TIMES
            ):
                fault_control.reach_limit(self.db, self._job_id, row.step, row.kind)
            return self._at_rest()

        if row.trick == Disturbance.OUTAGE and not self._wait(landed, OUTAGE_S, hurry=True):
            self.bring_back()
            self.say("* the service is back")
        if not self._wait(landed, LAND_S, hurry=True):
            self._read_history()
            raise NotLanded(self._state(), self._trace)

    def _wait(
        self, condition: Callable[[], bool], timeout_s: float, *, hurry: bool = False
    ) -> bool:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            self._run.look()
            with suppress(
                StoreUnavailable
            ):  # a process that was killed may have held SQLite's lock a moment ago
                if condition():
                    return True
                if hurry and self._job_id:
                    fault_control.hurry(self.db, self._job_id)
            time.sleep(LOOK_S)
        return False

    def _at_rest(self) -> bool:
        state = self._state()
        if state != JobState.ATTENTION:
            return state in ENDED
        o = operations.c
        with asking(self.db) as connection:
            moving = (
                select(o.id)
                .where(o.job_id == self._job_id, o.state.in_(LIVE), o.pending_dependencies == 0)
                .limit(1)
            )
            return connection.execute(moving).first() is None

    def _state(self) -> str:
        with asking(self.db) as connection:
            return str(
                connection.execute(
                    select(jobs.c.state).where(jobs.c.id == self._job_id)
                ).scalar_one()
            )

    def _turned(self) -> bool:
        with asking(self.db) as connection:
            return bool(
                connection.execute(
                    select(jobs.c.direction).where(jobs.c.id == self._job_id)
                ).scalar_one()
                == Dir.BACK
            )

    def _operation(self, row: Row) -> OperationRow | None:
        id_ = operation_id(self._job_id, row.step, "", row.kind)
        with asking(self.db) as connection:
            return operation_reads.operation(connection, id_)

    def _refused_late(self) -> bool:
        h = history.c
        with asking(self.db) as connection:
            refused = select(h.seq).where(
                h.job_id == self._job_id, h.event.in_(stored(HistoryEvent.LATE_RESULT_REFUSED))
            )
            return connection.execute(refused).first() is not None

    def _read_history(self) -> None:
        """What is new in the job's history, at its own times, and which faults have fired."""
        with asking(self.db) as connection:
            rows = job_reads.history_after(connection, self._job_id, self._seq)
        self._seq = rows[-1].seq if rows else self._seq
        self._note(
            ((row.at - self._ahead - self._began_at).total_seconds(), line_of(row)) for row in rows
        )
        told = {
            fault.key: fault
            for fault in self._faults
            if fault.what != What.DELAY or self._row.trick not in HELD
        }
        self._note(
            (
                (at - self._began_at).total_seconds(),
                f"* {told[key].what} {told[key].target.partition('.')[2]} @ {told[key].point}",
            )
            for at, key in self._run.fired()
            if key in told
        )
