"""The bank: somebody else's server, with its own process and its own book.

What a payment provider offers, in small.

POST /charges {"amount_cents", "card"} with `Idempotency-Key`; GET /charges/{key}; PUT
/charges/{key}/void; GET /ledger. Its cards are the accidents of a network: tok_ok; tok_declined
(the bank says no); tok_slow (an answer after seconds); tok_lost (the bank commits, and the answer
never comes).
"""

from __future__ import annotations

import threading
import time
from typing import Any

from flask import Flask, Response, jsonify, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import HTTPException

from surefoot.app.serving.outgoing import Outgoing
from surefoot.workers.sagas.order.services import bank_book
from surefoot.workers.sagas.order.services.bank_book import Entry
from surefoot.workers.sagas.order.settings import order_settings

CARDS = ("tok_ok", "tok_declined", "tok_slow", "tok_lost")
MAX_BODY_BYTES = 16 * 1024
MAX_KEY_CHARS = 255
# of eight threads; the fourth lost answer is lost by hanging up instead, so that others are served
MAX_HANGING = 3
LOOK_S = 0.1

_hanging = threading.BoundedSemaphore(MAX_HANGING)


class ChargeRequest(BaseModel):
    """The body of POST /charges."""

    model_config = ConfigDict(strict=True, extra="forbid")

    amount_cents: int = Field(gt=0, le=1_000_000_000)
    card: str = Field(min_length=1, max_length=64)


def create_bank() -> Flask:
    """The bank as a WSGI application; its book is opened, and made when there is none."""
    flask_app = Flask("bank")
    flask_app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    flask_app.add_url_rule("/charges", view_func=post_charge, methods=["POST"])
    flask_app.add_url_rule("/charges/<key>", view_func=get_charge, methods=["GET"])
    flask_app.add_url_rule("/charges/<key>/void", view_func=put_void, methods=["PUT"])
    flask_app.add_url_rule("/ledger", view_func=get_ledger, methods=["GET"])
    flask_app.add_url_rule("/livez", view_func=get_livez, methods=["GET"])
    flask_app.register_error_handler(HTTPException, _as_problem)
    flask_app.register_error_handler(OperationalError, _try_later)
    bank_book.database.engine()
    return flask_app


def post_charge() -> Response:
    key = request.headers.get("Idempotency-Key", "")
    if not _is_key(key):
        return _problem(
            400,
            f"Idempotency-Key must have 1 to {MAX_KEY_CHARS} visible characters, no slash among them",
        )
    try:
        wanted = ChargeRequest.model_validate_json(request.get_data())
    except ValidationError as error:
        return _problem(
            422,
            "; ".join(
                f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors()
            ),
        )
    entry = bank_book.recall(key, wanted.amount_cents, wanted.card)
    if entry is None:
        if wanted.card not in CARDS:
            return _problem(422, "this card is unknown here")
        if wanted.card == "tok_slow":
            time.sleep(order_settings().bank_slow_seconds)
        entry = bank_book.charge(
            key, wanted.amount_cents, wanted.card, approved=wanted.card != "tok_declined"
        )
        if entry.fresh and wanted.card == "tok_lost":
            _lose_the_answer(order_settings().bank_hang_seconds)
    return _charge_answer(entry)


def get_charge(key: str) -> Response:
    entry = bank_book.look(key)
    return (
        _problem(404, "no charge was ever asked for under this key")
        if entry is None
        else _json(200, entry.public())
    )


def put_void(key: str) -> Response:
    if not _is_key(key):
        return _problem(400, f"a key has 1 to {MAX_KEY_CHARS} visible characters")
    return _json(200, bank_book.void(key).public())


def get_ledger() -> Response:
    return _json(200, bank_book.book())


def get_livez() -> Response:
    return _json(200, {"status": "alive"})


def _charge_answer(entry: Entry) -> Response:
    if entry.state in ("void", "refunded"):
        # Also a charge that was refunded: its key is spent, and a caller that asks again must not
        # believe that money came.
        return _problem(409, f"this key was voided: its charge is {entry.state}", **entry.public())
    if not entry.same:
        return _problem(422, "this Idempotency-Key was used with another body")
    if entry.state == "declined":
        return _problem(402, "the card was declined", **entry.public())
    answer = _json(201, entry.public())
    if not entry.fresh:
        answer.headers["Idempotent-Replayed"] = "true"
    return answer


def _lose_the_answer(seconds: float) -> None:
    """Hold the answer back until the client has gone or `seconds` are over; a thread waits, so only
    a few may.
    """
    connection: Outgoing | None = request.environ.get("gunicorn.socket")
    if (
        connection is None
    ):  # a server with a thread for each request: nobody else waits for this one
        time.sleep(seconds)
    elif not _hanging.acquire(blocking=False):
        connection.hang_up()
    else:
        try:
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline and not connection.has_hung_up():
                time.sleep(LOOK_S)
        finally:
            _hanging.release()


def _is_key(key: str) -> bool:
    return 0 < len(key) <= MAX_KEY_CHARS and all("!" <= c <= "~" and c != "/" for c in key)


def _json(status: int, body: dict[str, Any]) -> Response:
    answer = jsonify(body)
    answer.status_code = status
    return answer


def _problem(status: int, detail: str, **members: Any) -> Response:
    answer = _json(status, {**members, "status": status, "detail": detail})
    answer.mimetype = "application/problem+json"
    return answer


def _as_problem(error: HTTPException) -> Response:
    return _problem(error.code or 500, error.description or error.name)


def _try_later(error: OperationalError) -> Response:
    answer = _problem(503, "the book cannot be written just now")
    answer.headers["Retry-After"] = "1"
    return answer
