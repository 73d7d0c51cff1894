"""Requests that find a full queue are turned away unread, and a moment later.

Reading a request, asking the engine and telling its refusal takes half as long as answering it. Under many times the
load that a server can take, refusing so would take most of the event loop's time from what was accepted. Here a request
is refused by its head: no task is made for it, its body is thrown away as it comes. A head that is byte for byte one
that was refused before is not even parsed. The refusal is told after a pause, so that a client that asks again at once
does that less often.

A client that does not bear the server's token goes the long way, too, and is told that.

A body that may be of a sequence goes the long way, for streams have a queue of their own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from ..logs import new_request_id
from ..protocol.json_form import render_error
from ..protocol.status import message_of, status_of
from .bearing import Bearer
from .connections import BoundedHttp

if TYPE_CHECKING:
    from ....errors import QueueFullError
    from ..service import Service

_INFER = re.compile(rb"/v2/models/([^/?#%]+)(?:/versions/([^/?#%]+))?/infer")
_SEQUENCE = b"sequence_id"
_ID = re.compile(rb"[\x21-\x7e]{1,128}")


#: How many heads are remembered, the longest of them in bytes, and where a head ends.
_MOST_HEADS = 64
_LONGEST_HEAD = 1024
_END = b"\r\n\r\n"


class _Head(NamedTuple):
    """What the head of a request that was refused says: the model, how much of the body is JSON, and its size."""

    model: str
    version: str
    json_bytes: int
    body_bytes: int


class Turned:
    """What the connections of one server have in common while they turn requests away.

    Attributes:
        heads: of requests that were refused, by their bytes.
        pause_s: how long the next refusal is held back, seconds.
    """

    def __init__(self, most_s: float) -> None:
        """Know nothing yet.

        Args:
            most_s: how long a refusal may take, seconds. An event loop that is busy reads a request late and tells a
                refusal late; about as much is taken off the pause, down to a quarter of this.
        """
        self.heads: dict[bytes, _Head] = {}
        self.pause_s = self._most_s = most_s
        self._late_s = 0.0
        #: The last answer but for its id: what was told, with which headers, and its bytes around the id.
        self._told: tuple[str, object, bytes, bytes] = ("", None, b"", b"")

    def learn(self, head: bytes, found: _Head) -> None:
        """Remember a head."""
        if len(head) <= _LONGEST_HEAD:
            if len(self.heads) >= _MOST_HEADS:
                self.heads.clear()
            self.heads[head] = found

    def was_late(self, by_s: float) -> None:
        """A refusal was told so many seconds after its pause."""
        # Falls by half in some 140 refusals, and rises at once: the slowest refusals are those that matter.
        self._late_s = max(by_s, self._late_s * 0.995)
        self.pause_s = max(self._most_s - 2 * self._late_s, self._most_s / 4)

    def answer(self, error: QueueFullError, headers: list[tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
        """A refusal's bytes before and behind the request's id.

        Args:
            error: what is told.
            headers: those of every answer; uvicorn makes a new list of them each second, for the date.
        """
        text = message_of(error)
        if self._told[0] != text or self._told[1] is not headers:
            content = render_error(text)
            before = [STATUS_LINE[status_of(error).http], *(key + b": " + value + b"\r\n" for key, value in headers)]
            before.append(b"content-type: application/json\r\nretry-after: 1\r\nx-request-id: ")
            behind = b"\r\ncontent-length: %d\r\n\r\n" % len(content) + content
            self._told = (text, headers, b"".join(before), behind)
        return self._told[2:]


class TurningAway(BoundedHttp):
    """A connection whose requests are turned away while their model is crowded.

    The class that is served sets the bounds.
    """

    service: Service
    #: Shared by all connections of a server.
    turned: Turned
    bearer = Bearer("")
    #: How long the body of a refused request may take to come, seconds.
    body_s = 30.0
    #: The model of the request that is coming, if it is to be turned away, and how many bytes of it are JSON.
    _model = _version = ""
    _json_bytes = 0
    _judged = False
    #: Refusals that are due, and whether the connection closes behind them.
    _owed: list[bytes] | None = None
    _due = 0.0
    _last = False
    #: Whether nothing of another request has come, and what is known of the head of the one that was refused last.
    _between = True
    _found: _Head | None = None

    def data_received(self, data: bytes) -> None:
        """Turn away a request that came whole and whose head is known; let the parser read all others."""
        if not self._between or self._owed:
            super().data_received(data)
        elif not self._turn_away_known(data):
            self._found = None
            super().data_received(data)
            self._learn(data)

    def on_message_begin(self) -> None:
        """A head begins."""
        self._between = False
        super().on_message_begin()

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
        self._between = not self.parser.should_upgrade()
        if not self._model:
            super().on_message_complete()
            return
        self._happened()
        self._in_head = True
        self._stop_waiting()
        self._last = not self.parser.should_keep_alive()
        headers = dict(self.headers)
        name, model = headers.get(b"x-request-id", b""), self._model
        self._model = ""
        self._owe(model, name if _ID.fullmatch(name) else b"")
        if not name and not self._last:
            version = self._version
            size = int(headers[b"content-length"])
            self._found = _Head(model=model, version=version, json_bytes=self._json_bytes, body_bytes=size)

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
            self.service.expect(name, version)
            return ""
        headers = dict(self.headers)
        length = headers.get(b"inference-header-content-length", headers.get(b"content-length", b""))
        if not length.isdigit() or b"content-encoding" in headers or b"content-length" not in headers:
            return ""
        if not self.bearer.lets_in(headers.get(b"authorization", b"")):
            return ""
        self._json_bytes, self._version = int(length), version
        return name

    def _turn_away_known(self, data: bytes) -> bool:
        """Refuse a request that is whole and whose head was refused before; whether that is so."""
        end = data.find(_END) + len(_END)
        found = self.turned.heads.get(data[:end])
        if found is None or len(data) != end + found.body_bytes:
            return False
        if self.pipeline or not self._is_idle() or self._is_over() or self.service.closing:
            return False
        if data.find(_SEQUENCE, end, end + found.json_bytes) >= 0:
            return False
        if not self.service.crowded(found.model, found.version):
            return False
        self._happened()
        self._stop_waiting()
        self._unset_keepalive_if_required()
        self._last = False
        self._owe(found.model, b"")
        return True

    def _learn(self, data: bytes) -> None:
        """Remember the head of a request that was refused, if these were all its bytes and no others."""
        found = self._found
        if found is None:
            return
        end = data.find(_END) + len(_END)
        if self._between and len(data) == end + found.body_bytes and self._owed is not None and len(self._owed) == 1:
            self.turned.learn(data[:end], found)

    def _owe(self, model: str, name: bytes) -> None:
        """Refuse a request of this id, in a moment."""
        name = name or new_request_id().encode("ascii")
        error = self.service.turn_away(model, name.decode("ascii"))
        before, behind = self.turned.answer(error, self.server_state.default_headers)
        ending = b"\r\nconnection: close" if self._last else b""
        self._owed = [*(self._owed or ()), before + name + ending + behind]
        self.flow.pause_reading()
        pause_s = self.turned.pause_s
        self._due = self.loop.time() + pause_s
        self.loop.call_later(pause_s, self._pay_late)

    def _pay_late(self) -> None:
        """The pause is over."""
        if self._owed:
            self.turned.was_late(self.loop.time() - self._due)
            self._pay()

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
