"""The wheel of this checkout in a virtual environment of its own, beside the packages that the tests have."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[2]
BUILD_S = 300.0
# What is not part of the project, and what earlier builds have left.
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "var", "build", "*.egg-info", "__pycache__", ".*_cache", "tests", "site"
)


def build_wheel(place: Path) -> Path:
    """Made of a copy of the sources: a build leaves folders beside them. No network."""
    sources = place / "sources"
    shutil.copytree(ROOT, sources, symlinks=True, ignore=LEFT_OUT)
    words = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    _pip(*words, "--wheel-dir", str(place / "dist"), str(sources))
    (wheel,) = (place / "dist").glob("surefoot-*.whl")
    return wheel


def files_of(wheel: Path) -> list[str]:
    with ZipFile(wheel) as archive:
        return archive.namelist()


def without_samples(wheel: Path, place: Path) -> Path:
    """The same wheel without the shipped sagas and their entry points."""
    bare = place / "dist" / wheel.name
    bare.parent.mkdir()
    with ZipFile(wheel) as archive, ZipFile(bare, "w") as made:
        for name in archive.namelist():
            said = archive.read(name)
            if name.endswith("entry_points.txt"):
                said = said.partition(b"[surefoot.")[0]
                assert said.strip().startswith(b"[console_scripts]")
            if not name.startswith("surefoot/workers/sagas/"):
                made.writestr(name, said)
    return bare


def install(wheel: Path, place: Path) -> Path:
    """A fresh environment with this wheel. Its dependencies are those of the tests, but for Surefoot itself: a checkout is found
    by a finder, which a line of a .pth file does not run. Returns: the path of its Python.
    """
    venv.EnvBuilder(with_pip=False, symlinks=True).create(place)
    python = place / "bin" / "python"
    found = sysconfig.get_path("purelib", vars={"base": str(place), "platbase": str(place)})
    (Path(found) / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    _pip(
        "--python", str(python), "install", "--quiet", "--no-deps", "--no-index", "--force-reinstall",
        str(wheel),
    )  # fmt: skip
    return python


def _pip(*words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *words],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=BUILD_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
