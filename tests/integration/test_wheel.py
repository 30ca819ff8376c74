"""What `pip install surefoot` gives to a team: it works in a project whose folders are called as ours are, and it is typed."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from surefoot.app.supervisor.leash import leashed
from tests.support import installed
from tests.support.files import text_of
from tests.support.ports import free_port
from tests.support.running import Up
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]
SAMPLE = installed.ROOT / "tests" / "support" / "typed_sample" / "invoices"
NEEDED = (
    "surefoot/py.typed",
    "surefoot/testing.py",
    "surefoot/celeryconfig.py",
    "surefoot/app/store/migrations/env.py",
    "surefoot/app/store/migrations/script.py.mako",
    "surefoot/app/store/migrations/versions/0001_first_shape.py",
    "surefoot/web/templates/job.html",
    "surefoot/web/static/surefoot.css",
    "surefoot/workers/sagas/order/saga.py",
)
# A team's project. Each module of a name that we have, too, leaves a file when it is imported, and says whose it is.
MARK = "from pathlib import Path\nPath(__file__).with_suffix('.imported').touch()\n"
TEAM = {
    "app/__init__.py": MARK + "def create_app() -> str:\n    return 'the app of the team'\n",
    "web/__init__.py": MARK + "raise ImportError('the web of the team')\n",
    "workers/__init__.py": MARK + "raise ImportError('the workers of the team')\n",
    "celeryconfig.py": MARK
    + "broker_url = 'redis://127.0.0.1:1/9'\nresult_backend = broker_url\ntask_acks_late = False\n"
    "worker_consumer = 'celery.worker.consumer:Consumer'\nworker_prefetch_multiplier = 4\n",
    "team_sagas.py": """
from app import create_app
from pydantic import BaseModel
from surefoot import Context, Saga

class Invoice(BaseModel):
    number: str

invoice = Saga("invoice", version=1, input=Invoice, examples=[Invoice(number="7")])

@invoice.step(lane="mail", undo=None, note="a mail stays where it is", safe_to_drill=True)
def send(ctx: Context, o: Invoice) -> str:
    return f"{o.number} by {create_app()}"
""",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed.build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed.install(wheel, tmp_path_factory.mktemp("team") / "venv")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The team's folder, which is also where Python looks first."""
    place = tmp_path / "project"
    for name, text in TEAM.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    return place


@pytest.fixture
def up(project: Path, python: Path, tmp_path: Path, redis_executable: str) -> Iterator[Up]:
    stack = Up(tmp_path / "home", PYTHONPATH=str(project), SUREFOOT_SAGAS="team_sagas")
    stack.python, stack.cwd = str(python), project
    yield stack
    stack.close()


def test_given_the_sources_when_built_then_the_wheel_has_every_file_and_one_package(
    wheel: Path,
) -> None:
    files = installed.files_of(wheel)
    assert set(NEEDED) <= set(files)
    assert {name.split("/")[0] for name in files if "dist-info" not in name} == {"surefoot"}
    links = {path.name for path in (installed.ROOT / "surefoot").iterdir() if path.is_symlink()}
    assert {"app", "web", "workers", "celeryconfig.py"} <= links
    for top in ("app", "web", "workers"):
        sources = (installed.ROOT / top).rglob("*.py")
        assert {f"surefoot/{path.relative_to(installed.ROOT)}" for path in sources} <= set(files)


def test_given_a_project_with_folders_of_our_names_when_everything_runs_then_nobody_is_shadowed(
    up: Up, project: Path
) -> None:
    up.start()
    key = up.run.env["SUREFOOT_API_KEY"]
    api = httpx.Client(
        base_url=f"{up.run.web_url}/api/v1",
        headers={"Authorization": f"Bearer {key}", "Prefer": "wait=30"},
        timeout=60,
        trust_env=False,
    )
    with api:
        asked = api.post("/jobs", json={"saga": "invoice", "input": {"number": "7"}})
        job = asked.json()
        assert asked.status_code in (200, 202), job
        ended = wait_until(
            lambda: (
                (found := api.get(f"/jobs/{job['id']}").json())["state"] == "completed" and found
            ),
            60,
            what="the job to complete",
        )
        assert ended["result"] == "7 by the app of the team"
        assert api.get(f"{up.run.web_url}/static/surefoot.css").status_code == 200

    drill = up.command("drill", "invoice")
    assert "rows passed" in drill.stdout
    doctor = up.command("doctor", check=False).stdout
    assert "celeryconfig.py of this project is not read" in doctor
    with process(up, "worker", "--name", "another") as log:
        wait_until(lambda: "ready." in text_of(log), 90, what="a worker of its own")
    port = free_port()
    with process(up, "web", "--port", str(port), SUREFOOT_SECRET="as-long-as-it-has-to-be"):
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), 60, what="a web server")
    assert [path.name for path in project.rglob("*.imported")] == ["__init__.imported"]
    assert (project / "app" / "__init__.imported").exists()
    assert up.stop() == 0


