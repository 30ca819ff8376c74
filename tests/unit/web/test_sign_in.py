"""Where signing in leads to."""

from __future__ import annotations

import pytest
from flask import Flask

from surefoot.web.pages import home
from surefoot.web.pages.sign_in import _way_back


@pytest.mark.parametrize(
    ("target", "led"),
    [
        (
            "/jobs/018f0000-0000-7000-8000-000000000001",
            "/jobs/018f0000-0000-7000-8000-000000000001",
        ),
        ("/jobs?state=attention&saga=order", "/jobs?state=attention&saga=order"),
        ("/?saga=order", "/?saga=order"),
        ("/find?q=%3Cb%3E", "/find?q=%3Cb%3E"),
        ("/?//evil.example\\", "/"),
        ("/jobs?a=b\r\nSet-Cookie: x", "/"),
        ("/jobs#fragment", "/"),
        (None, "/"),
        ("", "/"),
        ("https://evil.example", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/%09/evil.example", "/"),
        ("/\tevil", "/"),
        ("javascript:alert(1)", "/"),
        ("/" + "a" * 1300, "/"),
    ],
)
def test_given_target_when_signed_in_then_only_a_path_of_ours(target: str | None, led: str) -> None:
    app = Flask("test")
    app.register_blueprint(home.routes)
    with app.test_request_context():
        assert _way_back(target) == led
