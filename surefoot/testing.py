"""For the tests of saga authors: run a saga in pytest, on the real engine, without broker, workers or waiting.

    with saga_world(trip) as world:
        job = world.submit(TripRequest(traveller="Ada", days=3))
        world.fail("buy_ticket")
        world.land()
        assert world.undone(job) == ["hold_seat", "book_hotel"]

The store is SQLite in memory, and time is virtual: back-offs, time-outs and `NotYet` take none of yours.
"""

from typing import Any

from surefoot.app.saga.definition import Saga
from surefoot.app.testkit.saga_world import NotAtRest, SagaWorld, UnknownName


def saga_world(*sagas: Saga[Any]) -> SagaWorld:
    """A world in which these sagas run, to be used in a `with` statement. The first is meant where none is named.

    Raises: ValueError without a saga; DefinitionError for one with a mistake.
    """
    return SagaWorld(*sagas)


__all__ = ["NotAtRest", "SagaWorld", "UnknownName", "saga_world"]
