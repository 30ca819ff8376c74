"""Does a part do its work? Each question is answered within about a second, and any trouble is a
no.
"""

from __future__ import annotations

import http.client
import socket
from urllib.parse import urlsplit

PATIENCE_S = 1.0


def listens(host: str, port: int) -> bool:
    """Whether somebody takes connections there."""
    try:
        with socket.create_connection((host, port), PATIENCE_S):
            return True
    except OSError:
        return False


def answers(url: str) -> bool:
    """Whether a GET of `url` is answered 200."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE_S)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def redis_answers(port: int, user: str, password: str) -> bool:
    """Whether our Redis takes commands: it has read its file (before that, a PING is answered
    -LOADING).
    """
    try:
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
            connection.settimeout(PATIENCE_S)
            connection.sendall(f"AUTH {user} {password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2 and (more := connection.recv(200)):
                answer += more
            return answer == b"+OK\r\n+PONG\r\n"
    except OSError:
        return False
