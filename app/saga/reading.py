"""What a step's source says that its declaration cannot: mistakes that run, and cost money on the
second attempt.

Each is judged by the function's own lines alone, and told only where they leave no doubt; what
helpers do is the drill's to find.
"""

from __future__ import annotations

import ast
import datetime
import inspect
import random
import secrets
import textwrap
import time
import uuid
from collections.abc import Iterator
from typing import Any

from surefoot.app.saga.outcomes import Rejected
from surefoot.app.saga.source_location import Function, at_line
from surefoot.app.saga.step import Step

Said = tuple[str, str]  # path:line, what is so and what to write
FRESH_MODULES = {module.__name__ for module in (random, secrets, time, uuid)}
FRESH_METHODS = ("now", "utcnow", "today")
WRITES = ("post", "put", "patch", "commit")  # of a client or a session
REMEDY_OF_KEY = "so a second attempt is a second effect. Use ctx.key, which stays the same."


def of_step(step: Step[Any, Any]) -> Iterator[Said]:
    """What stands in the functions of one step, in the order of their lines."""
    undo = step.undo.fn if step.undo else None
    confirmation = step.confirmation.fn if step.confirmation else None
    for fn in (step.fn, undo, confirmation):
        code = Code.of(fn) if fn is not None else None
        if code is None:
            continue
        yield from code.keys_of_an_attempt()
        yield from code.globals_written()
        if not step.no_effect:
            yield from code.errors_swallowed()
        if fn is step.fn:
            yield from code.refusals_after_a_write()
            yield from code.fresh_results()


