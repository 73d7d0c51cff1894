"""What happens to a connection before and behind the application, as protocols of uvicorn.

uvicorn with httptools limits neither the size of a request's head nor the time that it takes to arrive (its option
``h11_max_incomplete_event_size`` counts with h11 only), and waits for ever for a client that does not read its answer.
The two classes here add that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from ..logs import new_request_id
from ..protocol.json_form import render_error

if TYPE_CHECKING:
    import asyncio

#: What the package websockets takes: longer heads would be dropped there without an answer.
_WEBSOCKET_HEADERS = 128
_WEBSOCKET_LINE = 8192 - 2
_LINGER_S = 1.0


class PatienceMixin:
    """Gives a connection up whose client reads nothing of what waits for it."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    #: How long nothing may be read, seconds.
    write_s = 30.0
    _patience: asyncio.TimerHandle | None = None
    _unread = 0

    def pause_writing(self) -> None:
        """More waits than the transport likes to hold."""
        super().pause_writing()  # type: ignore[misc]
        self.watch_reader()

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()  # type: ignore[misc]
        if not self.transport.is_closing():
            self.forget_reader()

    def watch_reader(self) -> None:
        """Look again after a while whether something was read."""
        self.forget_reader()
        self._unread = self.transport.get_write_buffer_size()
        self._patience = self.loop.call_later(self.write_s, self._look)

    def forget_reader(self) -> None:
        """Nothing waits."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _look(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        if waiting >= self._unread > 0:
            self.transport.abort()
        elif waiting:
            self.watch_reader()


class BoundedHttp(PatienceMixin, HttpToolsProtocol):
    """HTTP/1.1 with a limit on a head's size and time.

    ``head_bytes`` counts the request line and the headers, and again the trailers of a chunked body. The classes that
    :func:`~.uvicorn_options.uvicorn_options` makes set the bounds.
    """

    head_bytes = 16 << 10
    head_s = 10.0
    _in_head = True
    _outside = 0
    _events = 0
    _refused = False
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._stop_waiting()
        self.forget_reader()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what brings nothing to an end: the parser gathers names and values of headers by itself."""
        if self._refused:
            return
        events = self._events
        super().data_received(data)
        if self._events != events or self._is_over():
            return
        idle = self._is_idle()
        if self._in_head and idle and self._late is None:
            self._wait_for_head()  # empty lines, after which uvicorn waits for ever
        self._outside += len(data)
        if self._outside > self.head_bytes and (self._in_head or not idle):
            self._refuse_head()

    def on_message_begin(self) -> None:
        """A head begins."""
        self._happened()
        self._in_head = True
        super().on_message_begin()
        if self._late is None:
            self._wait_for_head()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._happened()
        self._in_head = False
        self._stop_waiting()
        if self._is_over():
            return
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > self.head_bytes:
            self._refuse_head()
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of a body."""
        self._happened()
        if not self._is_over():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole; what follows is another one's head."""
        self._happened()
        self._in_head = True
        if not self._is_over():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is written as far as this side goes."""
        super().on_response_complete()
        if self.transport.is_closing():
            self.watch_reader()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing came on a connection that is kept alive."""
        super().timeout_keep_alive_handler()
        self.watch_reader()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to the WebSocket."""
        if self._is_over():
            return
        lines = [len(name) + len(value) + 2 for name, value in self.headers]
        if len(lines) > _WEBSOCKET_HEADERS - 8 or max(lines, default=0) > _WEBSOCKET_LINE or len(self.url) > 8000:
            self._refuse_head()
            return
        self._stop_waiting()
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        self._refuse(400, f"this is no request of HTTP/1.1: {msg}")

    def _is_idle(self) -> bool:
        """Whether no request is being answered."""
        cycle: Any = self.cycle
        return cycle is None or bool(cycle.response_complete)

    def _happened(self) -> None:
        self._events += 1
        self._outside = 0

    def _wait_for_head(self) -> None:
        self._stop_waiting()
        self._late = self.loop.call_later(self.head_s, self._head_is_late)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _head_is_late(self) -> None:
        self._late = None
        if self._in_head and self._is_idle():
            self._refuse(408, f"the head of the request did not come within {self.head_s:g} s.")

    def _refuse_head(self) -> None:
        self._refuse(431, f"the head of the request has more than {self.head_bytes} bytes, or lines that are too long.")

    def _refuse(self, status: int, message: str) -> None:
        """Answer without the application, and close.

        What still comes is thrown away for a moment: a connection that is closed with unread bytes is reset, and its
        client may then not see the answer (RFC 9112, 9.6).
        """
        if self._is_over():
            return
        self._refused = True
        self._stop_waiting()
        self._unset_keepalive_if_required()
        if not self._is_idle():
            self.transport.close()  # the answer that is due is another request's
            return
        content = render_error(message)
        head = [STATUS_LINE[status]]
        head += [name + b": " + value + b"\r\n" for name, value in self.server_state.default_headers]
        head.append(b"content-type: application/json\r\nconnection: close\r\n")
        head.append(b"x-request-id: %b\r\n" % new_request_id().encode("ascii"))
        head.append(b"content-length: %d\r\n\r\n" % len(content))
        self.transport.write(b"".join(head) + content)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_LINGER_S, self._leave)

    def _leave(self) -> None:
        self.transport.close()
        self.watch_reader()

    def _is_over(self) -> bool:
        """Whether nothing more is to be read."""
        return self._refused or self.transport.is_closing()


class BoundedWebSocket(PatienceMixin, WebSocketsSansIOProtocol):
    """A WebSocket that is given up when its client does not read."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self.forget_reader()
        super().connection_lost(exc)

    async def send(self, message: Any) -> None:  # noqa: ANN401  (ASGI's)
        """Send one of ASGI's messages."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            # The handshake was refused, which uvicorn takes for one that was forgotten.
            self.handshake_complete = True
