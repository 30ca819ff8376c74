"""What a saga's author says for people: words of each step, and a summary of a job.

They are shown and decide nothing, so they are not part of the digest: a corrected word strands no
job. The catalogue keeps them beside the definition, for processes without the saga's code. Where
nothing was said, a step is called by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from surefoot.app.errors import DefinitionError
from surefoot.app.saga.declaration_args import text

MOST_CHARACTERS = 120  # of one of these words; longer is a paragraph, and no list has room for it


@dataclass(frozen=True)
class StepWords:
    """`title`: what the step does, as `charge the card`; `done` and `undone`: what has happened
    then, as `card charged`.
    """

    title: str = ""
    done: str = ""
    undone: str = ""


NOTHING_SAID = StepWords()


def declared_words(line: str, what: str, **said: object) -> StepWords:
    """Words as they were declared at this line. Raises: DefinitionError."""
    for word, value in said.items():
        text(value, word, line, what)
        if len(str(value)) > MOST_CHARACTERS or not str(value).isprintable():
            raise DefinitionError(
                f"{line}: {what}: {word}= is one short line, of at most {MOST_CHARACTERS} characters."
            )
    return StepWords(**{word: str(value).strip() for word, value in said.items()})


@dataclass(frozen=True)
class Words:
    """`summary`: a template over the input (`surefoot.app.saga.summary`); `steps`: of the steps
    that have words.
    """

    summary: str = ""
    steps: Mapping[str, StepWords] = field(default_factory=dict)

    def title(self, step: str) -> str:
        return self._of(step).title or step

    def done(self, step: str) -> str:
        return self._of(step).done or step

    def undone(self, step: str, undo: str | None) -> str:
        """`undo`: the name of its compensation."""
        return self._of(step).undone or undo or step

    def _of(self, step: str) -> StepWords:
        return self.steps.get(step, NOTHING_SAID)

    def to_json(self) -> dict[str, Any]:
        return {
            "summary": self.summary,
            "steps": {name: asdict(words) for name, words in self.steps.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> Words:
        """What a newer release says besides is left out; nothing at all is what older ones said."""
        data = data or {}
        known = ("title", "done", "undone")
        steps = {
            name: StepWords(**{word: str(said.get(word) or "") for word in known})
            for name, said in data.get("steps", {}).items()
        }
        return cls(str(data.get("summary") or ""), steps)


NO_WORDS = Words()
