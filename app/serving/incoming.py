"""The bytes of one request as they come, and whether there are enough of them for a thread to
begin.

Only its length is read here. What a request says is gunicorn's parser's to judge: whatever looks
odd counts as whole, and is refused there.
"""

from __future__ import annotations

import re

# the most of a head; gunicorn's own limits for a line and a field are below it
HEAD_BYTES = 64 * 1024
END = b"\r\n\r\n"
_LENGTH = re.compile(rb"[0-9]{1,18}")


class Incoming:
    """`unread`: the body stays on the wire, because it is too large or its length is not said.
    `body_bytes`: the most awaited."""

    def __init__(self, body_bytes: int) -> None:
        self.data = bytearray()
        self.head_bytes = 0  # with its end; 0 until that is there
        self.length = 0  # of the body that is awaited
        self.unread = False
        self.continues = False  # the client asks before it sends the body
        self._most = body_bytes

    def add(self, data: bytes) -> None:
        before = len(self.data)
        self.data += data
        if self.head_bytes:
            return
        if not before:
            # left over from the request before (RFC 9112, 2.2)
            while self.data.startswith(b"\r\n"):
                del self.data[:2]
        found = self.data.find(END, max(0, before - len(END) + 1))
        if found >= 0:
            self.head_bytes = found + len(END)
            self._read_head(bytes(self.data[:found]))

    @property
    def begun(self) -> bool:
        return bool(self.data)

    @property
    def whole(self) -> bool:
        return self.head_bytes > 0 and len(self.data) >= self.head_bytes + self.length

    @property
    def head_is_too_large(self) -> bool:
        return (self.head_bytes or len(self.data)) > HEAD_BYTES

    @property
    def body_received(self) -> int:
        """Bytes of the body that are here."""
        return len(self.data) - self.head_bytes if self.head_bytes else 0

    def _read_head(self, head: bytes) -> None:
        line, *fields = head.split(b"\r\n")
        lengths, coded = [], False
        for field in fields:
            name, _, value = field.partition(b":")
            name, value = name.lower(), value.strip(b" \t")
            if name == b"content-length":
                lengths.append(value)
            elif name == b"transfer-encoding":
                coded = True
            elif name == b"expect":
                self.continues = value.lower() == b"100-continue" and line.endswith(b"HTTP/1.1")
        told = int(lengths[0]) if len(lengths) == 1 and _LENGTH.fullmatch(lengths[0]) else None
        if coded or (lengths and (told is None or told > self._most)):
            self.unread = True
        else:
            self.length = told or 0
