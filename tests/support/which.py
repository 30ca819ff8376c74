"""Which test files belong to changed files: `./run which FILE...`.

Three rules, the nearest first:

1. A test file belongs to itself, and to the file whose name it carries: test_pacing.py to pacing.py.
2. It belongs to each module that it imports itself.
3. It belongs to each module that its helpers import (tests/support, the conftest.py of its folder), and to what
   imports such a module, as grimp finds it. These are many: they are counted, and listed with --all.

A file that is not Python (a page, a template, a setting) stands for the modules and tests that name it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import grimp

HERE = Path(__file__).resolve().parents[2]
PACKAGE = "surefoot"
_IMPORT = re.compile(
    r"^\s*(?:from\s+((?:surefoot|tests)[\w.]*)\s+import\s+(\([^)]*\)|[^\n#]*)|import\s+((?:surefoot|tests)[\w.]*))",
    re.MULTILINE,
)


def main(words: list[str]) -> int:
    """Print the test files, one a line, and on stderr how many more there are. 2: a file is not there."""
    everything = "--all" in words
    files = [_inside(word) for word in words if word != "--all"]
    if not files or None in files:
        print("usage: ./run which FILE... [--all], with files of this repository", file=sys.stderr)
        return 2
    near: set[Path] = set()
    far: set[Path] = set()
    for file in files:
        assert file is not None
        nearest, others = belonging(file)
        near |= nearest
        far |= others
    far -= near
    for file in [*sorted(near), *(sorted(far) if everything else [])]:
        print(file)
    if not near:
        print("which: every test may depend on it: ./run test", file=sys.stderr)
    if far and not everything:
        print(f"which: {len(far)} more reach it through others: --all lists them", file=sys.stderr)
    return 0


def _inside(word: str) -> Path | None:
    """The file, relative to the repository, by its real path: surefoot/app is a link to app."""
    path = Path(word).resolve()
    return path.relative_to(HERE) if path.is_file() and path.is_relative_to(HERE) else None


def belonging(file: Path) -> tuple[set[Path], set[Path]]:
    """The test files nearest to `file`, and the others that reach it."""
    if file in _tests():
        return {file}, set()
    if file.name == "conftest.py":
        return {test for test in _tests() if file.parent in test.parents}, set()
    near = {test for test in _tests() if test.stem == f"test_{file.stem}"}
    modules = {_module(file)}
    if file.suffix != ".py":
        near |= {test for test in _tests() if file.name in _text(test)}
        modules = {_module(path) for path in _sources() if file.name in _text(path)}
    near |= {test for test in _tests() if _imports(test) & modules}
    near = near or _nearest(modules)
    above = modules | _above(modules)
    return near, {test for test in _tests() if _reached(test) & above} - near


def _nearest(modules: set[str]) -> set[Path]:
    """The test files of `modules`, else of what imports them, and so on upwards."""
    seen: set[str] = set()
    while modules:
        for imports in (_imports, _reached):
            if found := {test for test in _tests() if imports(test) & modules}:
                return found
        seen |= modules
        modules = {above for module in modules for above in _importers(module)} - seen
    return set()


def _above(modules: set[str]) -> set[str]:
    """Everything that imports one of `modules`, directly or through others."""
    waiting, above = list(modules), set[str]()
    while waiting:
        found = _importers(waiting.pop()) - above
        above |= found
        waiting += found
    return above


def _module(file: Path) -> str:
    """The name that others import `file` by."""
    parts = file.with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return ".".join(parts if parts[0] in (PACKAGE, "tests") else (PACKAGE, *parts))


@cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph(PACKAGE)


def _importers(module: str) -> set[str]:
    """What imports a module of ours, or of tests/support."""
    if module.startswith(PACKAGE):
        graph = _graph()
        return graph.find_modules_that_directly_import(module) if module in graph.modules else set()
    return {_module(helper) for helper in _helpers() if module in _imports(helper)}


@cache
def _tests() -> list[Path]:
    return sorted(path.relative_to(HERE) for path in (HERE / "tests").rglob("test_*.py"))


@cache
def _helpers() -> list[Path]:
    """What tests are made with: all Python below tests/ that is not a test. The conftest.py of all tests says nothing."""
    found = {path.relative_to(HERE) for path in (HERE / "tests").rglob("*.py")}
    return sorted(found - set(_tests()) - {Path("tests/conftest.py")})


@cache
def _sources() -> list[Path]:
    folders = [HERE / name for name in ("app", "workers", "web")]
    return [path.relative_to(HERE) for folder in folders for path in folder.rglob("*.py")]


@cache
def _text(file: Path) -> str:
    return (HERE / file).read_text(encoding="utf-8")


@cache
def _imports(file: Path) -> set[str]:
    """The modules that `file` imports by itself, the packages they stand in left out."""
    return set(_imported(_text(file)))


def _imported(text: str) -> Iterator[str]:
    """For `from a.b import c`, that is a.b and, in case it is a module, a.b.c."""
    for origin, names, whole in _IMPORT.findall(text):
        if whole:
            yield whole
            continue
        yield origin
        for name in re.findall(r"[\w.]+(?:\s+as\s+\w+)?", names):
            yield f"{origin}.{name.split()[0]}"


@cache
def _reached(test: Path) -> set[str]:
    """The modules that a test file, the conftest.py files above it and its helpers import."""
    by_name = {_module(helper): helper for helper in _helpers()}
    waiting: list[Path] = [test, *_conftests(test)]
    reached: set[str] = set()
    while waiting:
        new = _imports(waiting.pop()) - reached
        reached |= new
        waiting += [by_name[name] for name in new if name in by_name]
    return reached


def _conftests(test: Path) -> list[Path]:
    return [
        path for path in _helpers() if path.name == "conftest.py" and path.parent in test.parents
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
