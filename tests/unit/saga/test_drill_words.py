from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from pydantic import BaseModel

from surefoot.app.errors import DefinitionError
from surefoot.app.saga.definition import Saga


class Ask(BaseModel):
    n: int = 1


def saga_of(*, safe: bool = False) -> Saga[Ask]:
    saga = Saga("s", version=1, input=Ask)

    @saga.step(lane="a", undo=None, safe_to_drill=safe)
    def only(ctx: Any, o: Ask) -> None: ...

    return saga


def test_given_generator_function_when_declared_as_test_environment_then_it_is_a_context_manager_that_clears_up() -> (
    None
):
    saga, seen = saga_of(), []

    @saga.test_environment
    def world() -> Iterator[str]:
        seen.append("made")
        yield "mine"
        seen.append("gone")

    assert saga.world is not None
    with saga.world() as own:
        assert (own, seen) == ("mine", ["made"])
    assert seen == ["made", "gone"]


def test_given_context_manager_when_declared_as_test_environment_then_it_is_taken_as_it_is() -> (
    None
):
    saga = saga_of()

    @saga.test_environment
    def world() -> AbstractContextManager[int]:
        @contextmanager
        def made() -> Iterator[int]:
            yield 7

        return made()

    assert saga.world is not None
    with saga.world() as own:
        assert own == 7


def test_given_test_environment_or_safe_steps_when_digest_is_made_then_it_is_the_same() -> None:
    plain, safe, with_world = saga_of(), saga_of(safe=True), saga_of()
    with_world.test_environment(lambda: contextmanager(lambda: iter([None]))())

    assert plain.digest == safe.digest == with_world.digest
    assert [plain["only"].safe_to_drill, safe["only"].safe_to_drill] == [False, True]


def test_given_test_environment_when_another_is_declared_then_it_is_refused_by_the_line_of_the_first() -> (
    None
):
    saga = saga_of()

    @saga.test_environment
    def one() -> Iterator[None]:
        yield

    with pytest.raises(
        DefinitionError,
        match=r"test_drill_words.py:\d+: saga s has a test environment already \(.*test_drill_words.py:\d+\)",
    ):

        @saga.test_environment
        def two() -> Iterator[None]:
            yield


def test_given_test_environment_with_arguments_when_declared_then_it_is_refused() -> None:
    saga = saga_of()

    with pytest.raises(DefinitionError, match="its test environment needy takes arguments"):

        @saga.test_environment
        def needy(folder: str) -> Iterator[None]:
            yield


def test_given_test_environment_that_fails_when_entered_or_left_then_its_line_is_told() -> None:
    first, second, third, fourth = (saga_of() for _ in range(4))

    @first.test_environment
    def broken() -> Iterator[None]:
        raise RuntimeError("no docker here")
        yield

    @second.test_environment
    def clinging() -> Iterator[str]:
        yield "its own"
        raise RuntimeError("the folder is in use")

    @third.test_environment
    def barren() -> Any: ...

    @fourth.test_environment
    def silent() -> Iterator[None]:
        yield from ()

    said = r"test_drill_words.py:\d+: saga s: its test environment "
    with (
        pytest.raises(
            DefinitionError, match=said + "broken cannot be set up: RuntimeError: no docker here"
        ),
        entered(first),
    ):
        pass
    with (
        pytest.raises(
            DefinitionError, match=said + "clinging cannot be cleared up: RuntimeError: the folder"
        ),
        entered(second) as own,
    ):
        assert own == "its own"
    with (
        pytest.raises(
            DefinitionError, match=said + "barren gives NoneType. Write a function that yields once"
        ),
        entered(third),
    ):
        pass
    with (
        pytest.raises(DefinitionError, match=said + "silent cannot be set up: .* didn't yield"),
        entered(fourth),
    ):
        pass


def test_given_failure_of_the_drill_itself_when_its_world_is_left_then_it_comes_through() -> None:
    saga, cleared = saga_of(), []

    @saga.test_environment
    def tidy() -> Iterator[None]:
        try:
            yield
        finally:
            cleared.append(True)

    with pytest.raises(ZeroDivisionError, match="of the drill"), entered(saga):
        raise ZeroDivisionError("of the drill")
    assert cleared == [True]


def entered(saga: Saga[Any]) -> AbstractContextManager[Any]:
    assert saga.world is not None
    return saga.world()
