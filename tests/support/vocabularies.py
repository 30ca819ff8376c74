"""Literals of the closed vocabularies in `app/rules`, found in code where they are meant as a member.

A literal is meant as a member of a vocabulary:

* anywhere, if its word is distinct: it has an underscore or a hyphen (`attempt_lost`, `mark-done`), and is not the name
  of something else as well (`ALSO_NAMES`);
* beside a name of `FIELDS`, such as `kind` or `event`: compared with it (`==`, `in`, `.in_()`, a `match`), assigned to
  it, its fallback (`kind or "action"`), its keyword, the positional argument for a parameter of that name, the default
  of such a parameter, the value of such a key (`{"kind": "undo"}`), its index (`by_kind["undo"]`);
* as an element of a display or the key of a dict whose words (two or more) are all members of one vocabulary;
* as a SQL literal of its own: a string that is only `'undo'`.

A condition in SQL text (`"state = 'open'"`) has to write its words out: there each must be a member (`strangers`), so
that a renamed member leaves no stale condition behind. An everyday word elsewhere is left alone: `Column("step")`, a
command named `retry`, a queue named `undo`. So is the event of a log line, which is a vocabulary of its own.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

import surefoot.app.rules
from surefoot.app.rules.decisions import LetterAction, Resolution
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.fidelities import Fidelity
from surefoot.app.rules.findings import Finding, FindingAction
from surefoot.app.rules.reasons import FailureReason
from surefoot.app.rules.states import Cause, Dir, JobState, Kind, LetterState, OpState
from surefoot.app.rules.waits import WaitReason

# a name in code -> the vocabularies that its values belong to
FIELDS: dict[str, tuple[type[StrEnum], ...]] = {
    "kind": (Kind,),
    "other_kind": (Kind,),
    "of_kind": (Kind,),
    "event": (HistoryEvent,),
    "wait_reason": (WaitReason,),
    "why": (FailureReason,),
    "reason": (FailureReason,),
    "cause": (Cause, FailureReason),
    "resolution": (Resolution,),
    "decision": (Resolution, LetterAction),
    "action": (LetterAction, FindingAction),
    "finding": (Finding,),
    "fidelity": (Fidelity,),
    "state": (JobState, OpState, LetterState),
    "direction": (Dir,),
}
# Distinct words that name something else as well: they are found beside a name of FIELDS only.
ALSO_NAMES = {
    "queue_timeout",  # a keyword of sagas and steps
    "cancel_requested",  # a column of jobs
    "deadline_missed",  # a column of jobs
    "lock_timeout",  # a setting of PostgreSQL
}
LOGGING = {"debug", "info", "warning", "error", "exception", "critical"}


def vocabularies() -> Iterator[type[StrEnum]]:
    """Every StrEnum of `app/rules`."""
    for module in pkgutil.iter_modules(surefoot.app.rules.__path__):
        name = f"{surefoot.app.rules.__name__}.{module.name}"
        for value in vars(importlib.import_module(name)).values():
            if isinstance(value, type) and issubclass(value, StrEnum) and value.__module__ == name:
                yield value


WORDS = {one: frozenset(str(member) for member in one) for one in vocabularies()}
DISTINCT = {
    word
    for words in WORDS.values()
    for word in words
    if ("_" in word or "-" in word) and word not in ALSO_NAMES
}
WRITTEN = frozenset().union(*WORDS.values())
_SQL_VALUE = re.compile(r"\b(\w+) *(?:=|<>|!=) *'(\w+)'")
_SQL_LIST = re.compile(r"\b(\w+) +(?:NOT +)?IN *\(((?:\s*'\w+',?)+)\s*\)", re.IGNORECASE)

Parameters = Mapping[str, frozenset[tuple[int, str]]]


class Found(NamedTuple):
    """One literal that is meant as a member."""

    line: int
    word: str


def parameters_of(trees: Iterable[ast.Module]) -> Parameters:
    """Name of a function or class -> the positions of its parameters that are named in FIELDS."""
    found: dict[str, set[tuple[int, str]]] = defaultdict(set)
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                names = [one.arg for one in (*node.args.posonlyargs, *node.args.args)]
                names = names[1:] if names[:1] in (["self"], ["cls"]) else names
                found[node.name] |= {(at, name) for at, name in enumerate(names)}
            elif isinstance(node, ast.ClassDef):
                fields = [
                    one.target.id
                    for one in node.body
                    if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
                ]
                found[node.name] |= {(at, name) for at, name in enumerate(fields)}
    return {
        name: frozenset(pair for pair in pairs if pair[1] in FIELDS)
        for name, pairs in found.items()
    }


def name_of(node: ast.AST | None) -> str:
    """The last name of an expression: `row.kind`, `kind`, `row["kind"]` and `row.get("kind")` are all `kind`."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
            return name
        case ast.Constant(value=str(name)):
            return name
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
        case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value=str(name)), *_]):
            return name
        case ast.Call(func=ast.Name(id="str"), args=[inner]):
            return name_of(inner)
        case ast.BoolOp(values=[first, *_]):
            return name_of(first)
    return ""


