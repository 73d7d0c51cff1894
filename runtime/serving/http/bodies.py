"""Bodies of requests: read within limits of size and time, and what is done with those that are not read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ....errors import RequestError, RequestTooLargeError
from .answers import RefusedError, send_error

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType

    from starlette.types import Receive, Send

    from .site import Site

T = TypeVar("T")

#: How long, and how much, is still read of a body that was refused: a connection that is closed with unread bytes is
#: reset, and the client then may not see the answer (RFC 9112, 9.6).
_LINGER_S = 2.0
_LINGER_BYTES = 64 << 20
#: The most that deflate makes of a byte.
_INFLATED = 1032


class GoneError(Exception):
    """The client went away; nobody waits for an answer."""


class Held:
    """How many bytes of bodies are held at a time, by all requests together."""

    def __init__(self, most: int) -> None:
        """Allow so many bytes."""
        self._most = most
        self._now = 0

    def take(self, size: int) -> None:
        """Hold more bytes.

        Raises:
            RefusedError: all requests together would hold more than is allowed.
        """
        if self._now + size > self._most:
            raise RefusedError(
                503,
                f"the bodies of all requests together have {self._now} bytes, and {self._most} are allowed. "
                "Try again later, or send less at once.",
                headers={"retry-after": "1"},
            )
        self._now += size

    def give(self, size: int) -> None:
        """Hold so many bytes less."""
        self._now -= size


class Body:
    """The body of one request; a context manager that holds it until the answer is sent.

    Attributes:
        whole: whether all of it was read, so that the connection can be used again.
    """

    def __init__(self, headers: dict[bytes, bytes], receive: Receive, site: Site, most: int) -> None:
        """Note where it comes from; nothing is read.

        Args:
            headers: of the request, names in lower case.
            receive: ASGI's.
            site: how long it may take, and what all requests hold together.
            most: bytes that are allowed, as they are sent.
        """
        length = headers.get(b"content-length")
        # The server has refused what is no number, or contradicts itself (RFC 9112, 6.3).
        self._declared = int(length) if length is not None and length.isdigit() else None
        self.whole = not self._declared and b"transfer-encoding" not in headers
        self._receive = receive
        self._most = most
        self._held = site.held
        self._holding = 0
        self._options = site.options

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Hold it no longer."""
        self._held.give(self._holding)

    async def read(self) -> bytes:
        """All of it.

        Raises:
            RequestTooLargeError: it is larger than allowed; of one whose length is declared, nothing is read.
            RefusedError: it did not come in time (408), or all bodies together are too large (503).
            GoneError: the client went away.
        """
        declared = self._declared
        if declared is not None:
            if declared > self._most:
                raise self._too_large(f"{declared}")
            self._hold(declared)
        loop = asyncio.get_running_loop()
        until = loop.time() + self._options.body_s
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout_at(until) as timeout:
                while True:
                    message = await self._receive()
                    if message["type"] != "http.request":
                        raise GoneError
                    part = message.get("body", b"")
                    size += len(part)
                    if declared is None:
                        if size > self._most:
                            raise self._too_large(f"more than {self._most}")
                        self._hold(len(part))
                    if not message.get("more_body", False):
                        break
                    parts.append(part)
                    timeout.reschedule(until + size / self._options.body_bytes_per_s)
        except TimeoutError:
            raise RefusedError(
                408, f"the body did not come within {self._options.body_s:g} s: {size} bytes came. Send it faster."
            ) from None
        self.whole = True
        if declared is not None and size != declared:
            raise RequestError(f"the body has {size} bytes; its Content-Length says {declared}.")
        return b"".join((*parts, part)) if parts else part

    def hold_inflated(self, size: int) -> None:
        """Hold what a compressed body of so many bytes can become."""
        self._hold(min(self._most, size * _INFLATED))

    async def refuse(self, send: Send, error: BaseException) -> None:
        """Answer with an error; the rest of the body is thrown away for a while, so that the client sees it."""
        if self.whole:
            await send_error(send, error)
            return
        await send_error(send, error, close=True, more=True)
        left = _LINGER_BYTES
        try:
            async with asyncio.timeout(_LINGER_S):
                while left > 0:
                    message = await self._receive()
                    left -= len(message.get("body", b""))
                    if message["type"] != "http.request" or not message.get("more_body", False):
                        break
        except TimeoutError:
            pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _hold(self, size: int) -> None:
        self._held.take(size)
        self._holding += size

    def _too_large(self, found: str) -> RequestTooLargeError:
        return RequestTooLargeError(
            f"the body has {found} bytes; at most {self._most} are allowed here. Send less at once."
        )


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """What ``work`` gives, unless the client goes away; then it is cancelled.

    Raises:
        GoneError: the client went away.
    """
    task = asyncio.current_task()
    assert task is not None, "an application runs in a task"
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        task.cancel()

    watching = asyncio.create_task(watch())
    try:
        return await work
    except asyncio.CancelledError:
        if not gone:
            raise
        task.uncancel()
        raise GoneError from None
    finally:
        watching.cancel()
