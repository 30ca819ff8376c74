"""What a request may say: bodies, keys and filters, each fault with a pointer to it."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, TypeVar

from flask import request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from surefoot.app.saga.naming import did_you_mean
from surefoot.app.store.ids import is_id
from surefoot.app.store.views import SHOWN_STATES
from surefoot.app.store.views.job_lists import PAGE_ROWS, PAGE_ROWS_MOST
from surefoot.web.api.problems import FAULTS_MOST, Problem

M = TypeVar("M", bound=BaseModel)
KEY_CHARACTERS = 255
# Of the contract, and not built yet: refused rather than ignored.
NOT_YET = ("webhook", "reply_to", "notify", "priority")
TEN_YEARS_S = 10 * 366 * 86400.0
EXAMPLE_ORDER: dict[str, Any] = {
    "customer": "Ada",
    "email": "ada@example.com",
    "sku": "apple",
    "quantity": 2,
    "amount_cents": 500,
    "card": "tok_ok",
}
_BARE = re.compile(r"[\x21-\x7e]{1,255}")
_QUOTED = re.compile(r'"((?:[\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')


def _visible(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not contain control characters")
    return text


class JobRequest(BaseModel):
    """The body of POST /jobs."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        json_schema_extra={"examples": [{"saga": "order", "input": EXAMPLE_ORDER}]},
    )

    saga: str = Field(min_length=1, max_length=64)
    input: Any
    deadline_seconds: float | None = Field(None, gt=0, le=TEN_YEARS_S)
    tags: list[Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_visible)]] = (
        Field([], max_length=20)
    )


Why = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_visible)]


class Reason(BaseModel):
    """The body of a decision about an effect."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        json_schema_extra={"examples": [{"reason": "the bank says it was refunded by hand"}]},
    )

    reason: Why


class Resubmit(BaseModel):
    """The body of a resubmission; it may be left out."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [{"again": True, "reason": "the customer wants the same once more"}]
        },
    )

    again: bool = Field(False, description="Resubmit a completed job: all of it is done once more.")
    reason: Annotated[str, Field(max_length=1000), AfterValidator(_visible)] = Field(
        "", description="Kept in the history."
    )


Name = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_visible)]


def _an_id(text: str) -> str:
    if not is_id(text):
        raise ValueError("must be an id")
    return text


class LetterFilter(BaseModel):
    """Which open dead letters are meant; what is left out is not asked."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    saga: Name | None = None
    step: Name | None = None
    why: Name | None = None
    needs_person: bool | None = None
    job: (
        Annotated[str, AfterValidator(_an_id), Field(json_schema_extra={"format": "uuid"})] | None
    ) = None


class Redrive(BaseModel):
    """The body of a redrive of many dead letters."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "filter": {"saga": "order", "step": "charge_card"},
                    "rate": 5.0,
                    "ramp": 60.0,
                    "dry_run": True,
                    "reason": "the bank is back",
                }
            ]
        },
    )

    filter: LetterFilter = LetterFilter()
    rate: float = Field(10.0, gt=0, le=1000, description="Letters per second.")
    ramp: float = Field(0.0, ge=0, le=86400, description="Seconds until that rate is reached.")
    dry_run: bool = False
    reason: Why


class HoldBack(BaseModel):
    """The body of a request that takes dates back."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [{"filter": {"saga": "order"}, "reason": "the bank is still away"}]
        },
    )

    filter: LetterFilter = LetterFilter()
    reason: Why


class Adoption(BaseModel):
    """The body of a request to adopt what a finding is about."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        json_schema_extra={"examples": [{"reason": "the customer has the goods"}]},
    )

    reason: Why
    job: (
        Annotated[str, AfterValidator(_an_id), Field(json_schema_extra={"format": "uuid"})] | None
    ) = Field(None, description="The job that accounts for it; its history says so.")


class TakeBack(BaseModel):
    """The body of a request to undo what a finding is about."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        json_schema_extra={"examples": [{"reason": "its job was lost with the store"}]},
    )

    reason: Why
    past_return: bool = Field(
        False, description="Undo it even if its lost job was past the point of no return."
    )


class Owner(BaseModel):
    """Who shall see to a job that asks a person."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        json_schema_extra={"examples": [{"owner": "ada@example.com"}]},
    )

    owner: Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_visible)]


