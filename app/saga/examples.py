"""Examples of a saga's input, and how a job with each of them ends when nothing goes wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from surefoot.app.errors import DefinitionError
from surefoot.app.rules.states import ENDED
from surefoot.app.saga.declaration_args import choice, said

T = TypeVar("T")
ENDS = tuple(str(state) for state in ENDED)


def declared_examples(
    examples: Any, input_name: str, where: str, owner: str
) -> tuple[tuple[Any, ...], tuple[str | None, ...]]:
    """(inputs, how each ends; None where that is not said) of `examples=`: inputs, or pairs of an
    input and its end.

    Raises: DefinitionError naming the line and what to change.
    """
    if not isinstance(examples, (list, tuple)):
        raise DefinitionError(
            f"{where}: {owner}: examples={said(examples)}. Say a list: examples=[{input_name}(...)]."
        )
    pairs = [_pair(example) for example in examples]
    for number, (_, end) in enumerate(pairs):
        if end is not None:
            choice(end, ENDS, f"examples[{number}]", where, owner)
    return tuple(example for example, _ in pairs), tuple(end for _, end in pairs)


def _pair(example: Any) -> Sequence[Any]:
    return example if isinstance(example, tuple) and len(example) == 2 else (example, None)
