"""Each scenario is a saga with one mistake; the line to change carries `# wrong: <id>`, and the message must name it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel

from surefoot.app.errors import DefinitionError
from surefoot.app.participant import EffectReport, Named
from surefoot.app.saga.context import Context
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.inputs import refused_above
from surefoot.app.saga.lint import mistakes

if TYPE_CHECKING:
    from decimal import Decimal

Make = Callable[[], Saga[Any]]
SCENARIOS: dict[str, tuple[Make, str]] = {}


def scenario(name: str, said: str) -> Callable[[Make], Make]:
    """Register a scenario: its id and what the message says (a regular expression)."""

    def register(make: Make) -> Make:
        SCENARIOS[name] = (make, said)
        return make

    return register


class Ask(BaseModel):
    n: int = 1


class Free(BaseModel):
    model_config = ConfigDict(extra="allow")


class Listed(RootModel[list[int]]):
    pass


class Bounded(BaseModel):
    cents: Annotated[int, refused_above(100)] = Field(default=1, ge=0)


class Opaque(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    fn: Callable[[], int]


class Paid(BaseModel):
    id: str


class Held(BaseModel):
    id: str


def saga_of(model: type[BaseModel] = Ask, **more: Any) -> Saga[Any]:
    return Saga("s", version=1, input=model, **more)


# --- the saga itself -------------------------------------------------------------------------------------------------
@scenario("no-steps", r"saga s has no steps. Declare one with @s.step\(lane=...\)")
def _() -> Saga[Any]:
    return Saga("s", version=1, input=Ask)  # wrong: no-steps


def one_step(saga: Saga[Any]) -> Saga[Any]:
    @saga.step(lane="a", undo=None)
    def only(ctx: Any, o: Any) -> None: ...

    return saga


@scenario("extra-allowed", r"input Free allows extra fields, but a misspelt field must be refused")
def _() -> Saga[Any]:
    return one_step(Saga("s", version=1, input=Free))  # wrong: extra-allowed


@scenario("root-model", r"input Listed is a RootModel, but an input is an object")
def _() -> Saga[Any]:
    return one_step(Saga("s", version=1, input=Listed))  # wrong: root-model


@scenario("no-schema", r"input Opaque cannot be read from JSON: ")
def _() -> Saga[Any]:
    return one_step(Saga("s", version=1, input=Opaque))  # wrong: no-schema


@scenario(
    "example-of-another-class", r"examples\[0\] is not an instance of Ask. Make it one: Ask\(...\)"
)
def _() -> Saga[Any]:
    return one_step(
        Saga("s", version=1, input=Ask, examples=[Bounded()])  # wrong: example-of-another-class
    )


@scenario(
    "example-refused",
    r"examples\[1\] would be refused as a job's input: /input/cents must be at least 0",
)
def _() -> Saga[Any]:
    return one_step(
        Saga(  # wrong: example-refused
            "s",
            version=1,
            input=Bounded,
            examples=[Bounded(), Bounded.model_construct(cents=-1)],
        )
    )


@scenario(
    "example-above-the-limit",
    r"examples\[0\] would be refused as a job's input: /input/cents is above its limit, 100",
)
def _() -> Saga[Any]:
    return one_step(
        Saga(  # wrong: example-above-the-limit
            "s",
            version=1,
            input=Bounded,
            examples=[Bounded(cents=101)],
        )
    )


# --- names and order -------------------------------------------------------------------------------------------------
@scenario(
    "after-misspelt",
    r"step pay comes after 'hodl', which is not a step of saga s. Did you mean 'hold'\?",
)
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a", undo=None)
    def hold(ctx: Any, o: Ask) -> None: ...

    @saga.step(lane="a", undo=None, after=["hodl"])  # wrong: after-misspelt
    def pay(ctx: Any, o: Ask) -> None: ...

    return saga


@scenario("after-twice", r"step pay names hold twice in after=. Name each step once")
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a", undo=None)
    def hold(ctx: Any, o: Ask) -> None: ...

    @saga.step(lane="a", undo=None, after=[hold, "hold"])  # wrong: after-twice
    def pay(ctx: Any, o: Ask) -> None: ...

    return saga


@scenario(
    "cycle",
    r"saga s goes round in a circle: two after three after two. Take one of these out of an after=",
)
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a", undo=None)
    def one(ctx: Any, o: Ask) -> None: ...

    @saga.step(lane="a", undo=None, after=["one", "three"])  # wrong: cycle
    def two(ctx: Any, o: Ask) -> None: ...

    @saga.step(lane="a", undo=None)
    def three(ctx: Any, o: Ask) -> None: ...

    @saga.step(lane="a", undo=None)
    def four(ctx: Any, o: Ask) -> None: ...

    return saga


@scenario("after-itself", r"goes round in a circle: one after one")
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a", undo=None, after=["one"])  # wrong: after-itself
    def one(ctx: Any, o: Ask) -> None: ...

    return saga


# --- functions -------------------------------------------------------------------------------------------------------
@scenario(
    "arity-root", r"step one is one\(ctx\), but is called with \(ctx, o\). Change its parameters"
)
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a", undo=None)  # wrong: arity-root
    def one(ctx: Any) -> None: ...

    return saga


@scenario(
    "arity-results",
    r"step three is three\(ctx, o, one\), but is called with \(ctx, o, one, two\) or \(ctx, o\)",
)
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a", undo=None)
    def one(ctx: Any, o: Ask) -> None: ...

    @saga.step(lane="a", undo=None, after=[])
    def two(ctx: Any, o: Ask) -> None: ...

    @saga.step(lane="a", undo=None, after=[one, two])  # wrong: arity-results
    def three(ctx: Any, o: Ask, one: Any) -> None: ...

    return saga


@scenario("arity-keyword-only", r"step one is one\(ctx, o, more\), but is called with \(ctx, o\)")
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a", undo=None)  # wrong: arity-keyword-only
    def one(ctx: Any, o: Ask, *, more: int) -> None: ...

    return saga


@scenario(
    "arity-undo",
    r"undo back of step one is back\(ctx\), but is called with \(ctx, o, result\) or \(ctx, o\)",
)
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a")
    def one(ctx: Any, o: Ask) -> None: ...

    @one.compensate(fidelity="exact")  # wrong: arity-undo
    def back(ctx: Any) -> None: ...

    return saga


@scenario(
    "arity-probe",
    r"probe find of step one is find\(ctx, o, own\), but is called with \(ctx, o\). Change",
)
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a", undo=None)
    def one(ctx: Any, o: Ask) -> None: ...

    @one.probe  # wrong: arity-probe
    def find(ctx: Any, o: Ask, own: Any) -> Any: ...

    return saga


@scenario("arity-confirm", r"confirmation show of step one is show\(\), but is called with")
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a", undo=None)
    def one(ctx: Any, o: Ask) -> None: ...

    @one.confirm  # wrong: arity-confirm
    def show() -> None: ...

    return saga


@scenario(
    "arity-reader",
    r"reader booked of 'hotels' is booked\(\), but is called with \(keys\). Change its parameters",
)
def _() -> Saga[Any]:
    saga = one_step(saga_of())

    @saga.effect_reader("hotels")  # wrong: arity-reader
    def booked() -> list[EffectReport]: ...  # type: ignore[empty-body]

    return saga


@scenario(
    "arity-list",
    r"every, which lists the effects of 'hotels', is every\(keys\), but is called with \(first, last\)",
)
def _() -> Saga[Any]:
    saga = one_step(saga_of())

    @saga.effect_lister("hotels")  # wrong: arity-list
    def every(keys: Any) -> list[EffectReport]: ...  # type: ignore[empty-body]

    return saga


@scenario("async-invariant", r"invariant holds is async")
def _() -> Saga[Any]:
    saga = one_step(saga_of())

    @saga.invariant  # wrong: async-invariant
    async def holds(world: Any) -> None: ...

    return saga


@scenario(
    "context-second",
    r"one: parameter o is Ask, but is given the context, which is Context. Change the annotation",
)
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a", undo=None)  # wrong: context-second
    def one(o: Ask, ctx: Any) -> None: ...

    return saga


@scenario(
    "plain-for-model", r"two: parameter paid is str, but is given the result of one, which is Paid"
)
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a", undo=None)
    def one(ctx: Any, o: Ask) -> Paid: ...  # type: ignore[empty-body]

    @saga.step(lane="a", undo=None)  # wrong: plain-for-model
    def two(ctx: Any, o: Ask, paid: str) -> None: ...

    return saga


@scenario(
    "probe-takes-another-input", r"find: parameter o is Held, but is given the input, which is Ask"
)
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a", undo=None)
    def one(ctx: Any, o: Ask) -> None: ...

    @one.probe  # wrong: probe-takes-another-input
    def find(ctx: Any, o: Held) -> Any: ...

    return saga


@scenario("async", r"step one is async, but workers call plain functions")
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a", undo=None)  # wrong: async
    async def one(ctx: Any, o: Ask) -> None: ...

    return saga


@scenario("generator", r"undo back of step one is a generator, but workers call plain functions")
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a")
    def one(ctx: Any, o: Ask) -> None: ...

    @one.compensate(fidelity="exact")  # wrong: generator
    def back(ctx: Any, o: Ask) -> Iterator[int]:
        yield 1

    return saga


@scenario(
    "result-unknown-name",
    r"step one returns a type that cannot be found: name 'Decimal' is not defined. Import it at run time",
)
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a", undo=None)  # wrong: result-unknown-name
    def one(ctx: Any, o: Ask) -> Decimal: ...  # type: ignore[empty-body]

    return saga


@scenario(
    "result-no-json",
    r"step one returns Connection, which cannot be kept as JSON. Return a pydantic model or plain data",
)
def _() -> Saga[Any]:
    class Connection: ...

    saga = saga_of()

    @saga.step(lane="a", undo=None)  # wrong: result-no-json
    def one(ctx: Any, o: Ask) -> Connection: ...  # type: ignore[empty-body]

    return saga


@scenario(
    "swapped-results",
    r"join: parameter held is Held \\| None, but is given the result of pay, which is Paid. .* or the order of after=",
)
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a", undo=None)
    def hold(ctx: Any, o: Ask) -> Held: ...  # type: ignore[empty-body]

    @saga.step(lane="a", undo=None, after=[])
    def pay(ctx: Any, o: Ask) -> Paid: ...  # type: ignore[empty-body]

    @saga.step(lane="a", undo=None, after=[pay, "hold"])  # wrong: swapped-results
    def join(ctx: Any, o: Ask, held: Held | None, paid: Any) -> None: ...

    return saga


@scenario("wrong-input-class", r"one: parameter o is Paid, but is given the input, which is Ask")
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a", undo=None)  # wrong: wrong-input-class
    def one(ctx: Any, o: Paid) -> None: ...

    return saga


@scenario(
    "wrong-own-class",
    r"back: parameter held is Held \\| None, but is given the result of one, which is Paid",
)
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a")
    def one(ctx: Any, o: Ask) -> Paid: ...  # type: ignore[empty-body]

    @one.compensate(fidelity="exact")  # wrong: wrong-own-class
    def back(ctx: Any, o: Ask, held: Held | None) -> None: ...

    return saga


# --- promises --------------------------------------------------------------------------------------------------------
@scenario(
    "waived-and-undone",
    r"step one says undo=None and has the compensation back \(.*\). Keep one of the two",
)
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a", undo=None)  # wrong: waived-and-undone
    def one(ctx: Any, o: Ask) -> None: ...

    @one.compensate(fidelity="exact")
    def back(ctx: Any, o: Ask) -> None: ...

    return saga


@scenario("no-effect-and-undone", r"step one says no_effect=True and has the compensation back")
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a", no_effect=True)  # wrong: no-effect-and-undone
    def one(ctx: Any, o: Ask) -> None: ...

    @one.compensate(fidelity="exact")
    def back(ctx: Any, o: Ask) -> None: ...

    return saga


@scenario(
    "irreversible-and-undone", r"step one says irreversible=True and has the compensation back"
)
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a", irreversible=True, on_unknown="retry")  # wrong: irreversible-and-undone
    def one(ctx: Any, o: Ask) -> None: ...

    @one.compensate(fidelity="exact")
    def back(ctx: Any, o: Ask) -> None: ...

    return saga


@scenario(
    "stalls-never",
    r"step one has a heartbeat_timeout of 60 s, but its timeout of 60 s ends it first",
)
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a", undo=None, heartbeat_timeout="1m")  # wrong: stalls-never
    def one(ctx: Any, o: Ask) -> None: ...

    return saga


@scenario(
    "undo-stalls-never",
    r"step one has an undo with a heartbeat_timeout of 9 s, but its timeout of 9 s ends it first",
)
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a")  # wrong: undo-stalls-never
    def one(ctx: Any, o: Ask) -> None: ...

    @one.compensate(fidelity="exact", timeout="9s", heartbeat_timeout="9s")
    def back(ctx: Any, o: Ask) -> None: ...

    return saga


@scenario("irreversible-and-no-effect", r"step one says irreversible=True and no_effect=True")
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(  # wrong: irreversible-and-no-effect
        lane="a", irreversible=True, no_effect=True, on_unknown="retry"
    )
    def one(ctx: Any, o: Ask) -> None: ...

    return saga


@scenario(
    "irreversible-unsaid",
    r"step mail is irreversible, so say what a time-out means: on_unknown='retry'.*'attention'.*@mail.probe",
)
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a", irreversible=True)  # wrong: irreversible-unsaid
    def mail(ctx: Any, o: Ask) -> None: ...

    return saga


@scenario(
    "on-unknown-for-nothing", r"step one says on_unknown='retry', which is for irreversible steps"
)
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a", undo=None, on_unknown="retry")  # wrong: on-unknown-for-nothing
    def one(ctx: Any, o: Ask) -> None: ...

    return saga


@scenario("on-unknown-undo-for-nothing", r"step one says on_unknown_undo='replay', but has no undo")
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a", undo=None, on_unknown_undo="replay")  # wrong: on-unknown-undo-for-nothing
    def one(ctx: Any, o: Ask) -> None: ...

    return saga


# --- around the pivot ------------------------------------------------------------------------------------------------
@scenario(
    "no-way-back",
    r"step one can be left behind when the job is undone before the pivot two. Write its undo under @one.compensate",
)
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a")  # wrong: no-way-back
    def one(ctx: Any, o: Ask) -> None: ...

    @saga.step(lane="a", pivot=True)
    def two(ctx: Any, o: Ask) -> None: ...

    return saga


@scenario(
    "no-way-back-no-pivot", r"step one can be left behind when the job is undone. Write its undo"
)
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a")  # wrong: no-way-back-no-pivot
    def one(ctx: Any, o: Ask) -> None: ...

    return saga


@scenario(
    "two-pivots",
    r"step two is a second pivot beside one \(.*\). There is one point of no return: keep one",
)
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a", pivot=True)
    def one(ctx: Any, o: Ask) -> None: ...

    @saga.step(lane="a", pivot=True)  # wrong: two-pivots
    def two(ctx: Any, o: Ask) -> None: ...

    return saga


@scenario(
    "beside-the-pivot",
    r"step side is neither before nor after the pivot turn \(.*\), so .*Let turn come after side, or side after turn",
)
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a", undo=None)
    def start(ctx: Any, o: Ask) -> None: ...

    @saga.step(lane="a", pivot=True)
    def turn(ctx: Any, o: Ask) -> None: ...

    @saga.step(lane="a", undo=None, after=[start])  # wrong: beside-the-pivot
    def side(ctx: Any, o: Ask) -> None: ...

    return saga


@scenario("two-letters-side-by-side", r"step letter is neither before nor after the pivot mail")
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a", irreversible=True, on_unknown="retry", after=[])
    def mail(ctx: Any, o: Ask) -> None: ...

    @saga.step(  # wrong: two-letters-side-by-side
        lane="a",
        irreversible=True,
        on_unknown="retry",
        after=[],
    )
    def letter(ctx: Any, o: Ask) -> None: ...

    return saga


@scenario(
    "irreversible-too-early",
    r"step mail is irreversible, but comes before the pivot turn. Let it come after turn, or make it the pivot",
)
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a", irreversible=True, on_unknown="retry")  # wrong: irreversible-too-early
    def mail(ctx: Any, o: Ask) -> None: ...

    @saga.step(lane="a", pivot=True)
    def turn(ctx: Any, o: Ask) -> None: ...

    return saga


@scenario(
    "undo-past-the-pivot",
    r"step late comes after the pivot turn, from where a job only goes forward, so back \(.*\) would never run",
)
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a", pivot=True)
    def turn(ctx: Any, o: Ask) -> None: ...

    @saga.step(lane="a")  # wrong: undo-past-the-pivot
    def late(ctx: Any, o: Ask) -> None: ...

    @late.compensate(fidelity="exact")
    def back(ctx: Any, o: Ask) -> None: ...

    return saga


@scenario(
    "undo-of-the-pivot",
    r"step turn is the pivot, from where a job only goes forward, so back \(.*\) would never run",
)
def _() -> Saga[Any]:
    saga = saga_of()

    @saga.step(lane="a", pivot=True)  # wrong: undo-of-the-pivot
    def turn(ctx: Any, o: Ask) -> None: ...

    @turn.compensate(fidelity="exact")
    def back(ctx: Any, o: Ask) -> None: ...

    return saga


@pytest.mark.parametrize("name", SCENARIOS)
def test_given_one_mistake_when_linted_then_its_line_and_what_to_change(name: str) -> None:
    make, said = SCENARIOS[name]
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    (line,) = [number for number, text in enumerate(lines, 1) if text.endswith(f"# wrong: {name}")]
    saga = make()
    with pytest.raises(DefinitionError, match=said) as caught:
        _ = saga.graph
    (only,) = caught.value.details["mistakes"]
    assert only == caught.value.message
    assert only.split(": ")[0].endswith(f"tests/unit/saga/test_lint.py:{line}")
    assert only.endswith((".", "?"))


def test_given_many_mistakes_when_linted_then_all_are_told_at_once() -> None:
    saga = saga_of()

    @saga.step(lane="a")
    def one(ctx: Any) -> None: ...

    @saga.step(lane="a", irreversible=True, after=["oen"])
    def two(ctx: Any, o: Ask) -> None: ...

    with pytest.raises(DefinitionError) as caught:
        _ = saga.graph
    assert len(caught.value.details["mistakes"]) >= 3
    assert caught.value.message.splitlines() == caught.value.details["mistakes"]


def test_given_mended_saga_when_asked_again_then_it_has_a_graph() -> None:
    saga = saga_of()

    @saga.step(lane="a")
    def one(ctx: Any, o: Ask) -> None: ...

    with pytest.raises(DefinitionError):
        _ = saga.graph

    @one.compensate(fidelity="exact")
    def back(ctx: Any, o: Ask) -> None: ...

    assert saga.graph.by_name["one"].compensation is not None


def test_given_order_saga_when_linted_then_nothing_to_say(order: Saga[Any]) -> None:
    assert mistakes(order) == []


def test_given_what_is_allowed_when_linted_then_nothing_to_say() -> None:
    saga = saga_of()

    class Local(BaseModel):
        n: int

    class Narrow(Local):
        m: int = 0

    @saga.step(lane="a", no_effect=True)
    def look(ctx: Any, o: Ask) -> Narrow:
        return Narrow(n=1)

    @saga.step(lane="a", on_unknown_undo="replay")
    def take(ctx: Any, o: BaseModel, looked: Local) -> dict[str, int] | None: ...

    @take.compensate(fidelity="partial", note="a fee stays")
    def back(ctx: Any, o: Any, took: dict[str, int] | None) -> None: ...

    @saga.step(lane="a", undo=None, after=[look])
    def beside(*everything: Any) -> list[Narrow]: ...  # type: ignore[empty-body]

    @saga.step(lane="a", no_effect=True, after=[look])
    def count(ctx: Context, o: Ask) -> int:
        return 1

    @saga.step(lane="a", no_effect=True, after=[count])
    def weigh(ctx: Named, o: Ask, counted: float) -> list[int]:
        return [1]

    @saga.step(lane="a", no_effect=True, after=[weigh])
    def order(ctx: Any, o: Ask, weighed: Sequence[int]) -> None: ...

    @saga.step(lane="a", after=[take, beside, order], irreversible=True)
    def send(ctx: Any, o: Ask) -> None: ...

    @send.probe
    def sent(ctx: Any, o: Ask) -> Any: ...

    assert mistakes(saga) == []
    assert saga.graph.by_name["send"].pivot
