"""Answers as ASGI messages: JSON, bytes, and every error as ``{"error": ...}``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ....errors import RnnxError
from ..logs import LOGGER
from ..protocol.json_form import render_error
from ..protocol.json_text import write_json
from ..protocol.status import message_of, status_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from starlette.types import Send

JSON = b"application/json"
BYTES = b"application/octet-stream"
_CLOSE = (b"connection", b"close")
_RETRY = (b"retry-after", b"1")


class RefusedError(RnnxError):
    """A request that HTTP alone refuses: who asks, how, or how slowly. Answered with a status of its own."""

    def __init__(self, status: int, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        """Note the status, the message and headers of the answer."""
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})


async def send_answer(
    send: Send,
    status: int,
    content: bytes,
    media: bytes = JSON,
    headers: Iterable[tuple[bytes, bytes]] = (),
    *,
    more: bool = False,
) -> None:
    """Send a whole answer.

    Args:
        send: ASGI's.
        status: HTTP's.
        content: the body.
        media: its content type.
        headers: others.
        more: whether the exchange stays open; the caller sends the empty end of the body.
    """
    head = [(b"content-type", media), (b"content-length", b"%d" % len(content)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": content, "more_body": more})


async def send_json(send: Send, value: Any, status: int = 200) -> None:  # noqa: ANN401  (any JSON)
    """Send a JSON value."""
    await send_answer(send, status, write_json(value))


def told(error: BaseException) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """Status, body and headers that tell an error. What is a fault of ours is logged, and not told."""
    if isinstance(error, RefusedError):
        named = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in error.headers.items()]
        return error.status, render_error(str(error)), named
    status = status_of(error)
    if not isinstance(error, RnnxError):
        LOGGER.error("request failed", exc_info=error)
    return status.http, render_error(message_of(error)), [_RETRY] if status.retry else []


async def send_error(send: Send, error: BaseException, *, close: bool = False, more: bool = False) -> None:
    """Send an error; ``close`` asks the client to use another connection, ``more`` as for :func:`send_answer`."""
    status, content, headers = told(error)
    await send_answer(send, status, content, headers=[*headers, _CLOSE] if close else headers, more=more)