class Nothing(BaseModel):
    """The body of a request that takes no fields; it may be left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def job_request(body: Any) -> JobRequest:
    """Raises: Problem 422 with one entry for each fault."""
    if isinstance(body, dict):
        asked = [name for name in NOT_YET if name in body]
        if asked:
            faults = [
                {"pointer": f"/{name}", "detail": f"`{name}` is not accepted yet by this version"}
                for name in asked
            ]
            raise Problem(
                "invalid-input",
                "This version does not support these fields yet: poll the job to learn of its end.",
                errors=faults,
            )
    return checked(JobRequest, body)


def checked(model: type[M], body: Any) -> M:
    """The body as this model. Raises: Problem 422."""
    if not isinstance(body, dict):
        raise Problem(
            "invalid-input",
            "The body must be a JSON object.",
            errors=[{"pointer": "", "detail": "must be an object"}],
        )
    try:
        return model.model_validate(body)
    except ValidationError as error:
        told = error.errors(include_url=False, include_input=False)[:FAULTS_MOST]
        faults = [_fault(model, dict(one)) for one in told]
        count = error.error_count()
        raise Problem(
            "invalid-input",
            f"The request has {count} fault{'s' if count > 1 else ''}.",
            errors=faults,
        ) from None


def _fault(model: type[BaseModel], error: dict[str, Any]) -> dict[str, str]:
    where = [str(part).replace("~", "~0").replace("/", "~1") for part in error["loc"]]
    said = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        said = f"is not a field of this request.{did_you_mean(str(error['loc'][-1])[:64], model.model_fields)}"
    elif error["type"] == "missing":
        said = "is missing"
    return {"pointer": "".join(f"/{part[:100]}" for part in where), "detail": said}


def idempotency_key() -> str | None:
    """The key of this request, bare or as a quoted string; the same key either way. Raises: Problem
    400.
    """
    header = request.headers.get("Idempotency-Key")
    if header is None:
        return None
    text = header.strip()
    quoted = _QUOTED.fullmatch(text)
    if quoted:
        text = re.sub(r'\\(["\\])', r"\1", quoted.group(1))
    if (not quoted and text.startswith('"')) or not _BARE.fullmatch(text):
        raise Problem(
            "invalid-idempotency-key",
            f"A key has 1 to {KEY_CHARACTERS} visible characters, bare or quoted.",
        )
    return text


# --- queries --------------------------------------------------------------------------------------
def only_parameters(*known: str) -> None:
    """Refuse a parameter we do not know: a misspelt filter that is ignored shows too much. Raises:
    Problem 422.
    """
    unknown = [name for name in request.args if name not in known][:FAULTS_MOST]
    if unknown:
        said = "is not a parameter of this address."
        faults = [
            {"parameter": name[:64], "detail": f"{said}{did_you_mean(name[:64], known)}"}
            for name in unknown
        ]
        raise Problem("invalid-input", "The address has an unknown parameter.", errors=faults)


def state_parameter() -> str | None:
    value = text_parameter("state")
    if value is not None and value not in SHOWN_STATES:
        raise _bad("state", f"must be one of {', '.join(SHOWN_STATES)}")
    return value


def choice_parameter(name: str, choices: tuple[str, ...]) -> str | None:
    value = text_parameter(name)
    if value is not None and value not in choices:
        raise _bad(name, f"must be one of {', '.join(choices)}")
    return value


def id_parameter(name: str) -> str | None:
    value = text_parameter(name)
    if value is not None and not is_id(value):
        raise _bad(name, "must be an id")
    return value


def text_parameter(name: str, most: int = 64) -> str | None:
    value = request.args.get(name)
    if value is not None and (not 1 <= len(value) <= most or not value.isprintable()):
        raise _bad(name, f"must have 1 to {most} visible characters")
    return value


def time_parameter(name: str) -> datetime | None:
    """A time with its zone, in RFC 3339. Raises: Problem 422."""
    value = text_parameter(name)
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value.replace(" ", "+"))  # a plus sign that was not encoded
    except ValueError:
        found = None
    if found is None or found.tzinfo is None or not 1 < found.year < 9999:
        raise _bad(name, "must be a time with its zone, such as 2026-11-28T10:00:00Z")
    return found


def limit_parameter(default: int = PAGE_ROWS) -> int:
    return int_parameter("limit", default, 1, PAGE_ROWS_MOST)


def int_parameter(name: str, default: int, least: int, most: int) -> int:
    text = request.args.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,10}", text) or not least <= int(text) <= most:
        raise _bad(name, f"must be a whole number from {least} to {most}")
    return int(text)


def _bad(name: str, detail: str) -> Problem:
    return Problem(
        "invalid-input",
        f"The parameter `{name}` {detail}.",
        errors=[{"parameter": name, "detail": detail}],
    )
