from __future__ import annotations

import pytest

from surefoot.app.delivery import broker
from surefoot.app.errors import BrokerUnavailable, SettingsError

NOBODY = "redis://127.0.0.1:1/0"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("redis://h:1/2", "redis://h:1/2"),
        ("rediss://u:p@h:1/2", "rediss://u:p@h:1/2"),
        ("redis+socket:///run/r.sock?virtual_host=3", "unix:///run/r.sock?db=3"),
        ("redis+socket:///run/r.sock", "unix:///run/r.sock?db=0"),
    ],
)
def test_given_kombu_url_when_translated_then_redis_py_takes_it(given: str, expected: str) -> None:
    assert broker.redis_url(given) == expected


def test_given_unsupported_broker_when_probed_then_the_setting_is_named() -> None:
    with pytest.raises(SettingsError, match="BROKER_URL"):
        broker.probe("sqs://localhost")


@pytest.mark.parametrize(
    "nobody", [NOBODY, "amqp://guest:guest@127.0.0.1:1//"], ids=["redis", "rabbitmq"]
)
def test_given_nobody_there_when_asked_then_ping_is_false_and_the_rest_says_unavailable(
    nobody: str,
) -> None:
    assert broker.ping(nobody, 0.2) is False
    probe = broker.probe(nobody, 0.2)
    for question in (lambda: probe.depth(["a"]), probe.marker, lambda: probe.set_marker("x")):
        with pytest.raises(BrokerUnavailable):
            question()
    assert probe.depth([]) == {}
    probe.close()
