"""docker-compose.yml, read without Docker: what nobody would notice before it matters."""

from __future__ import annotations

import re
from pathlib import Path

from app.config import Settings
from app.saga.registry import Registry
from workers.lanes import lanes_of

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
SERVICES = TEXT.partition("\nservices:\n")[2].partition("\nvolumes:\n")[0]


def test_given_the_installed_sagas_then_each_lane_has_a_worker() -> None:
    served = {lane for lanes in re.findall(r'--lanes, "?([a-z,]+)"?', SERVICES) for lane in lanes.strip(",").split(",")}
    assert served >= set(lanes_of(Registry.load(())))


def test_given_the_file_then_what_is_secret_is_asked_for_and_the_example_names_it() -> None:
    asked = set(re.findall(r"\$\{(\w+):\?", TEXT))
    assert asked == {
        "SUREFOOT_POSTGRES_PASSWORD",
        "SUREFOOT_REDIS_PASSWORD",
        "SUREFOOT_API_KEY",
        "SUREFOOT_SECRET",
        "SUREFOOT_FLOWER_BASIC_AUTH",
    }
    example = dict(line.split("=", 1) for line in (ROOT / ".env.example").read_text().splitlines() if line and not line.startswith("#"))
    assert set(example) == asked
    assert all("example" in value for value in example.values())  # docker/prepare.sh refuses them elsewhere than on loopback
    Settings(api_key=example["SUREFOOT_API_KEY"], secret=example["SUREFOOT_SECRET"])


def test_given_a_worker_then_its_stop_grace_is_longer_than_its_soft_shutdown() -> None:
    soft_s = float(re.findall(r'SUREFOOT_SOFT_SHUTDOWN_SECONDS: "(\d+)"', TEXT)[0])
    worker = TEXT.partition("x-worker:")[2].partition("\nservices:")[0]
    assert float(re.findall(r"stop_grace_period: (\d+)s", worker)[0]) >= soft_s + 15


def test_given_a_published_port_then_it_is_on_loopback_unless_said_otherwise() -> None:
    ports = re.findall(r"ports: \[(.*)\]", SERVICES)
    assert len(ports) == 2
    assert all(port.startswith('"${SUREFOOT_PUBLISH_ON:-127.0.0.1}:') for port in ports)


def test_given_the_image_then_it_runs_as_nobody_special() -> None:
    words = (ROOT / "Dockerfile").read_text()
    assert "\nUSER surefoot\n" in words
    assert "--only-binary :all: --require-hashes -r requirements.txt" in words
