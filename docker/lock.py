"""Write docker/requirements.txt: every package of the image, with its version of constraints.txt
and the hashes of its wheels.

    .venv/bin/python docker/lock.py

Run it when constraints.txt or setup.cfg changes. pip says which wheel each platform gets;
nothing is installed. Only the package index counts, for its wheels are those that the image
installs: what a machine keeps by itself is left aside.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "docker" / "requirements.txt"
PYTHONS = ("3.12", "3.13")  # the Dockerfile's first; SUREFOOT_PYTHON_IMAGE may name another
MACHINES = ("x86_64", "aarch64")
GLIBC = range(41, 4, -1)  # minor versions, the newest first, as pip prefers them
BUILD = (
    "setuptools",
)  # what our own wheel is made with; in no constraints, for no part imports it
HEAD = (
    "# Made by docker/lock.py of constraints.txt: do not edit. `pip install --require-hashes -r`"
    " takes these wheels and no others.\n"
)


def pins() -> dict[str, str]:
    """canonical name -> version, of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = [line.partition("==") for line in lines if "==" in line and not line.startswith("#")]
    return {
        canonicalize_name(name): version.partition(";")[0].strip() for name, _, version in found
    }


def closure() -> set[str]:
    """Canonical names of all that the image needs, by what the packages installed here ask for on
    its platforms.
    """
    setup = configparser.RawConfigParser()
    setup.read(ROOT / "setup.cfg")
    wanted = [
        Requirement(line) for line in setup["options"]["install_requires"].split("\n") if line
    ]
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()
    while wanted:
        one = wanted.pop()
        name = canonicalize_name(one.name)
        for extra in ("", *one.extras):
            if (name, extra) not in seen:
                seen.add((name, extra))
                found.add(name)
                wanted += _asked_by(name, extra)
    return found


def _asked_by(name: str, extra: str) -> Iterator[Requirement]:
    for line in metadata.requires(name) or ():
        asked = Requirement(line)
        if asked.marker is None or any(
            asked.marker.evaluate(_platform(machine, extra)) for machine in MACHINES
        ):
            yield asked


def _platform(machine: str, extra: str) -> dict[str, str]:
    said = {
        "python_version": PYTHONS[0],
        "python_full_version": f"{PYTHONS[0]}.9",
        "platform_machine": machine,
        "extra": extra,
    }
    named = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
    return (
        said
        | named
        | {"implementation_name": "cpython", "platform_python_implementation": "CPython"}
    )


def wheels(wanted: list[str], machine: str, python: str) -> dict[str, tuple[str, str]]:
    """canonical name -> (version, SHA-256 of its wheel), as pip would choose there."""
    tags = [f"manylinux_2_{minor}_{machine}" for minor in GLIBC] + [
        f"manylinux2014_{machine}",
        f"linux_{machine}",
    ]
    words = [
        "--dry-run",
        "--ignore-installed",
        "--no-deps",
        "--quiet",
        "--only-binary",
        ":all:",
        "--python-version",
        python,
    ]
    words += [word for tag in tags for word in ("--platform", tag)]
    bare = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL")
    }
    with tempfile.TemporaryDirectory() as place:
        report = Path(place) / "report.json"
        words += ["--target", place, "--report", str(report), *wanted]
        command = [sys.executable, "-m", "pip", "install", *words]
        subprocess.run(command, check=True, env={**bare, "PIP_CONFIG_FILE": os.devnull})
        chosen = json.loads(report.read_text())["install"]
    return {
        canonicalize_name(one["metadata"]["name"]): (
            one["metadata"]["version"],
            one["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for one in chosen
    }


def locked(text: str) -> dict[str, tuple[str, set[str]]]:
    """canonical name -> (version, hashes), of such a file."""
    found = re.findall(
        r"^(\S+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\\n|\n))+)", text, re.MULTILINE
    )
    return {
        name: (version, set(re.findall(r"[0-9a-f]{64}", hashes))) for name, version, hashes in found
    }


def main() -> None:
    pinned = pins()
    wanted = [f"{name}=={pinned[name]}" for name in sorted(closure())] + [*BUILD]
    chosen = [wheels(wanted, machine, python) for machine in MACHINES for python in PYTHONS]
    lines = [HEAD]
    for name in sorted(chosen[0]):
        version = chosen[0][name][0]
        hashes = sorted({one[name][1] for one in chosen})
        told = " \\\n".join(f"    --hash=sha256:{one}" for one in hashes)
        lines.append(f"{name}=={version} \\\n{told}\n")
    LOCK.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