def _literals(node: ast.AST | None) -> Iterator[ast.Constant]:
    """The strings that an expression can be, or can hold."""
    match node:
        case ast.Constant(value=str()):
            yield node
        case ast.Tuple(elts=inner) | ast.List(elts=inner) | ast.Set(elts=inner):
            for one in inner:
                yield from _literals(one)
        case ast.IfExp(body=first, orelse=second):
            yield from _literals(first)
            yield from _literals(second)
        case ast.BoolOp(values=inner):
            for one in inner:
                yield from _literals(one)


def _beside(name: str, *values: ast.AST | None) -> Iterator[Found]:
    words = _words(name)
    for value in values:
        for literal in _literals(value):
            if literal.value in words:
                yield Found(literal.lineno, str(literal.value))


def _in_call(node: ast.Call, parameters: Parameters) -> Iterator[Found]:
    called = name_of(node.func)
    if called in ("in_", "notin_", "not_in", "is_", "where") and isinstance(
        node.func, ast.Attribute
    ):
        yield from _beside(name_of(node.func.value), *node.args)
    for keyword in node.keywords:
        yield from _beside(keyword.arg or "", keyword.value)
    for position, name in parameters.get(called, ()):
        if position < len(node.args):
            yield from _beside(name, node.args[position])


def _in_defaults(node: ast.arguments) -> Iterator[Found]:
    positional = [*node.posonlyargs, *node.args]
    for one, default in zip(reversed(positional), reversed(node.defaults), strict=False):
        yield from _beside(one.arg, default)
    for one, value in zip(node.kwonlyargs, node.kw_defaults, strict=True):
        yield from _beside(one.arg, value)


def _displayed(literals: list[ast.AST | None]) -> Iterator[Found]:
    """The words of a display, if they are two or more and all members of one vocabulary."""
    words = [one.value for one in literals if isinstance(one, ast.Constant)]
    of_one = any(members.issuperset(words) for members in WORDS.values())
    if of_one and len(words) == len(literals) > 1:
        for one in literals:
            if isinstance(one, ast.Constant):
                yield Found(one.lineno, str(one.value))


def _at(node: ast.AST, parameters: Parameters) -> Iterator[Found]:
    """The members at one node, by the names beside it."""
    match node:
        case ast.Compare():
            operands = [node.left, *node.comparators]
            for operand in operands:
                yield from _beside(name_of(operand), *operands)
        case ast.Call():
            yield from _in_call(node, parameters)
        case ast.Assign():
            for target in node.targets:
                yield from _beside(name_of(target), node.value)
        case ast.AnnAssign() | ast.AugAssign():
            yield from _beside(name_of(node.target), node.value)
        case ast.arguments():
            yield from _in_defaults(node)
        case ast.BoolOp():
            yield from _beside(name_of(node.values[0]), *node.values[1:])
        case ast.Subscript():
            yield from _beside(name_of(node.value).removeprefix("by_"), node.slice)
        case ast.Match():
            patterns = [one for case in node.cases for one in ast.walk(case.pattern)]
            values = [one.value for one in patterns if isinstance(one, ast.MatchValue)]
            yield from _beside(name_of(node.subject), *values)
        case ast.Dict():
            for key, value in zip(node.keys, node.values, strict=True):
                yield from _beside(name_of(key), value)
            yield from _displayed(list(node.keys))
        case ast.Tuple() | ast.List() | ast.Set():
            yield from _displayed(list(node.elts))


def _words(name: str) -> frozenset[str]:
    """The words that a name of FIELDS can have as its value."""
    return frozenset().union(*(WORDS[one] for one in FIELDS.get(name, ())))


def members(tree: ast.Module, parameters: Parameters) -> list[Found]:
    """The literals of a module that are meant as members, in order; a log line's event is not among them."""
    aside: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and name_of(node.func) in LOGGING:
            aside |= {id(argument) for argument in node.args}
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            aside.add(id(node.value))  # a docstring
    found: set[Found] = set()
    for node in ast.walk(tree):
        found.update(_at(node, parameters))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in aside:
            found.update(_alone(node))
    return sorted(found)


def _alone(node: ast.Constant) -> Iterator[Found]:
    """A distinct word, or a SQL literal."""
    text = str(node.value)
    word = text.strip("'")
    if word in (DISTINCT if word == text else WRITTEN):
        yield Found(node.lineno, word)


def strangers(tree: ast.Module) -> list[Found]:
    """Words in SQL text that stand beside a name of FIELDS and are not members of its vocabularies."""
    found: set[Found] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            pairs = _SQL_VALUE.findall(node.value)
            for name, words in _SQL_LIST.findall(node.value):
                pairs += [(name, word) for word in re.findall(r"\w+", words)]
            found |= {
                Found(node.lineno, word)
                for name, word in pairs
                if name in FIELDS and word not in _words(name)
            }
    return sorted(found)
