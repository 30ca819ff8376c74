"""A shop with two tenants, in one process: `alpha` has jobs, letters and sessions; `beta` has none of it and asks for them.

Routes are taken from the application, so a test that walks them covers one that is made tomorrow. Whatever a request
changes is taken back before the next one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.routing import Rule

from surefoot.app.access import keys, sessions, tenants
from surefoot.app.access.principal import Role
from surefoot.app.engine.operators import assignment
from surefoot.app.engine.worker import quarantine
from surefoot.app.engine.worker.quarantine import Unrunnable
from surefoot.app.store import reconciliations
from surefoot.app.store.actors import Actor
from surefoot.app.store.ids import new_id
from surefoot.app.store.session import reading
from surefoot.app.store.tables import api_keys, dead_letters, locks
from surefoot.app.store.tables import reconciliations as findings
from surefoot.web.api.auth import is_open, role_of
from surefoot.web.pages.forms import PREFIX
from tests.contract.views.shop import GOOD, Shop

OWNER, STRANGER = "alpha", "beta"
REASON = {"reason": "seen"}
# Routes for any key. One that is neither here nor says `needs` or `open_to_all` has been forgotten.
ANY_KEY = {
    "jobs.submit", "jobs.index", "jobs.show", "jobs.cancel", "jobs.history", "jobs.resubmit", "jobs.explain", "effects.index",
    "sagas.index", "sagas.show", "home.show", "home.submit", "home.recent", "jobs_page.find", "jobs_page.index", "job.show", "job.cancel",
    "job.history", "job.live", "job.resubmit", "job.steps", "sessions_page.show", "sessions_page.end", "sessions_page.end_all",
}  # fmt: skip
OWNED = {
    "job_id",
    "letter_id",
    "session",
    "message_id",
    "finding_id",
}  # arguments of an address that name what one tenant has
PAGES = "text/html"


@dataclass(frozen=True)
class Asker:
    """Who asks. `role` None: nobody, or with a key that is not good."""

    name: str
    tenant: str = ""
    role: Role | None = None
    key: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key is not None else {}

    @property
    def is_platform(self) -> bool:
        """Whether it may see what every tenant has."""
        return self.role is not None and str(self.role) == "platform"


@dataclass(frozen=True)
class Call:
    """One method of one route, its address filled in."""

    rule: Rule
    method: str
    names: dict[str, str]

    @property
    def endpoint(self) -> str:
        return str(self.rule.endpoint)

    @property
    def owned(self) -> bool:
        return bool(OWNED & self.rule.arguments)

    def __str__(self) -> str:
        return f"{self.method} {self.rule.rule}"


class House:
    """`words`: what only alpha knows; none of it may be read by anybody else."""

    def __init__(self, home: Path) -> None:
        self.file = home / "house.sqlite"
        self.shop = Shop(f"sqlite:///{self.file}")
        self.shop.tenant = tenants.ensure(self.shop.db, OWNER)
        self.app: Flask = self.shop.web()
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(50)
        )  # a line for each request is thousands
        self.words = {
            name: f"alphaonly-{name}"
            for name in ("sku", "tag", "key", "owner", "error", "agent", "lock")
        }
        self._fill()
        self.askers = list(self._askers())
        self.saved = sqlite3.connect(":memory:")
        with sqlite3.connect(self.file) as now:
            now.backup(self.saved)
        now.close()

    def close(self) -> None:
        self.saved.close()
        self.shop.close()

    def restore(self) -> None:
        """As it was at the beginning."""
        there = sqlite3.connect(self.file)
        self.saved.backup(there)
        there.close()

    def asker(self, name: str) -> Asker:
        return next(one for one in self.askers if one.name == name)

    # --- what alpha has ------------------------------------------------------------------------------------------
    def _fill(self) -> None:
        shop, words = self.shop, self.words
        script = shop.service.script
        more: dict[str, Any] = {"value": {"sku": words["sku"]}, "tags": (words["tag"],)}
        script["charge_card", "undo"] = [RuntimeError(words["error"])] * 2
        asked = shop.order(**more)
        for step in ("create_order", "reserve_stock", "charge_card"):
            shop.deliver(shop.next(f"shop.{step}"))
        shop.cancel(asked)
        assert shop.land(asked) == "attention"
        assignment.assign(shop.db, asked, words["owner"], Actor("test", new_id(), shop.tenant))
        script["charge_card", "action"] = [RuntimeError(words["error"])] * 5
        failed = shop.order(**more)
        assert shop.land(failed) == "failed"
        waiting = shop.order(**more, key=words["key"])
        body = f'[["{asked}"], {{}}, null]'.encode()
        message = quarantine.keep(
            shop.db,
            words["error"],
            Unrunnable(queue="orders", body=body, headers={}, size=len(body)),
        )
        self.jobs = {"asked": asked, "failed": failed, "waiting": waiting}
        d = dead_letters.c
        with reading(shop.db) as connection:
            found = connection.execute(select(d.job_id, d.id).where(d.state == "open"))
            letters = {row.job_id: row.id for row in found}
        self.letters = {"asked": letters[asked], "failed": letters[failed]}
        self.message = message
        about = {
            "saga": "shop",
            "step": "charge_card",
            "item": "",
            "service": "bank",
            "finding": "different",
            "action": "asked",
        }
        about |= {
            "job_id": asked,
            "key": f"{asked}:charge_card::action",
            "detail": {"says": words["error"]},
        }
        with shop.db.begin() as tx:
            tx.execute(locks.insert().values(key=words["lock"], job_id=waiting))
            assert reconciliations.note(tx, about | {"tenant_id": shop.tenant, "actor": "test"})
            self.finding = str(tx.execute(select(findings.c.id)).scalar_one())
        key = shop.key("admin", OWNER)
        with reading(shop.db) as connection:
            key_id = connection.scalars(
                select(api_keys.c.id).where(api_keys.c.name == f"{OWNER} admin")
            ).one()
        self.session_token = sessions.begin(
            shop.db, key_id, address="127.0.0.1", agent=words["agent"]
        )
        with reading(shop.db) as connection:
            limits = sessions.Limits.of(shop.settings)
            self.session = sessions.list_sessions(shop.db, limits, key_id)[0]["id"]
        self._key_of_admin = key

    def _askers(self) -> Iterator[Asker]:
        below = [role for role in Role if str(role) != "platform"]
        yield Asker("nobody")
        for role in below:
            key = self._key_of_admin if role == Role.ADMIN else self.shop.key(role, OWNER)
            yield Asker(f"{role} of {OWNER}", OWNER, role, key)
        for role in below[:2]:
            yield Asker(f"{role} of {STRANGER}", STRANGER, role, self.shop.key(role, STRANGER))
        highest = list(Role)[-1]
        yield Asker(
            f"{highest} of {tenants.DEFAULT}", tenants.DEFAULT, highest, self.shop.key(highest)
        )
        key_id, revoked = keys.create(self.shop.db, OWNER, Role.ADMIN, "revoked")
        keys.revoke(self.shop.db, key_id)
        yield Asker("a revoked key", key=revoked)
        yield Asker("no key at all", key="sf_\x01 Bearer")

    # --- routes --------------------------------------------------------------------------------------------------
    def calls(self, *, strange: bool = False) -> list[Call]:
        """Every method of every route, with names of what alpha has; or (`strange`) of what nobody has."""
        found = []
        for rule in sorted(self.app.url_map.iter_rules(), key=lambda rule: rule.rule):
            for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"}):
                found.append(
                    Call(
                        rule,
                        method,
                        {name: self._named(rule, name, strange) for name in rule.arguments},
                    )
                )
        return found

    def _named(self, rule: Rule, name: str, strange: bool) -> str:
        """An argument of an address. A new one has to be named here."""
        if strange and name in OWNED:
            return new_id()
        state = (
            "failed" if "resubmit" in rule.rule else "waiting" if "cancel" in rule.rule else "asked"
        )
        named = {
            "job_id": self.jobs[state if "letter_id" not in rule.arguments else "asked"],
            "letter_id": self.letters["asked" if "job_id" in rule.arguments else "failed"],
            "session": self.session,
            "message_id": self.message,
            "finding_id": self.finding,
            "step": "charge_card",
            "name": "shop",
            "slug": "not-found",
            "filename": "surefoot.css",
        }
        assert name in named, (
            f"{rule.rule}: say here what {name} is of, and whether one tenant has it (OWNED)"
        )
        return named[name]

    def path(self, call: Call) -> str:
        with self.app.test_request_context():
            return str(
                self.app.url_map.bind("localhost").build(
                    call.endpoint, call.names, method=call.method
                )
            )

    def send(
        self, call: Call, asker: Asker, client: FlaskClient | None = None, **headers: str
    ) -> Any:
        """The request as it should be, by this asker; with what that client has in its jar."""
        client = client or self.app.test_client(use_cookies=False)
        body = self._body(call) if call.method not in ("GET", "HEAD") else {}
        return client.open(
            self.path(call),
            method=call.method,
            headers=asker.headers | headers,
            buffered=True,
            **body,
        )

    def _body(self, call: Call) -> dict[str, Any]:
        if call.rule.rule.startswith("/api/"):
            return {"json": self._example(call)}
        form = {
            "saga": "shop",
            **{f"{PREFIX}{name}": str(value) for name, value in GOOD.items()},
            "owner": "",
            "decision": "redrive",
        }
        return {"data": form | REASON}

    def _example(self, call: Call) -> Any:
        """The body that the document shows for this route."""
        if call.endpoint == "jobs.submit":
            return {"saga": "shop", "input": GOOD}
        path = "".join(
            f"{{{part}}}" if is_argument else part for is_argument, part in call.rule._trace
        ).lstrip("|")
        said = self._document()["paths"][path][call.method.lower()].get("requestBody")
        if said is None:
            return {}
        name = said["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        return self._document()["components"]["schemas"][name].get("examples", [{}])[0]

    def _document(self) -> dict[str, Any]:
        if not hasattr(self, "_told"):
            self._told = self.app.test_client().get("/api/v1/openapi.json").get_json()
        return self._told

    # --- what a route says of itself -------------------------------------------------------------------------------
    def is_open(self, call: Call) -> bool:
        return call.endpoint == "static" or is_open(self.app.view_functions[call.endpoint])

    def role(self, call: Call) -> Role:
        """The least role. Raises: AssertionError for a route that does not say whom it is for."""
        declared = role_of(self.app.view_functions[call.endpoint])
        assert declared is not None or call.endpoint in ANY_KEY, (
            f"{call} says neither needs(role) nor open_to_all"
        )
        return declared or Role.USER
