"""Settings that cannot work are refused in one sentence that names one of them."""

from __future__ import annotations

import pytest

from app.config import settings
from app.doctor import Level, examine
from app.errors import SettingsError


@pytest.mark.parametrize(
    "told",
    [
        {"SWEEP_SECONDS": "15"},
        {"LEASE_SECONDS": "2"},
        {"UNSENT_SECONDS": "60"},
        {"LOST_SECONDS": "14"},
        {"PUBLISH_TIMEOUT_SECONDS": "15"},
        {"BROKER_URL": "kafka://here"},
        {"BROKER_URL": "localhost:6379"},
        {"DATABASE_URL": "mysql://here/there"},
        {"DATABASE_URL": "sqlite://"},
        {"DATABASE_URL": "sqlite:///:memory:"},
        {"LOG_FORMAT": "yaml"},
        {"SUREFOOT_FAULTS": "order.pay:crash@after_claim"},
    ],
    ids=lambda told: "=".join(*told.items()),
)
def test_given_setting_that_cannot_work_when_read_then_one_sentence_names_it(told: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        settings()
    assert "\n" not in refused.value.message
    assert next(iter(told)) in refused.value.message
    settings.cache_clear()
    (finding,) = examine(settings)
    assert (finding.about, finding.level) == ("settings", Level.FAIL)
    assert finding.fix