class Code:
    """A function's source, read."""

    def __init__(self, fn: Function, tree: ast.FunctionDef, first: int) -> None:
        self._fn, self._tree, self._before = fn, tree, first - 1
        arguments = [*tree.args.posonlyargs, *tree.args.args]
        self._ctx = arguments[0].arg if arguments else ""
        self._parents = {
            child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)
        }

    @classmethod
    def of(cls, fn: Function) -> Code | None:
        """None where the source is not there, or is something else than a plain function."""
        plain = inspect.unwrap(fn)
        try:
            lines, first = inspect.getsourcelines(plain)
            tree = ast.parse(textwrap.dedent("".join(lines))).body[0]
        except (OSError, TypeError, SyntaxError, IndexError):
            return None
        return cls(plain, tree, first) if isinstance(tree, ast.FunctionDef) else None

    # --- a key that is new each time --------------------------------------------------------------
    def keys_of_an_attempt(self) -> Iterator[Said]:
        """`key=f"{ctx.job_id}-{ctx.attempt}"`, `key = uuid4().hex`, `{"Idempotency-Key": …}`."""
        for value in self._keys():
            for node in ast.walk(value):
                if self._is_of_ctx(node, "attempt"):
                    yield self._at(node), f"puts {self._ctx}.attempt into a key, {REMEDY_OF_KEY}"
                    break
                if self._is_fresh(node):
                    yield self._at(node), f"makes a key by {ast.unparse(node)}, {REMEDY_OF_KEY}"
                    break

    def _keys(self) -> Iterator[ast.expr]:
        for node in ast.walk(self._tree):
            if isinstance(node, ast.keyword) and _names_a_key(node.arg):
                yield node.value
            if isinstance(node, ast.Assign) and any(
                _names_a_key(getattr(one, "id", None)) for one in node.targets
            ):
                yield node.value
            if isinstance(node, ast.Dict):
                pairs = zip(node.keys, node.values, strict=True)
                yield from (
                    value for name, value in pairs if _names_a_key(getattr(name, "value", None))
                )

    # --- errors that nobody hears of --------------------------------------------------------------
    def errors_swallowed(self) -> Iterator[Said]:
        """`except Exception` around calls, without a raise."""
        for node in ast.walk(self._tree):
            if not isinstance(node, ast.Try) or not any(
                self._acts(inner) for line in node.body for inner in ast.walk(line)
            ):
                continue
            for handler in node.handlers:
                if self._takes_all(handler) and not self._told_later(handler):
                    what = (
                        "except:"
                        if handler.type is None
                        else f"except {ast.unparse(handler.type)}:"
                    )
                    yield (
                        self._at(handler),
                        f"swallows every error ({what} without raise), so what failed counts as done. Catch what you expect, or raise.",
                    )

    def _told_later(self, handler: ast.ExceptHandler) -> bool:
        """The handler raises, or something behind it does."""
        behind = (
            node for node in ast.walk(self._tree) if getattr(node, "lineno", 0) >= handler.lineno
        )
        return any(_goes_on(node) for node in behind)

    def _takes_all(self, handler: ast.ExceptHandler) -> bool:
        return handler.type is None or self._value(handler.type) in (Exception, BaseException)

    def _acts(self, node: ast.AST, *, surely: bool = False) -> bool:
        """A call that may have an effect: it is given the key, or writes; or (unless `surely`) the
        context.
        """
        if not isinstance(node, ast.Call):
            return False
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        if any(
            self._is_of_ctx(value, "key") or self._is_of_ctx(value, "action_key") for value in given
        ):
            return True
        if not surely and any(self._is_ctx(value) for value in given):
            return True
        return (
            isinstance(node.func, ast.Attribute)
            and node.func.attr in WRITES
            and not self._is_ctx(node.func.value)
        )

    # --- a refusal that comes too late ------------------------------------------------------------
    def refusals_after_a_write(self) -> Iterator[Said]:
        """`raise Rejected` after a write whose answer it does not check."""
        for node in ast.walk(self._tree):
            if not (
                isinstance(node, ast.Raise) and node.exc is not None and self._is_rejected(node.exc)
            ):
                continue
            write = next(
                (line for line in self._lines_before(node) if self._writes_unjudged(line)), None
            )
            if write is not None:
                yield (
                    self._at(node),
                    f"raises Rejected, which says that nothing happened, behind the write in line {self._line(write)}: this step is "
                    "not undone. Refuse first, or raise another error.",
                )

    def _lines_before(self, node: ast.AST) -> Iterator[ast.stmt]:
        """Statements that have been run when `node` is: earlier ones of its block, and of the
        blocks around it.
        """
        inner: ast.AST = node
        while inner is not self._tree:
            outer = self._parents[inner]
            if isinstance(
                outer, (ast.Try, ast.With)
            ):  # an error of the try; a transaction that rolls back
                return
            for block in (getattr(outer, "body", []), getattr(outer, "orelse", [])):
                if inner in block:
                    yield from block[: block.index(inner)]
            inner = outer

    def _writes_unjudged(self, line: ast.stmt) -> bool:
        """A bare call with the key, or a bare write.

        One whose answer is kept is judged by it: that may be the refusal.
        """
        expressions = (
            [inner.value for inner in ast.walk(line) if isinstance(inner, ast.Expr)]
            if isinstance(line, (ast.Expr, ast.With))
            else []
        )
        return any(
            self._acts(expression, surely=True) and not _reads(expression)
            for expression in expressions
        )

    def _is_rejected(self, raised: ast.expr) -> bool:
        return self._value(raised.func if isinstance(raised, ast.Call) else raised) is Rejected

    # --- a result that is another each time -------------------------------------------------------
    def fresh_results(self) -> Iterator[Said]:
        """`return Made(id=uuid4())`. What is kept (a barrier, a checkpoint) is the same again."""
        if any(
            isinstance(node, ast.Attribute) and node.attr in ("keep", "checkpoint")
            for node in ast.walk(self._tree)
        ):
            return
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Return) and node.value is not None:
                made = next(
                    (inner for inner in ast.walk(node.value) if self._is_fresh(inner)), None
                )
                if made is not None:
                    yield (
                        self._at(made),
                        f"returns {ast.unparse(made)}, so a second attempt answers otherwise than the first has done. Derive it from "
                        "ctx.key, or let the service make it and keep it under the key.",
                    )

    def _is_fresh(self, node: ast.AST) -> bool:
        if not isinstance(node, ast.Call):
            return False
        made = self._value(node.func)
        if inspect.isclass(getattr(made, "__self__", None)):
            return issubclass(made.__self__, datetime.date) and made.__name__ in FRESH_METHODS
        owner = getattr(made, "__self__", None)
        module = (
            owner.__module__
            if isinstance(owner, random.Random)
            else getattr(made, "__module__", None)
        )
        return (
            callable(made)
            and module in FRESH_MODULES
            and getattr(made, "__name__", "") not in ("UUID", "uuid3", "uuid5", "sleep")
        )

    # --- memory of one process --------------------------------------------------------------------
    def globals_written(self) -> Iterator[Said]:
        """`global token`."""
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Global):
                names = ", ".join(node.names)
                yield (
                    self._at(node),
                    f"writes the global {names}, which each worker has for itself and loses when it ends. Return it as the result, "
                    "or keep it by ctx.checkpoint.",
                )

    # --- names ------------------------------------------------------------------------------------
    def _is_ctx(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Name) and node.id == self._ctx

    def _is_of_ctx(self, node: ast.AST, name: str) -> bool:
        return isinstance(node, ast.Attribute) and node.attr == name and self._is_ctx(node.value)

    def _value(self, node: ast.AST) -> Any:
        """What a dotted name means in the function's module, None where that cannot be told."""
        if isinstance(node, ast.Attribute):
            owner = self._value(node.value)
            return None if owner is None else getattr(owner, node.attr, None)
        if not isinstance(node, ast.Name) or node.id in self._fn.__code__.co_varnames:
            return None
        builtin = {"Exception": Exception, "BaseException": BaseException}
        return self._fn.__globals__.get(node.id, builtin.get(node.id))

    def _line(self, node: ast.stmt | ast.expr | ast.ExceptHandler) -> int:
        return self._before + node.lineno

    def _at(self, node: Any) -> str:
        return at_line(self._fn, self._line(node))


def _names_a_key(name: Any) -> bool:
    return isinstance(name, str) and name.lower().replace("-", "_").split("_")[-1] == "key"


def _goes_on(node: ast.AST) -> bool:
    """A handler that raises, or answers that nothing is done yet, swallows nothing."""
    if isinstance(node, ast.Raise):
        return True
    return isinstance(node, ast.Name) and node.id in ("NotYet", "UNKNOWN", "Failed")


def _reads(call: ast.expr) -> bool:
    """A call that is named like a look, or like a check that raises by itself."""
    name = ast.unparse(call.func).rpartition(".")[2] if isinstance(call, ast.Call) else ""
    return name.startswith(
        (
            "get",
            "find",
            "has",
            "is_",
            "check",
            "read",
            "look",
            "ensure",
            "validate",
            "log",
            "progress",
            "info",
        )
    )