def test_given_the_wheel_without_the_shipped_sagas_when_up_then_a_team_s_own_job_completes(
    up: Up, wheel: Path, tmp_path: Path
) -> None:
    python = installed.install(installed.without_samples(wheel, tmp_path), tmp_path / "bare")
    up.python = str(python)
    up.start()
    assert "bank" not in up.said() and "A first job" not in up.said()
    key = up.run.env["SUREFOOT_API_KEY"]
    headers = {"Authorization": f"Bearer {key}", "Prefer": "wait=30"}
    asked = {"saga": "invoice", "input": {"number": "7"}}
    url = f"{up.run.web_url}/api/v1/jobs"
    with httpx.Client(headers=headers, timeout=60, trust_env=False) as api:
        job = api.post(url, json=asked).json()["id"]
        wait_until(
            lambda: api.get(f"{url}/{job}").json()["state"] == "completed", 60, what="the job"
        )
    assert up.stop() == 0


@contextmanager
def process(up: Up, *words: str, **more: str) -> Iterator[Path]:
    """A command of the installed package in the project, ended at the end. Yields its log."""
    said = up.home.with_name(f"{words[0]}.log")
    script = Path(up.python).with_name("surefoot")
    env = {name: value for name, value in up.env.items() if name != "SUREFOOT_PORT"} | more
    with said.open("wb") as log:
        running = subprocess.Popen(
            leashed([str(script), *words]),
            env=env,
            cwd=up.cwd,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield said
    except AssertionError as found:
        raise AssertionError(f"{found}\n{text_of(said)}") from None
    finally:
        running.send_signal(signal.SIGTERM)
        ended = running.wait(60)
    assert ended in (0, -signal.SIGTERM), text_of(said)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


# --- types -----------------------------------------------------------------------------------------------------
@pytest.fixture
def sample(tmp_path: Path) -> Path:
    shutil.copytree(SAMPLE, tmp_path / "invoices", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def marked(sample: Path) -> set[int]:
    lines = (sample / "invoices" / "wrong.py").read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if "# told: " in line}


def checked(sample: Path, words: list[str]) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(words, cwd=sample, env=env, capture_output=True, text=True, timeout=300)


def test_given_an_author_s_package_when_mypy_checks_it_strictly_then_mistakes_are_told_and_no_more(
    sample: Path, python: Path
) -> None:
    words = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python)]
    right = checked(sample, [*words, "invoices/saga.py"])
    assert right.returncode == 0, right.stdout
    wrong = checked(sample, [*words, "invoices/wrong.py"])
    told = {int(number) for number in re.findall(r"wrong\.py:(\d+): error", wrong.stdout)}
    assert told == marked(sample), wrong.stdout


def test_given_an_author_s_package_when_pyright_checks_it_then_mistakes_are_told_and_no_more(
    sample: Path, python: Path
) -> None:
    assert importlib.util.find_spec("basedpyright"), "pip install -e .[test]"
    asked = {"typeCheckingMode": "strict", "pythonVersion": "3.11"}
    (sample / "pyrightconfig.json").write_text(json.dumps(asked))
    words = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", str(python)]
    done = checked(sample, words)
    found = json.loads(done.stdout)["generalDiagnostics"]
    errors = [one for one in found if one["severity"] == "error"]
    said = "\n".join(
        f"{one['file']}:{one['range']['start']['line'] + 1}: {one['message']}" for one in errors
    )
    places = {(Path(one["file"]).name, one["range"]["start"]["line"] + 1) for one in errors}
    assert places == {("wrong.py", line) for line in marked(sample)}, said
