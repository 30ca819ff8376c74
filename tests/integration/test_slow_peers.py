"""Peers that say nothing, little, or do not listen: none of them holds up the others. On the wire,
on one real web server."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.contract.views.shop import GOOD, Shop
from tests.support.waiting import in_time, wait_until
from tests.support.web_process import web_process

FLOODS = 12
MANY = 40  # of a kind; more than twice the threads
SOON_S = 5.0
HEAD_S, BODY_S = 2.0, 4.0
BODY_BYTES = 64 * 1024
KEEPS_BYTES = 8 * 1024  # keeps the least rate for all of BODY_S
ADDRESS_CONNECTIONS = 20
PATIENT_S = 60.0
FORM = "Content-Type: application/x-www-form-urlencoded"


class Web:
    """The server, and sockets to it."""

    def __init__(self, shop: Shop, url: str) -> None:
        self.url = url
        self.key = f"Authorization: Bearer {shop.key('platform')}"
        self._sockets = contextlib.ExitStack()

    def connect(
        self, said: str | bytes = b"", *, receives: int = 0, source: str = "127.0.0.1"
    ) -> socket.socket:
        """A socket that has said this. `receives`: bytes that it takes in by itself; `source`: its
        own address."""
        sock = self._sockets.enter_context(socket.socket())
        sock.bind((source, 0))
        if receives:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        sock.settimeout(PATIENT_S)
        parts = urlsplit(self.url)
        sock.connect((parts.hostname, parts.port))
        sock.sendall(said.encode() if isinstance(said, str) else said)
        return sock

    def close(self) -> None:
        self._sockets.close()

    def lives(self) -> None:
        """It answers a request, within SOON_S of a machine that nobody else uses."""
        began = time.monotonic()
        assert httpx.get(f"{self.url}/livez", timeout=PATIENT_S).status_code == 200
        assert in_time(time.monotonic() - began, SOON_S)

    def ended(self, why: str) -> int:
        """How many connections the server ended for this reason."""
        name, _, value = self.key.partition(": ")

        def told() -> str:
            answer = httpx.get(f"{self.url}/metrics", headers={name: value}, timeout=PATIENT_S)
            return answer.text if answer.status_code == 200 else ""

        text = wait_until(told, PATIENT_S, what="the metrics, whose key has a rate")
        found = re.search(
            rf'^surefoot_connections_ended_total{{why="{why}"}} ([0-9.]+)$', text, re.M
        )
        return int(float(found.group(1))) if found else 0


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    world = Shop(f"sqlite:///{tmp_path_factory.mktemp('store') / 'surefoot.sqlite'}")
    yield world
    world.close()


@pytest.fixture(scope="module")
def served(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    told = {
        "HEAD_SECONDS": HEAD_S,
        "BODY_SECONDS": BODY_S,
        "BODY_BYTES": BODY_BYTES,
        "ANSWER_SECONDS": HEAD_S,
        "CONNECTIONS": 300,
    }
    told |= {
        "ADDRESS_CONNECTIONS": ADDRESS_CONNECTIONS,
        "KEY_RATE": 5,
        "KEY_BURST": 100,
        "ADDRESS_RATE": 0,
    }
    home: Path = tmp_path_factory.mktemp("home")
    with web_process(
        shop.url, home, **{f"SUREFOOT_{name}": str(value) for name, value in told.items()}
    ) as url:
        yield url


@pytest.fixture
def web(shop: Shop, served: str) -> Iterator[Web]:
    found = Web(shop, served)
    yield found
    found.close()


def head(line: str, *fields: str) -> str:
    return "\r\n".join([f"{line} HTTP/1.1", "Host: localhost", *fields, "", ""])


def all_of(sock: socket.socket) -> bytes:
    """Everything until the server closes."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while data := sock.recv(65536):
            found += data
    return found


def is_over(sock: socket.socket) -> bool:
    """Whether the server has answered or closed."""
    sock.setblocking(False)
    try:
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
    finally:
        sock.settimeout(PATIENT_S)
    return True


def answer_of(sock: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """One answer: status, headers in lower case, body."""
    raw = b""
    while b"\r\n\r\n" not in raw:
        data = sock.recv(65536)
        assert data, raw
        raw += data
    first, _, body = raw.partition(b"\r\n\r\n")
    line, *fields = first.decode().split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)
    }
    while len(body) < int(headers.get("content-length", "0")):
        body += sock.recv(65536)
    return int(line.split()[1]), headers, body


