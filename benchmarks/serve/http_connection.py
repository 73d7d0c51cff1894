"""One kept-alive connection that asks and is answered, one request at a time, with as little of Python as can be."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Protocol

    class Owner(Protocol):
        """Who is told of answers."""

        def answered(self, connection: HttpConnection, status: int, body: bytes, json_bytes: int) -> None:
            """An answer is there."""

        def lost(self, connection: HttpConnection) -> None:
            """The connection was closed."""


_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length: "
_JSON = b"\r\ninference-header-content-length: "


class HttpConnection(asyncio.Protocol):
    """A connection of HTTP/1.1 whose server gives every answer a ``content-length``.

    Attributes:
        kind: number of the request that is being answered.
        intended: when it should have been sent, on :func:`time.perf_counter`.
        busy: whether one is.
    """

    def __init__(self, owner: Owner) -> None:
        """Belong to an owner."""
        self.kind = 0
        self.intended = 0.0
        self.busy = False
        self._owner = owner
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        #: Bytes of the answer that is coming, and where its body begins; 0 before its head is whole.
        self._whole = self._body = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # of a stream
        """It is open."""
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed."""
        del exc
        self._transport = None
        self._owner.lost(self)

    def ask(self, request: bytes, kind: int, intended: float) -> None:
        """Send a request."""
        assert self._transport is not None
        self.kind, self.intended, self.busy = kind, intended, True
        self._transport.write(request)

    def close(self) -> None:
        """Close it."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """A part of an answer."""
        self._buffer += data
        if not self._whole:
            end = self._buffer.find(_END)
            if end < 0:
                return
            self._body = end + len(_END)
            self._whole = self._body + _number(self._buffer, _LENGTH, end)
        if len(self._buffer) < self._whole:
            return
        status = int(self._buffer[9:12])
        json_bytes = _number(self._buffer, _JSON, self._body - len(_END))
        body = bytes(self._buffer[self._body : self._whole])
        self._buffer.clear()
        self._whole, self.busy = 0, False
        self._owner.answered(self, status, body, json_bytes)


def _number(head: bytearray, name: bytes, end: int) -> int:
    """The number of a header; 0 where there is none."""
    at = head.find(name, 0, end)
    if at < 0:
        return 0
    at += len(name)
    stop = head.find(b"\r\n", at)
    return int(head[at:stop])


def now() -> float:
    """Seconds on the clock that all times here are on."""
    return time.perf_counter()
