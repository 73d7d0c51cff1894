"""Requests that find a full queue are turned away unread, and a moment later.

Reading a request, asking the engine and telling its refusal takes half as long as answering it. Under many times the
load that a server can take, refusing so would take most of the event loop's time from what was accepted. Here a request
is refused by its head: no task is made for it, its body is thrown away as it comes. The refusal is told after a pause,
so that a client that asks again at once does that less often.

A body that may be of a sequence goes the long way, for streams have a queue of their own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from ..logs import new_request_id
from ..protocol.json_form import render_error
from ..protocol.status import message_of, status_of
from .connections import BoundedHttp

if TYPE_CHECKING:
    from ..service import Service

_INFER = re.compile(rb"/v2/models/([^/?#%]+)(?:/versions/([^/?#%]+))?/infer")
_SEQUENCE = b"sequence_id"
_ID = re.compile(rb"[\x21-\x7e]{1,128}")


class TurningAway(BoundedHttp):
    """A connection whose requests are turned away while their model is crowded.

    The class that is served sets the bounds.
    """

    service: Service
    #: How long a refusal is held back, seconds.
    pause_s = 0.01
    #: How long the body of a refused request may take to come, seconds.
    body_s = 30.0
    #: The model of the request that is coming, if it is to be turned away, and how many bytes of it are JSON.
    _model = ""
    _json_bytes = 0
    _judged = False
    #: Refusals that are due, and whether the connection closes behind them.
    _owed: list[bytes] | None = None
    _last = False

    def on_headers_complete(self) -> None:
        """Decide whether the request has any chance."""
        if self._owed:
            self._pay()
        self._model, self._judged = self._crowded_model(), False
        if not self._model:
            super().on_headers_complete()
            return
        self._happened()
        self._in_head = False
        self._stop_waiting()
        self._late = self.loop.call_later(self.body_s, self.transport.abort)

    def on_body(self, body: bytes) -> None:
        """Throw it away, unless it may be of a sequence."""
        if self._model and not self._judged:
            self._judged = True
            if len(body) < self._json_bytes or _SEQUENCE in body[: self._json_bytes]:
                self._model = ""
                super().on_headers_complete()
        if not self._model:
            super().on_body(body)
        else:
            self._happened()

    def on_message_complete(self) -> None:
        """Owe a refusal."""
        if not self._model:
            super().on_message_complete()
            return
        self._happened()
        self._in_head = True
        self._stop_waiting()
        self._last = not self.parser.should_keep_alive()
        self._owed = [*(self._owed or ()), self._refusal(self._model)]
        self._model = ""
        self.flow.pause_reading()
        self.loop.call_later(self.pause_s, self._pay)

    def shutdown(self) -> None:
        """Tell what is due, then end."""
        self._pay()
        super().shutdown()

    def _crowded_model(self) -> str:
        """The model that is asked for, if it is crowded and the request can be told so; else empty."""
        found = _INFER.fullmatch(self.url) if self.parser.get_method() == b"POST" and self._is_idle() else None
        if found is None or self.pipeline or self.expect_100_continue or self.service.closing:
            return ""
        name, version = found[1].decode("ascii", "replace"), (found[2] or b"").decode("ascii", "replace")
        if not self.service.crowded(name, version):
            return ""
        headers = dict(self.headers)
        length = headers.get(b"inference-header-content-length", headers.get(b"content-length", b""))
        if not length.isdigit() or b"content-encoding" in headers or b"content-length" not in headers:
            return ""
        self._json_bytes = int(length)
        return name

    def _refusal(self, model: str) -> bytes:
        """The whole answer."""
        name = dict(self.headers).get(b"x-request-id", b"")
        if not _ID.fullmatch(name):
            name = new_request_id().encode("ascii")
        error = self.service.turn_away(model, name.decode("ascii"))
        content = render_error(message_of(error))
        head = [STATUS_LINE[status_of(error).http]]
        head += [key + b": " + value + b"\r\n" for key, value in self.server_state.default_headers]
        head.append(b"content-type: application/json\r\nretry-after: 1\r\nx-request-id: %b\r\n" % name)
        if self._last:
            head.append(b"connection: close\r\n")
        head.append(b"content-length: %d\r\n\r\n" % len(content))
        return b"".join(head) + content

    def _pay(self) -> None:
        """Tell the refusals that are due."""
        owed, self._owed = self._owed, None
        if not owed or self.transport.is_closing():
            return
        self.transport.write(b"".join(owed))
        if self._last:
            self.transport.close()
        # What uvicorn does behind every answer: read on, and close the connection when it idles for long.
        self.on_response_complete()
