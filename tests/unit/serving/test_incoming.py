"""When a request counts as whole, however its bytes come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.app.serving.connection import Patience
from surefoot.app.serving.incoming import HEAD_BYTES, Incoming

MOST = 100
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def post(*fields: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([b"POST / HTTP/1.1", b"Host: a", *fields, b"", b""]) + body


REQUESTS = [
    GET,
    post(b"Content-Length: 5", body=b"abcde"),
    post(b"content-length:5", b"Expect: 100-Continue", body=b"abcde"),
    post(b"Content-Length: 101"),
    post(b"Transfer-Encoding: chunked"),
    post(b"Content-Length: 1", b"Content-Length: 2"),
    post(b"Content-Length: +5"),
    post(b"Content-Length: 99999999999999999999999"),
    post(b"Content-Length: 0"),
]


def told(incoming: Incoming) -> tuple[object, ...]:
    return (
        incoming.whole,
        incoming.unread,
        incoming.length,
        incoming.continues,
        bytes(incoming.data),
    )


@given(
    st.sampled_from(REQUESTS),
    st.lists(st.integers(1, 40), max_size=12),
    st.sampled_from([b"", b"\r\n", b"\r\n\r\n"]),
)
def test_given_a_request_in_any_pieces_when_added_then_whole_with_its_last_byte_and_not_before(
    raw: bytes, pieces: list[int], before: bytes
) -> None:
    at_once, in_pieces, rest = Incoming(MOST), Incoming(MOST), raw
    at_once.add(before + raw)
    if before:
        in_pieces.add(before)
    for size in pieces:
        if not in_pieces.whole and len(rest) > size:
            in_pieces.add(rest[:size])
            rest = rest[size:]
            assert not in_pieces.whole
    in_pieces.add(rest)
    assert told(in_pieces) == told(at_once)
    assert (at_once.whole, bytes(at_once.data)) == (True, raw)


@pytest.mark.parametrize(
    ("raw", "unread", "length"),
    [(REQUESTS[0], False, 0), (REQUESTS[1], False, 5), (REQUESTS[8], False, 0)]
    + [(raw, True, 0) for raw in REQUESTS[3:8]],
)
def test_given_a_head_when_read_then_its_body_is_awaited_or_left(
    raw: bytes, unread: bool, length: int
) -> None:
    incoming = Incoming(MOST)
    incoming.add(raw)
    assert (incoming.whole, incoming.unread, incoming.length) == (True, unread, length)


def test_given_a_second_request_behind_the_first_when_added_then_it_is_kept() -> None:
    incoming = Incoming(MOST)
    incoming.add(REQUESTS[1] + GET)
    assert (incoming.whole, bytes(incoming.data)) == (True, REQUESTS[1] + GET)


def test_given_a_head_without_end_when_it_grows_then_too_large() -> None:
    incoming = Incoming(MOST)
    incoming.add(b"GET / HTTP/1.1\r\nX: " + b"y" * (HEAD_BYTES - 100))
    assert not incoming.head_is_too_large
    incoming.add(b"y" * 100)
    assert incoming.head_is_too_large


def test_given_bytes_that_move_when_the_least_rate_is_kept_then_until_the_most_and_no_longer() -> (
    None
):
    patience = Patience(head_s=10, body_s=60, answer_s=60, keepalive_s=15, least_rate=500)
    assert [patience.moving(60, moved) for moved in (0, 500, 5_000, 25_000, 10**9)] == [
        10,
        11,
        20,
        60,
        60,
    ]
