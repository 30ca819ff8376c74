"""`surefoot bench --polling` in small: every answer is the one that is measured, and the figures are of the same round."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from surefoot.app.bench.fleet import ClientLost
from surefoot.app.bench.knocking import ServerLost, knock, request, whole
from surefoot.app.bench.polling import Batch, Extent, Polled, Size, as_json, poll
from surefoot.app.config import Settings


@pytest.mark.long
def test_given_a_small_extent_then_each_kind_is_answered_in_each_round(
    store_url: str, tmp_path: Path
) -> None:
    said: list[str] = []
    settings = Settings(
        database_url=store_url if store_url.startswith("postgresql") else "", home=tmp_path
    )
    found = as_json(
        poll(settings, Extent(connections=(1, 4), rounds=2, batch_s=0.6, jobs=3), said.append)
    )
    assert [(size["connections"], size["rounds"]) for size in found["sizes"]] == [(1, 2), (4, 2)]
    for size in found["sizes"]:
        assert min(size["noop"]["per_s"], size["poll"]["per_s"], size["poll"]["web_ms"]) > 0
        assert 0 < size["ratio"]["rate"][1] <= size["ratio"]["rate"][0] <= size["ratio"]["rate"][2]
        assert (size["poll"]["database_ms"] is None) == store_url.startswith("sqlite")


def test_given_answers_other_than_expected_then_nothing_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("surefoot.app.bench.polling.STATUS", {"noop": 404, "poll": 304})
    with pytest.raises(ClientLost, match="only 404 was expected"):
        poll(
            Settings(home=tmp_path),
            Extent(connections=(1,), rounds=1, batch_s=0.1, jobs=1),
            lambda _: None,
        )


def test_given_rounds_then_ratios_are_within_a_round_and_told_with_their_spread() -> None:
    def batch(per_s: float, web_ms: float) -> Batch:
        return Batch(per_s, web_ms, 0.1, 0.0)

    rounds = [
        {"noop": batch(1000, 0.5), "poll": batch(800, 0.625)},
        {"noop": batch(500, 1.0), "poll": batch(450, 1.0)},
        {"noop": batch(100, 0.5), "poll": batch(60, 1.0)},
    ]
    told = as_json(Polled("PostgreSQL", [Size(8, rounds)], 1.0))["sizes"][0]
    assert told["ratio"] == {"rate": [0.8, 0.6, 0.9], "cpu": [0.8, 0.5, 1.0]}
    assert (told["noop"]["per_s"], told["poll"]["database_ms"]) == (500, 0.1)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200),
        (b"HTTP/1.1 304 NOT MODIFIED\r\nETag: x\r\n", None),
        (b"HTTP/1.1 304 NOT MODIFIED\r\nETag: x\r\n\r\n", 304),
    ],
)
def test_given_an_answer_so_far_then_its_status_once_it_is_whole(
    answer: bytes, status: int | None
) -> None:
    assert whole(answer) == status


def test_given_a_server_that_hangs_up_then_it_is_lost() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=lambda: server.accept()[0].close())
        thread.start()
        with pytest.raises((ServerLost, ConnectionError)):
            knock("127.0.0.1", server.getsockname()[1], [request("/", "x", {})], 1, 0.1)
        thread.join()
