"""A saga shaped like an order, run in one process by the real engine, and a web application on the same store."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from flask import Flask
from flask.testing import FlaskClient
from pydantic import BaseModel, Field

from surefoot.app.access import keys
from surefoot.app.engine.jobs.dispatch import publish_plan
from surefoot.app.engine.reconcile import findings
from surefoot.app.participant import EffectReport, EffectState
from surefoot.app.rules.planner import Plan
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.inputs import refused_above, secret
from surefoot.app.saga.policies import Retry
from surefoot.app.store.ids import new_id
from surefoot.app.store.session import reading
from surefoot.app.store.tables import reconciliations
from surefoot.web import create_app
from surefoot.web.publishing import Bell
from surefoot.web.services import EXTENSION
from tests.support.world import Participant, World

NO_RATES = {"key_rate": 0.0, "address_rate": 0.0, "wrong_keys_minute": 0}
GOOD: dict[str, Any] = {
    "sku": "apple",
    "quantity": 2,
    "amount_cents": 1250,
    "card": "tok_canary_5up3r",
}


class Basket(BaseModel):
    sku: str = Field(min_length=1, max_length=64)
    quantity: int = Field(ge=1, le=1000)
    amount_cents: Annotated[int, Field(gt=0), refused_above(100_000)]
    card: Annotated[str, secret()]
    note: str | None = None


def shop(service: Participant) -> Saga[Any]:
    """Two branches before the point of no return, a step that cannot be undone after it."""
    saga = Saga(
        "shop",
        version=1,
        input=Basket,
        sla="10m",
        summary="{quantity} × {sku}, {amount_cents:cents}",
    )
    few, undos, onward = (
        Retry(limit=5),
        Retry(limit=10),
        Retry(limit=20),
    )  # so that a test can count them

    @saga.step(lane="orders", title="create the order", done="order created", retry=few)
    def create_order(ctx: Any, o: Any) -> str:
        return service.act(ctx)

    @create_order.compensate(fidelity="exact", undone="order voided", retry=undos)
    def void_order(ctx: Any, o: Any) -> str:
        return service.act(ctx)

    @saga.step(
        lane="inventory",
        after=[create_order],
        title="reserve the goods",
        done="stock reserved",
        retry=few,
    )
    def reserve_stock(ctx: Any, o: Any) -> str:
        return service.act(ctx)

    @reserve_stock.compensate(fidelity="exact", undone="stock released", retry=undos)
    def release_stock(ctx: Any, o: Any) -> str:
        return service.act(ctx)

    @saga.step(
        lane="payments",
        after=[create_order],
        title="charge the card",
        done="card charged",
        retry=few,
    )
    def charge_card(ctx: Any, o: Any) -> str:
        return service.act(ctx)

    @charge_card.compensate(
        fidelity="equivalent",
        note="the refund shows on the statement beside the charge",
        retry=Retry(limit=2),
        undone="card refunded",
    )
    def refund_card(ctx: Any, o: Any) -> str:
        return service.act(ctx)

    @saga.step(
        lane="orders",
        after=[reserve_stock, charge_card],
        pivot=True,
        title="confirm the order",
        done="order confirmed",
        retry=few,
    )
    def confirm_order(ctx: Any, o: Any) -> str:
        return service.act(ctx)

    @saga.step(
        lane="mail",
        irreversible=True,
        on_unknown="retry",
        title="send the receipt",
        done="receipt sent",
        retry=onward,
    )
    def send_receipt(ctx: Any, o: Any) -> str:
        return service.act(ctx)

    return saga


class OwnBell(Bell):
    """Rings before the request is answered. A request does not wait for long: on a busy machine its message came later, or never."""

    def publish_plan(self, plan: Plan) -> bool:
        return not plan or publish_plan(self._db, self._publisher, plan)


class Shop(World):
    """A world with the shop in it, whose tenant has keys."""

    def __init__(self, url: str) -> None:
        service = Participant()
        super().__init__(url, [shop(service)], service)
        self.url = url
        self.apps: list[Flask] = []

    def order(self, **more: Any) -> str:
        """Submit an order; nothing of it has run."""
        return self.submit(input={**GOOD, **more.pop("value", {})}, **more)

    def asked(self) -> str:
        """A cancelled order of which the refund is out of attempts: a person is asked about charge_card."""
        self.service.script["charge_card", "undo"] = [RuntimeError("bank: 503")] * 2
        job = self.order()
        for step in ("create_order", "reserve_stock", "charge_card"):
            self.deliver(self.next(f"shop.{step}"))
        self.cancel(job)
        assert self.land(job) == "attention"
        return job

    def orphan(self, app: Flask, step: str = "create_order") -> tuple[str, list[str]]:
        """A finding about an effect of a job that is lost, which `app` can undo. Returns (its id, keys of effects that were undone)."""
        saga, undone = self.registry.get("shop"), list[str]()
        assert saga is not None
        saga.effect_readers["bank"] = lambda keys: [
            EffectReport(key, EffectState.UNDONE if key in undone else EffectState.DONE)
            for key in keys
        ]
        saga.effect_undoers["bank"] = lambda ctx, seen: undone.append(seen.key)
        app.extensions[EXTENSION] = replace(app.extensions[EXTENSION], registry=self.registry)
        key = f"{new_id()}:{step}::action"
        about = {
            "job_id": None,
            "saga": "shop",
            "step": step,
            "item": "",
            "service": "bank",
            "key": key,
        }
        found = {"finding": "orphan", "action": "told", "detail": {"there": {"state": "done"}}}
        findings.record(self.db, [about | found], {}, self.tenant, "surefoot")
        with reading(self.db) as connection:
            (row,) = connection.execute(
                reconciliations.select().where(reconciliations.c.key == key)
            )
        return str(row.id), undone

    def key(self, role: str = "user", tenant: str = "default") -> str:
        return keys.create(self.db, tenant, role, f"{tenant} {role}")[1]

    def web(self, **settings: Any) -> Flask:
        """The application on this store, ringing this world's broker. Requests have no rate unless a test asks for one."""
        chosen = self.settings.model_copy(update={"database_url": self.url, **NO_RATES, **settings})
        app = create_app(chosen, publisher=self.broker)
        door = app.extensions[EXTENSION]
        app.extensions[EXTENSION] = replace(
            door, bell=OwnBell(door.db, self.broker, door.bell.stale_s)
        )
        app.testing = True
        self.apps.append(app)
        return app

    def close(self) -> None:
        for app in self.apps:
            app.extensions[EXTENSION].bell.close()
            app.extensions[EXTENSION].db.dispose()
        self.db.dispose()


class Caller:
    """A program with a key."""

    def __init__(self, app: Flask, key: str | None) -> None:
        self.client: FlaskClient = app.test_client(use_cookies=False)
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(path, headers=self.headers | headers)

    def post(
        self, path: str, json: Any = None, *, data: bytes | None = None, **headers: str
    ) -> Any:
        more: dict[str, Any] = (
            {"data": data, "content_type": "application/json"}
            if data is not None
            else {"json": json}
            if json is not None
            else {}
        )
        return self.client.post(path, headers=self.headers | headers, **more)

    def submit(self, value: dict[str, Any] | None = None, **more: Any) -> Any:
        """POST /jobs; `headers` among `more` are the request's, the rest its fields."""
        headers = more.pop("headers", {})
        return self.post(
            "/api/v1/jobs",
            {"saga": "shop", "input": GOOD if value is None else value, **more},
            **headers,
        )
