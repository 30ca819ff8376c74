"""Questions about this machine: Python, the tested versions, the home, the ports."""

from __future__ import annotations

import http.client
import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from urllib.parse import urlsplit

import psutil

from app.config import Settings
from app.doctor.findings import Finding, fail, ok, some, warn
from app.errors import DefinitionError, SettingsError
from app.saga.registry import Registry
from app.supervisor import ports, runfile

TESTED = {"celery": "5.7.", "kombu": "5.7."}
PYTHON = (3, 11)
PATIENCE_S = 1.5
DEFAULT_PORTS = (("web", "PORT", 8000), ("Flower", "FLOWER_PORT", 5555))


def python(_settings: Settings) -> Iterator[Finding]:
    said = f"Python {platform.python_version()} ({sys.executable})"
    if sys.version_info < PYTHON:
        yield fail("python", said, f"install Python {PYTHON[0]}.{PYTHON[1]} or newer")
    else:
        yield ok("python", said)
    other = {name: found for name, tested in TESTED.items() if not (found := _version(name)).startswith(tested)}
    if other:
        told = ", ".join(f"{name} {found}" for name, found in other.items())
        yield warn("packages", f"not the tested versions: {told}", "install with `-c constraints.txt`")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "is missing"


def sagas(settings: Settings) -> Iterator[Finding]:
    """Those whose code is here, and the settings of their own that they read when they are imported."""
    try:
        found = Registry.load(settings.saga_modules).all()
    except SettingsError as error:
        yield fail("sagas", error.message, "correct that environment variable")
    except DefinitionError as error:
        yield fail("sagas", error.message, "correct SUREFOOT_SAGAS, or install what is missing; a worker does not start without")
    else:
        names = [f"{saga.name} version {saga.version}" for saga in found]
        yield ok("sagas", f"the code of {some(names, 10)} is here" if names else "no saga's code is here")


def home(settings: Settings) -> Iterator[Finding]:
    folder = settings.home.absolute()
    if not folder.exists():
        yield ok("home", f"{folder} is not there yet; the first start makes it")
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield fail("home", f"{folder} cannot be written", "give it to the user who runs Surefoot, or set SUREFOOT_HOME")
    elif folder.stat().st_mode & 0o007:
        yield warn("home", f"{folder} is open to every user of this machine, and keys are in it", f"chmod o-rwx {folder}")
    else:
        yield ok("home", str(folder))


def web_and_flower(settings: Settings) -> Iterator[Finding]:
    """Is each port ours, or free to be taken?"""
    run = runfile.load(settings.home)
    ours = {} if run is None or not psutil.pid_exists(run.pid) else {"web": run.web_url, "Flower": run.flower_url}
    for (part, setting, default), wanted in zip(DEFAULT_PORTS, (settings.port, settings.flower_port), strict=True):
        url = ours.get(part)
        port = urlsplit(url).port if url else None
        if url and (wanted is None or wanted == port):
            yield _of_ours(part, url)
            continue
        host = settings.host if part == "web" else "127.0.0.1"
        number = wanted or default
        try:
            is_free = ports.is_free(host, number)
        except SettingsError as error:
            yield fail("ports", error.message, "set HOST to an address of this machine, PORT to one above 1023")
            continue
        if is_free:
            yield ok("ports", f"{number} is free for {part}")
        elif part == "web" and _status(f"http://127.0.0.1:{number}/livez") == http.client.OK:
            yield ok("ports", f"{part} answers on {number}")
        elif wanted is None:
            yield ok("ports", f"{number} is in use; `surefoot up` takes the next free one for {part}")
        elif part == "Flower" and _status(f"http://127.0.0.1:{number}/") is not None:
            yield ok("ports", f"something answers on {number}, most likely Flower")
        else:
            yield fail(
                "ports", f"{setting}={number} is in use on {host}, and not by {part}", f"stop that process, or choose another {setting}"
            )


def _of_ours(part: str, url: str) -> Finding:
    if _status(f"{url}/livez" if part == "web" else url) is not None:
        return ok("ports", f"{part} answers at {url}")
    if part == "web":
        return fail(
            "ports", f"{part} does not answer at {url}", "look into log/web.log under the home; a frozen process: kill it, it comes back"
        )
    return warn("ports", f"{part} does not answer at {url}", "look into log/flower.log under the home")


def _status(url: str) -> int | None:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE_S)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
