"""Arguments of `@saga.step` that are words or flags, and what is wrong with them."""

from __future__ import annotations

from surefoot.app.errors import DefinitionError
from surefoot.app.saga.declaration_args import choice, said, text


class Unset:
    """Nothing was said (None says something)."""

    def __repr__(self) -> str:
        return "<unset>"


UNSET = Unset()


def check_words(
    name: str, line: str, *, note: object, on_unknown_undo: object, on_unknown: object, undo: object
) -> None:
    text(note, "note", line, f"step {name}")
    choice(on_unknown_undo, ("undo", "replay"), "on_unknown_undo", line, f"step {name}")
    if on_unknown is not None:
        choice(on_unknown, ("retry", "attention"), "on_unknown", line, f"step {name}")
    if undo is not UNSET and undo is not None:
        raise DefinitionError(
            f"{line}: step {name}: undo={said(undo)}. Only undo=None can be said here (nothing needs undoing); "
            f"a function that undoes it goes under @{name}.compensate(fidelity=...)."
        )