# --- slow ones ------------------------------------------------------------------------------------
def test_given_silent_sockets_and_dripped_heads_and_bodies_when_others_ask_then_answered_in_time(
    web: Web,
) -> None:
    web.lives()
    silent = [web.connect() for _ in range(MANY)]
    heads = [web.connect("G") for _ in range(MANY)]
    half = MANY // 2
    bodies = [
        web.connect(head("POST /sign-in", FORM, "Content-Length: 1000") + "k") for _ in range(half)
    ]
    bodies += [
        web.connect(
            head("POST /api/v1/jobs", "Content-Type: application/json", "Content-Length: 1000")
            + "{"
        )
        for _ in range(half)
    ]
    dripped, began = heads + bodies, time.monotonic()
    while not all(is_over(one) for one in silent + dripped):
        for one in dripped:
            if not is_over(one):
                with contextlib.suppress(OSError):
                    one.sendall(b"x")
        web.lives()
        assert time.monotonic() - began < PATIENT_S
    assert {all_of(one) for one in silent} == {b""}
    for one in dripped:
        status, headers, body = answer_of(one)
        assert (status, headers["connection"], json.loads(body)["type"]) == (
            408,
            "close",
            "/problems/request-timeout",
        )
    assert (web.ended("head"), web.ended("body")) == (MANY, MANY)


def test_given_a_body_that_keeps_the_least_rate_when_the_time_is_over_then_refused(
    web: Web,
) -> None:
    sock, began = (
        web.connect(head("POST /sign-in", FORM, f"Content-Length: {BODY_BYTES}")),
        time.monotonic(),
    )
    sock.sendall(b"x" * KEEPS_BYTES)  # on a busy machine a round of the loop may take a second
    while not is_over(sock):
        sock.sendall(b"x" * 100)
        web.lives()
    assert answer_of(sock)[0] == 408
    assert time.monotonic() - began >= BODY_S


def test_given_readers_that_do_not_read_when_others_ask_then_answered_in_time_and_they_are_ended(
    web: Web,
) -> None:
    for _ in range(MANY):
        web.connect(head("GET /api/v1/openapi.json") * 60, receives=4096)
    wait_until(
        lambda: web.lives() or web.ended("answer") == MANY,
        PATIENT_S,
        what="those who do not read to be ended",
    )


def test_given_more_connections_than_may_be_when_another_comes_then_the_longest_idle_one_makes_room(
    web: Web,
) -> None:
    idle = [web.connect() for _ in range(310)]
    web.lives()
    assert is_over(idle[0])
    assert web.ended("room") >= 10


# --- whole ones -----------------------------------------------------------------------------------
def test_given_requests_in_pieces_and_in_one_piece_when_sent_then_each_is_answered_in_order(
    web: Web, shop: Shop
) -> None:
    body = json.dumps({"saga": "shop", "input": GOOD})
    order = (
        head(
            "POST /api/v1/jobs",
            web.key,
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        )
        + body
    )
    sock = web.connect("\r\n" + order[:30])
    sock.sendall(order[30:-5].encode())
    sock.sendall((order[-5:] + order + head("GET /livez") + order[:70]).encode())
    answers = [answer_of(sock) for _ in range(1)]
    rest = b""
    while rest.count(b"HTTP/1.1 ") < 2 or not rest.endswith(b"}"):
        rest += sock.recv(65536)
    assert answers[0][0] == 202
    assert [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", answers[0][2] + rest)] == [
        202,
        200,
    ]
    sock.sendall(order[70:].encode())
    assert answer_of(sock)[0] == 202


def test_given_a_client_that_asks_before_it_sends_when_its_body_is_wanted_or_not_then_told(
    web: Web,
) -> None:
    fields = ("Expect: 100-continue", "Content-Type: application/json", web.key)
    sock = web.connect(head("POST /api/v1/jobs", *fields, "Content-Length: 2"))
    assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    sock.sendall(b"{}")
    assert answer_of(sock)[0] == 422
    large = web.connect(head("POST /api/v1/jobs", *fields, f"Content-Length: {BODY_BYTES + 1}"))
    assert answer_of(large)[0] == 413


LARGE = "x" * (BODY_BYTES + 1)
JSON = "Content-Type: application/json"


@pytest.mark.parametrize(
    ("line", "fields", "status"),
    [
        ("POST /api/v1/jobs", (JSON, "KEY"), 413),
        ("POST /sign-in", (FORM,), 413),
        ("POST /api/v1/jobs", (JSON,), 401),
        ("POST /api/v1/jobs", ("Content-Type: text/plain", "KEY"), 415),
        ("POST /nothing", (JSON, "KEY"), 404),
        ("DELETE /livez", (JSON,), 405),
        ("POST /sign-in", (FORM, "Sec-Fetch-Site: cross-site"), 403),
    ],
)
def test_given_a_body_that_is_not_read_when_answered_then_the_answer_arrives_and_says_close(
    web: Web, line: str, fields: tuple[str, ...], status: int
) -> None:
    said = [web.key if field == "KEY" else field for field in fields]
    sock = web.connect(
        head(line, *said, f"Content-Length: {len(LARGE)}") + LARGE + head("GET /livez")
    )
    found, headers, _ = answer_of(sock)
    assert (found, headers["connection"]) == (status, "close")
    assert all_of(sock) == b"", (
        "nothing after it: the next request is not taken from the middle of a body"
    )


