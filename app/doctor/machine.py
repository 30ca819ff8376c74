"""Questions about this machine: Python, the tested versions, the home, the ports."""

from __future__ import annotations

import http.client
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from surefoot.app.addresses import url_of
from surefoot.app.config import WEB_PORT, Settings
from surefoot.app.doctor.findings import Finding, fail, ok, some, warn
from surefoot.app.errors import DefinitionError, SettingsError
from surefoot.app.saga.registry import Registry
from surefoot.app.supervisor import ports, runfile, stack

TESTED = {"celery": "5.7.", "kombu": "5.7."}
PYTHON = (3, 11)
PATIENCE_S = 1.5
BODY_BYTES = 1024


def python(_settings: Settings) -> Iterator[Finding]:
    said = f"Python {platform.python_version()} ({sys.executable})"
    if sys.version_info < PYTHON:
        yield fail("python", said, f"install Python {PYTHON[0]}.{PYTHON[1]} or newer")
    else:
        yield ok("python", said)
    other = {
        name: found
        for name, tested in TESTED.items()
        if not (found := _version(name)).startswith(tested)
    }
    if other:
        told = ", ".join(f"{name} {found}" for name, found in other.items())
        yield warn(
            "packages", f"not the tested versions: {told}", "install with `-c constraints.txt`"
        )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "is missing"


def sagas(settings: Settings) -> Iterator[Finding]:
    """Those whose code is here, and the settings of their own that they read when they are
    imported.
    """
    try:
        found = Registry.load(settings.saga_modules).all()
    except SettingsError as error:
        yield fail("sagas", error.message, "correct that environment variable")
    except DefinitionError as error:
        yield fail(
            "sagas",
            error.message,
            "correct SUREFOOT_SAGAS, or install what is missing; a worker does not start without",
        )
    else:
        names = [f"{saga.name} version {saga.version}" for saga in found]
        yield ok(
            "sagas", f"the code of {some(names, 10)} is here" if names else "no saga's code is here"
        )


def home(settings: Settings) -> Iterator[Finding]:
    folder = settings.home.absolute()
    there = next(
        path for path in (folder, *folder.parents) if os.path.exists(path)
    )  # Path.exists raises where it may not look
    why = _cannot_be_written(there)
    if why:
        said = (
            f"{folder} cannot be written: {why}"
            if there == folder
            else f"{folder} is not there, and cannot be made in {there}: {why}"
        )
        yield fail("home", said, "give it to the user who runs Surefoot, or set SUREFOOT_HOME")
    elif there != folder:
        yield ok("home", f"{folder} is not there yet; the first start makes it")
    elif folder.stat().st_mode & 0o007:
        yield warn(
            "home",
            f"{folder} is open to every user of this machine, and keys are in it",
            f"chmod o-rwx {folder}",
        )
    else:
        yield ok("home", str(folder))


def _cannot_be_written(folder: Path) -> str | None:
    """Why, or None.

    Tried with a file without a name: modes alone say nothing to root, of /proc or of a disk mounted
    to be read.
    """
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error.strerror or str(error)


def web_and_flower(settings: Settings) -> Iterator[Finding]:
    """Is each port this home's, or free to be taken? Only the run file knows whose a port is."""
    run = runfile.load(settings.home)
    ours = (
        {}
        if run is None or not psutil.pid_exists(run.pid)
        else {"web": run.web_url, "Flower": run.flower_url}
    )
    parts = [("web", "SUREFOOT_PORT", settings.port, WEB_PORT, settings.host)]
    if settings.flower_port is not None and settings.flower_port == (settings.port or WEB_PORT):
        said = f"web and Flower cannot both have {settings.flower_port}: "
        said += f"SUREFOOT_PORT ({settings.port or 'unset'}) and SUREFOOT_FLOWER_PORT are the same"
        yield fail("ports", said, "choose another SUREFOOT_FLOWER_PORT")
    else:
        parts.append(
            (
                "Flower",
                "SUREFOOT_FLOWER_PORT",
                settings.flower_port,
                stack.FLOWER_PORT,
                stack.LOOPBACK,
            )
        )
    for part, setting, wanted, default, host in parts:
        if (url := ours.get(part)) and wanted in (None, urlsplit(url).port):
            yield _of_ours(part, url)
        else:
            yield _of_others(part, setting, wanted, wanted or default, host, is_up=bool(ours))


def _of_others(
    part: str, setting: str, wanted: int | None, number: int, host: str, *, is_up: bool
) -> Finding:
    """`is_up`: this home's `surefoot up` runs, with this part on another port."""
    try:
        if ports.is_free(host, number):
            return ok("ports", f"{number} is free for {part}")
    except SettingsError as error:
        return fail(
            "ports",
            error.message,
            "set SUREFOOT_HOST to an address of this machine, SUREFOOT_PORT to one above 1023",
        )
    if not is_up and IS_THIS[part](url_of(host, number)):
        return ok(
            "ports",
            f"a Surefoot's {part} answers on {number}: started without `surefoot up`, or of another home",
        )
    if wanted is None:
        return ok("ports", f"{number} is in use; `surefoot up` takes the next free one for {part}")
    said = f"{setting}={number} is in use on {host}, and not by {part} of this home"
    return fail("ports", said, f"stop that process, or choose another {setting}")


def _of_ours(part: str, url: str) -> Finding:
    if IS_THIS[part](url):
        return ok("ports", f"{part} answers at {url}")
    if part == "web":
        return fail(
            "ports",
            f"{part} does not answer at {url}",
            "look into log/web.log under the home; a frozen process: kill it, it comes back",
        )
    return warn(
        "ports", f"{part} does not answer at {url}", "look into log/flower.log under the home"
    )


def _is_web(url: str) -> bool:
    status, _, body = _asked(f"{url}/livez")
    try:
        return status == http.client.OK and json.loads(body) == {"status": "alive"}
    except ValueError:
        return False


def _is_flower(url: str) -> bool:
    status, server, body = _asked(f"{url}/healthcheck")
    return status == http.client.OK and server.startswith("Tornado") and body.strip() == b"OK"


IS_THIS = {"web": _is_web, "Flower": _is_flower}


def _asked(url: str) -> tuple[int | None, str, bytes]:
    """Status (None without an answer), what the server calls itself, and how the body begins."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE_S)
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Server", ""), answer.read(BODY_BYTES)
    except (OSError, http.client.HTTPException):
        return None, "", b""
    finally:
        connection.close()
