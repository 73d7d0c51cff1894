"""``/v2/models/NAME/stream``: one WebSocket is one stream. The server holds its state; a token carries it further.

Handshake: a model that is not there, has no streaming variant or cannot be used refuses it with the status and body
that HTTP has for that. The subprotocol ``rnnx.stream.v1`` is taken where a client offers it; none is needed.

Messages are texts of JSON, or bytes as :mod:`.frames` defines them. A client sends

- ``{"type": "start", "resume": TOKEN, "format": "json" | "binary", "inputs": [...]}`` first. ``resume`` goes on where a
  token was taken; without it the stream is new. ``format`` is the form of all answers; without it each answer has the
  form of its chunk. ``inputs``, if there are any, are the first chunk.
- ``{"type": "chunk", "inputs": [...], "outputs": [...], "id": ID, "parameters": {"timeout": MICROSECONDS}}``, as in a
  request of the protocol, any number of times; ``type`` may be left out. Chunks count from 1.
- ``{"type": "token"}``: asks where the stream stands.
- ``{"type": "finish", "inputs": [...]}``: the end, with or without a last chunk.

A server sends

- ``{"type": "started", "model_name": NAME, "resumed": false, "in_flight": 4}``,
- ``{"type": "answer", "sequence": N, "model_name": NAME, "id": ID, "outputs": [...]}`` for chunk N, in order;
  outputs have no steps where the model has no answer yet,
- ``{"type": "token", "token": TOKEN, "sequence": N}``: the stream behind chunk N,
- ``{"type": "finished", "sequence": N}`` and closes with 1000; where frames had waited, their answer comes first, with
  a number of its own,
- ``{"type": "error", "error": MESSAGE, "status": STATUS, "retry": false, "sequence": N}`` in the place of an answer;
  the statuses are those of HTTP. The stream is where it was, so the client may go on or send the chunk again.

Codes of closing: 1000 finished; 1001 the server goes down; 1008 the stream idled for too long, its model was replaced
or unloaded, or no first message came; 1009 a message is too large; 1011 a fault of the server. The reason says more.
Where the server ends a stream that has begun, a ``token`` message comes before, so that the client can go on, here or
on a server with the same key.

At most ``in_flight`` messages are taken before their answers; the rest waits in the client. A client that reads no
answers is given up.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from starlette.routing import Route, WebSocketRoute

from ....errors import ModelUnavailableError, RequestError, RnnxError
from ..logs import LOGGER
from ..protocol.limits import shown
from ..protocol.request import InferRequest
from ..protocol.status import message_of, status_of
from .answers import RefusedError, send_error
from .bodies import GoneError
from .frames import answer_frame, parse_frame, plain_frame, read_frame
from .front import refuse_socket
from .infer import client_of
from .rest import Bare

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray
    from starlette.routing import BaseRoute
    from starlette.types import Receive, Scope, Send

    from ..streams import StreamHandle
    from .frames import Frame
    from .site import Site

    Outputs = Mapping[str, NDArray[np.generic]]

SUBPROTOCOL = "rnnx.stream.v1"
PATH = "/v2/models/{name}/stream"
FINISHED, GOING_DOWN, POLICY, TOO_LARGE, BROKEN = 1000, 1001, 1008, 1009, 1011
#: A reason of closing has up to 123 bytes (RFC 6455, 5.5).
_REASON_BYTES = 123


class _Closed(Exception):  # noqa: N818  (not an error)
    """The conversation is over."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def stream_routes(site: Site) -> list[BaseRoute]:
    """The route of streams, and what plain HTTP is told there."""

    async def talk(scope: Scope, receive: Receive, send: Send) -> None:
        await Conversation(site, scope, receive, send).run()

    async def upgrade(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        headers = {"upgrade": "websocket", "connection": "upgrade"}
        await send_error(send, RefusedError(426, "streams are WebSockets. Ask for the upgrade.", headers=headers))

    return [WebSocketRoute(PATH, Bare(talk)), Route(PATH, Bare(upgrade), methods=["GET"])]


class Conversation:
    """One WebSocket from its handshake to its end."""

    def __init__(self, site: Site, scope: Scope, receive: Receive, send: Send) -> None:
        """Take over a connection; :meth:`run` does everything."""
        self._service = site.service
        self._options = site.options
        self._name: str = scope["path_params"]["name"]
        self._offered: list[str] = scope.get("subprotocols", [])
        self._client = client_of(scope)
        self._receive = receive
        self._send = send
        self._handle: StreamHandle | None = None
        self._begun = False
        self._binary: bool | None = None
        self._sequence = 0
        #: Messages that came; None says that the stream was ended.
        self._inbox: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(site.options.in_flight)
        self._gone = False

    async def run(self) -> None:
        """Talk until either side ends."""
        service = self._service
        try:
            if service.closing:
                raise ModelUnavailableError(f"nothing new is begun here: {service.closing}. Ask another server.")
            service.streaming_model(self._name)
        except RnnxError as error:
            await refuse_socket(self._receive, self._send, error)
            return
        await self._receive()  # websocket.connect
        taken = {"subprotocol": SUBPROTOCOL} if SUBPROTOCOL in self._offered else {}
        await self._send({"type": "websocket.accept", **taken})
        task = asyncio.current_task()
        assert task is not None, "an application runs in a task"
        reading = asyncio.create_task(self._read(task))
        others = [reading]
        try:
            while True:
                await self._turn(others)
        except _Closed as end:
            reason = end.reason.encode()[:_REASON_BYTES].decode(errors="ignore")
            reading.cancel()
            await self._say({"type": "websocket.close", "code": end.code, "reason": reason})
        except GoneError:
            return
        except asyncio.CancelledError:
            if not self._gone:
                raise
            task.uncancel()
        finally:
            for one in others:
                one.cancel()
            if self._handle is not None:
                self._handle.close()

    async def _read(self, task: asyncio.Task[Any]) -> None:
        """Take messages, as long as there is room for them."""
        while True:
            await self._room.acquire()
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                self._gone = True
                task.cancel()
                return
            content = message.get("bytes")
            self._inbox.put_nowait(message.get("text") or "" if content is None else content)

    async def _turn(self, others: list[asyncio.Task[Any]]) -> None:
        """Answer the next message.

        Raises:
            _Closed: the conversation is over.
        """
        try:
            async with asyncio.timeout(None if self._begun else self._options.start_s):
                content = await self._inbox.get()
        except TimeoutError:
            why = "chunk" if self._handle else "message"
            raise _Closed(POLICY, f"no first {why} came within {self._options.start_s:g} s.") from None
        await self._check_open()
        if content is None:
            return
        if len(content) > self._options.message_bytes:
            raise _Closed(TOO_LARGE, f"messages have up to {self._options.message_bytes} bytes.")
        frame = None
        numbered = self._sequence
        try:
            frame = await read_frame(content, self._service.limits)
            await self._act(frame, others)
        except RnnxError as error:
            await self._tell_error(error, frame, self._sequence if self._sequence > numbered else 0)
        except (asyncio.CancelledError, GoneError, _Closed, OSError):
            raise
        except Exception as error:
            LOGGER.error("stream failed", exc_info=error)
            await self._tell_error(error, frame, self._sequence if self._sequence > numbered else 0)
            raise _Closed(BROKEN, message_of(error)) from error
        finally:
            self._room.release()

    async def _act(self, frame: Frame, others: list[asyncio.Task[Any]]) -> None:
        """Do what a message asks for."""
        kind, handle = frame.kind, self._handle
        if kind == "start":
            await self._start(frame, others)
        elif handle is None:
            raise RequestError("the first message must be {'type': 'start'}.")
        elif kind == "chunk":
            await self._chunk(handle, frame)
        elif kind == "token":
            await self._say_token(handle, frame)
        elif kind == "finish":
            await self._finish(handle, frame)
        else:
            found = shown(frame.found.get("type"))
            raise RequestError(f"'type' must be start, chunk, token or finish; found {found}.")

    async def _start(self, frame: Frame, others: list[asyncio.Task[Any]]) -> None:
        if self._handle is not None:
            raise RequestError("the stream has started already. Open another connection for another stream.")
        token, form = frame.found.get("resume") or "", frame.found.get("format")
        if not isinstance(token, str):
            raise RequestError(f"'resume' must be a token, a text; found {shown(token)}.")
        if form not in {None, "json", "binary"}:
            raise RequestError(f"'format' must be json or binary; found {shown(form)}. Leave it out for both.")
        self._binary = None if form is None else form == "binary"
        handle = self._handle = self._service.stream_session(self._name, client=self._client, token=token)
        self._begun = bool(token)
        others.append(asyncio.create_task(self._watch(handle)))
        told = {
            "type": "started",
            "model_name": self._name,
            "resumed": bool(token),
            "in_flight": self._options.in_flight,
        }
        await self._say_frame(told, binary=self._form(frame))
        if "inputs" in frame.found:
            await self._chunk(handle, frame)

    async def _chunk(self, handle: StreamHandle, frame: Frame) -> None:
        """Answer one chunk."""
        self._sequence += 1
        request = await parse_frame(frame, self._name, self._service.limits)
        outputs = await handle.push(request.inputs, **_asked(request))
        self._begun = True
        await self._say_outputs(request, outputs, binary=self._form(frame))

    async def _finish(self, handle: StreamHandle, frame: Frame) -> None:
        """Answer what was still to come, behind the last chunk if there is one."""
        request = None
        if "inputs" in frame.found:
            self._sequence += 1
            request = await parse_frame(frame, self._name, self._service.limits)
            outputs = await handle.finish(request.inputs, **_asked(request))
        else:
            outputs = await handle.finish()
        binary = self._form(frame)
        if request is None and any(one.size for one in outputs.values()):
            self._sequence += 1
            request = InferRequest(model=self._name, inputs={})
        if request is not None:
            await self._say_outputs(request, outputs, binary=binary)
        await self._say_frame({"type": "finished", "sequence": self._sequence}, binary=binary)
        raise _Closed(FINISHED, "the stream was finished")

    async def _watch(self, handle: StreamHandle) -> None:
        """Wake the conversation up when the server ends its stream."""
        await handle.wait_ended()
        self._inbox.put_nowait(None)

    async def _check_open(self) -> None:
        """Say goodbye where the server has ended the stream.

        Raises:
            _Closed: it has.
        """
        handle = self._handle
        if handle is None or not handle.reason:
            return
        try:
            token = await asyncio.to_thread(handle.farewell)
        except RnnxError as error:
            await self._tell_error(error, None, 0)
        else:
            if token:
                found = {"type": "token", "token": token, "sequence": self._sequence}
                await self._say_frame(found, binary=bool(self._binary))
        raise _Closed(GOING_DOWN if self._service.closing else POLICY, handle.reason)

    async def _say_token(self, handle: StreamHandle, frame: Frame) -> None:
        handle.check_open()
        # Made of the state behind the last answer, in a thread: a large one takes long to compress.
        token = await asyncio.to_thread(handle.farewell) or handle.token()
        await self._say_frame({"type": "token", "token": token, "sequence": self._sequence}, binary=self._form(frame))

    async def _say_outputs(self, request: InferRequest, outputs: Outputs, *, binary: bool) -> None:
        content = await answer_frame(request, outputs, sequence=self._sequence, binary=binary)
        await self._say_content(content)

    async def _tell_error(self, error: RnnxError | Exception, frame: Frame | None, sequence: int) -> None:
        status = status_of(error)
        told: dict[str, Any] = {
            "type": "error",
            "error": message_of(error),
            "status": status.http,
            "retry": status.retry,
        }
        if sequence:
            told["sequence"] = sequence
        if frame is not None and isinstance(frame.found.get("id"), str):
            told["id"] = frame.found["id"][: self._service.limits.name_length]
        await self._say_frame(told, binary=bool(self._binary) if frame is None else self._form(frame))

    def _form(self, frame: Frame) -> bool:
        """Whether an answer goes as bytes."""
        return frame.binary if self._binary is None else self._binary

    async def _say_frame(self, value: dict[str, Any], *, binary: bool) -> None:
        await self._say_content(plain_frame(value, binary=binary))

    async def _say_content(self, content: str | bytes) -> None:
        await self._say({"type": "websocket.send", "text" if isinstance(content, str) else "bytes": content})

    async def _say(self, message: dict[str, Any]) -> None:
        """Send a message.

        Raises:
            GoneError: the client does not read.
        """
        try:
            async with asyncio.timeout(self._options.write_s):
                await self._send(message)
        except (TimeoutError, OSError):  # too slow; gone, as ASGI tells it
            raise GoneError from None


def _asked(request: InferRequest) -> dict[str, Any]:
    names = [one.name for one in request.outputs]
    return {"outputs": names or None, "timeout_us": request.timeout_us, "request_id": request.id}
