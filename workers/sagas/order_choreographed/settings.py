"""Limits of the services that react to events: read from the environment, times in seconds."""

from __future__ import annotations

from functools import lru_cache

from pydantic import Field, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from surefoot.app import environment
from surefoot.app.config import LONGEST_S, OurSettings, Seconds, SecondsOrNone, built

PREFIX = "SUREFOOT_EVENTS_"
SECRET_CHARACTERS = 32


class UpSettings(OurSettings):
    """Whether `surefoot up` starts the services."""

    choreography: bool = True


class EventSettings(OurSettings):
    """The name of a field in capitals, with `SUREFOOT_EVENTS_` before it, is its environment variable."""

    model_config = SettingsConfigDict(env_prefix=PREFIX)

    secret: str = ""  # what services sign their events with
    secret_also: str = ""  # while the secret is changed: the other one
    threads: int = Field(default=4, ge=1, le=64)  # events handled at once by one process
    sweep_seconds: Seconds = 0.5  # how often what is due is looked for
    sweep_rows: int = Field(default=100, ge=1, le=10_000)
    hold_seconds: SecondsOrNone = (
        30.0  # how long one attempt has before another process may take over
    )
    attempts: int = Field(default=5, ge=1, le=1000)  # of what can still be refused
    patient_attempts: int = Field(
        default=20, ge=1, le=1000
    )  # of an undo, and of everything behind the point of no return
    backoff_seconds: SecondsOrNone = 1.0
    backoff_cap_seconds: SecondsOrNone = 60.0
    ask_seconds: SecondsOrNone = (
        2.0  # how soon a missing answer is asked for again; doubled each time
    )
    ask_cap_seconds: SecondsOrNone = 60.0
    answer_seconds: SecondsOrNone = 600.0  # past it, an order that is not confirmed is given up
    poll_seconds: float = Field(
        default=0.3, ge=0.01, le=LONGEST_S
    )  # how soon the engine looks; a quarter of the order's age later on
    poll_cap_seconds: float = Field(default=5.0, ge=0.01, le=LONGEST_S)

    @field_validator("secret", "secret_also")
    @classmethod
    def _hard_to_guess(cls, value: str) -> str:
        if value and len(value) < SECRET_CHARACTERS:
            raise ValueError(f"must have {SECRET_CHARACTERS} characters or more")
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> EventSettings:
        for what in ("backoff", "ask", "poll"):
            if getattr(self, f"{what}_seconds") > getattr(self, f"{what}_cap_seconds"):
                name = f"{PREFIX}{what.upper()}"
                raise ValueError(f"{name}_SECONDS must be at most {name}_CAP_SECONDS")
        return self


def event_settings() -> EventSettings:
    """The settings as the environment has them now; built anew only when it changed.

    Raises: SettingsError.
    """
    return _build(environment.ours(EventSettings.model_fields, PREFIX))


@lru_cache(maxsize=4)
def _build(told: tuple[str, ...]) -> EventSettings:
    return built(EventSettings)