@pytest.mark.parametrize("line", ["POST /api/v1/jobs", "POST /sign-in"])
def test_given_a_chunked_body_when_sent_then_411_and_close(web: Web, line: str) -> None:
    sock = web.connect(
        head(line, web.key, JSON, "Transfer-Encoding: chunked") + "2\r\n{}\r\n0\r\n\r\n"
    )
    status, headers, _ = answer_of(sock)
    assert (status, headers["connection"]) == (411, "close")


@pytest.mark.parametrize(
    ("line", "fields", "status"),
    [
        ("POST /api/v1/jobs", (JSON,), 401),
        ("POST /nothing", (JSON,), 404),
        ("POST /livez", (JSON,), 405),
        ("POST /api/v1/jobs", ("Content-Type: text/plain", "KEY"), 415),
        ("POST /sign-in", (FORM, "Sec-Fetch-Site: cross-site"), 403),
    ],
)
def test_given_a_small_body_that_is_not_read_when_answered_then_the_connection_goes_on(
    web: Web, line: str, fields: tuple[str, ...], status: int
) -> None:
    said = [web.key if field == "KEY" else field for field in fields]
    sock = web.connect(head(line, *said, "Content-Length: 9") + "GET / HTT")
    assert answer_of(sock)[0] == status
    sock.sendall(head("GET /livez").encode())
    assert answer_of(sock)[0] == 200


def test_given_a_body_far_too_large_when_sent_whole_then_its_sender_reads_413(web: Web) -> None:
    name, _, value = web.key.partition(": ")
    with httpx.Client(
        base_url=web.url,
        headers={name: value, "Content-Type": "application/json"},
        timeout=PATIENT_S,
    ) as http:
        for _ in range(3):
            assert http.post("/api/v1/jobs", content=b"x" * 20_000_000).status_code == 413


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (
            "POST /sign-in HTTP/1.1\r\nHost: localhost\r\n"
            "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            400,
        ),
        (
            "POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
            "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
        ("POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Length : 5\r\n\r\nabcde", 400),
        ("GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + "y" * 2_000_000, 431),
        ("G\x00T / HTTP/1.1\r\n\r\n", 400),
    ],
)
def test_given_what_is_not_http_when_sent_then_refused_and_closed(
    web: Web, said: str, status: int
) -> None:
    sock = web.connect()
    with contextlib.suppress(ConnectionError):
        sock.sendall(said.encode("latin-1"))
    found, headers, _ = answer_of(sock)
    assert (found, headers["connection"]) == (status, "close")


def test_given_one_address_that_is_not_a_proxy_when_it_connects_without_end_then_only_so_often(
    web: Web,
) -> None:
    """127.0.0.1 is a trusted proxy, its neighbour is not."""
    before = web.ended("address")
    sockets = [
        web.connect(head("GET /livez"), source="127.0.0.2") for _ in range(ADDRESS_CONNECTIONS)
    ]
    assert {answer_of(one)[0] for one in sockets} == {200}
    assert all_of(web.connect(source="127.0.0.2")) == b""
    web.lives()
    assert web.ended("address") == before + 1


# --- a flood --------------------------------------------------------------------------------------
def test_given_one_tenant_that_floods_when_another_orders_then_it_is_answered_in_time(
    web: Web, shop: Shop
) -> None:
    flooding, other = shop.key(tenant="default"), shop.key(tenant="beside")
    over = threading.Event()

    def bearer(key: str) -> httpx.Client:
        return httpx.Client(
            base_url=web.url, headers={"Authorization": f"Bearer {key}"}, timeout=PATIENT_S
        )

    def flood(_: int) -> Counter[int]:
        with bearer(flooding) as http:
            found: Counter[int] = Counter()
            while not over.is_set():
                found[
                    http.post("/api/v1/jobs", json={"saga": "shop", "input": GOOD}).status_code
                ] += 1
            return found

    with ThreadPoolExecutor(FLOODS) as pool, bearer(other) as http:
        floods = [pool.submit(flood, n) for n in range(FLOODS)]
        try:
            with bearer(flooding) as same:
                wait_until(
                    lambda: same.get("/api/v1/jobs").status_code == 429,
                    PATIENT_S,
                    what="the flood to be refused",
                )
            for _ in range(10):
                began = time.monotonic()
                made = http.post("/api/v1/jobs", json={"saga": "shop", "input": GOOD})
                assert (made.status_code, http.get(made.headers["Location"]).status_code) == (
                    202,
                    200,
                )
                assert in_time(time.monotonic() - began, SOON_S)
        finally:
            over.set()
        answers = sum((one.result() for one in floods), Counter())
    assert set(answers) == {202, 429}
