"""Dead letters that were given a date, many at a time: each is redriven when its time has come.

The relay does it one by one, so that what was an outage does not become the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import structlog
from sqlalchemy import Connection

from surefoot.app.engine.jobs.intake import Entrance
from surefoot.app.engine.jobs.transaction import job_transaction
from surefoot.app.engine.operators.redrive import NotLanded, redrive_letter
from surefoot.app.engine.operators.resubmit import Asked
from surefoot.app.engine.relay.context import RelayContext
from surefoot.app.errors import RequestError, StoreUnavailable, TooManyOpenJobs
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.store import dead_letters
from surefoot.app.store.actors import Actor
from surefoot.app.store.rows.dead_letters import DueLetterRow

log = structlog.get_logger("surefoot.redrive")
PUT_OFF_S = 5.0  # a letter whose job is still being undone is looked at again after so long
# when the earliest is later than this, no relay was there to send it: all come so much later
LATE_S = 5.0


@dataclass
class Redrives:
    """Redrives the letters that are due."""

    relay: RelayContext
    entrance: Entrance = field(init=False)
    name: ClassVar[str] = "redriven"

    def __post_init__(self) -> None:
        # no registry: a relay has no code of sagas
        self.entrance = Entrance.of(self.relay.db, self.relay.settings)

    def run_once(self) -> int:
        """Returns how many letters it redrove."""
        late_s, rows = self.relay.read(self.name, self._due)
        if late_s:
            shifted = self.relay.write(self.name, lambda tx: dead_letters.delay_all(tx, late_s))
            log.info("redrive.put_off", seconds=round(late_s, 1), dead_letters=shifted)
            return 0
        return self.relay.isolated.each(self.name, rows, self._redrive)

    def _due(self, connection: Connection) -> tuple[float, Sequence[DueLetterRow]]:
        """How late the earliest is; and if it is not, the letters that are due."""
        late_s = dead_letters.redrive_lag_s(connection, LATE_S)
        if late_s:
            return late_s, ()
        return 0.0, dead_letters.due(connection, self.relay.room(self.name))

    def _redrive(self, row: DueLetterRow) -> int:
        try:
            asked = Asked(_in_the_name_of(row), row.redrive_why)
            done = redrive_letter(self.entrance, row.id, asked)
        except NotLanded:
            self._put_off(row, PUT_OFF_S)
            return 0
        except TooManyOpenJobs as full:
            self._put_off(row, full.retry_after_s)
            return 0
        except RequestError as error:
            # closed meanwhile, resubmitted already, or the saga's version of today refuses the
            # input
            refused = error.message
            still_open = self.relay.write(self.name, lambda tx: _refuse(tx, row, refused))
            log.warning("redrive.refused", letter=row.id, error=refused, still_open=still_open)
            return 0
        except StoreUnavailable:
            raise
        except Exception:
            # a mistake, or what this code cannot read: it must not put off the plan of the others
            self._put_off(row, PUT_OFF_S)
            raise
        self.relay.publish(done.plan)
        return 1

    def _put_off(self, row: DueLetterRow, seconds: float) -> None:
        self.relay.write(self.name, lambda tx: dead_letters.postpone(tx, row.id, seconds))


def _in_the_name_of(row: DueLetterRow) -> Actor:
    """The person who dated the letter: history names them. Their act is on record already."""
    return Actor(row.redrive_by, row.redrive_key, acting=False)


def _refuse(tx: Connection, row: DueLetterRow, refused: str) -> bool:
    """The letter stays open, without a date; the history of its job says why."""
    with job_transaction(tx, row.job_id) as job_tx:
        still_open = dead_letters.unschedule_one(tx, row.id)
        if still_open:
            job_tx.record(HistoryEvent.REDRIVE_REFUSED, actor=_in_the_name_of(row), why=refused)
    return still_open
