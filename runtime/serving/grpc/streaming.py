"""One call of ModelStreamInfer: many requests in flight, their answers in the order of the requests.

As Triton's: a request that fails is answered with ``error_message`` beside its id, and the call goes on; every answer
has ``triton_final_response``, for each request has one answer. An error's answer names its code in the parameter
``grpc_status``. With the metadata ``triton_grpc_error: true`` the first error is the call's status instead and ends it.

Requests of one sequence run one after the other in their order, others side by side. Where a client sends ahead and a
chunk of a sequence fails, the sequence ends, for what was sent behind that chunk would go on from another state than
its client thinks. A client that waits for each answer can send a refused chunk again. (What is on its way when an
error is told cannot be told from what was sent after it, so a client that sends ahead must give a sequence up at its
first error.)

Requests without ``sequence_id`` are whole sequences, as those of ModelInfer. Where a model has a streaming variant
only, they are the chunks of one stream, which begins with the first and ends with the call: if answers are still to
come when the client has sent its last, one more answer brings them, with the id of the last request.

A call reads no further while too much of it is unanswered, which holds its client back.
"""

from __future__ import annotations

import asyncio
import collections
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from ..model import VERSION
from ..protocol.grpc_steps import StepReader, StepWriter
from ..protocol.proto import inference_pb2 as pb
from ..protocol.request import InferResponse
from .lanes import Lane, Lanes, Rendered, Slot
from .telling import check_readable, client_of, tell

if TYPE_CHECKING:
    from ..service import Service

_METHOD = "ModelStreamInfer"


class _Post:
    """What a worker of a call works at; it does not know the worker, or the two would keep each other alive.

    Attributes:
        lane: the lane that it answers; None while it waits for one.
    """

    __slots__ = ("_waiting", "lane")

    def __init__(self, lane: Lane) -> None:
        """Begin with a lane."""
        self.lane: Lane | None = lane
        self._waiting: asyncio.Future[None] | None = None

    async def wait(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for :meth:`call`."""
        self._waiting = loop.create_future()
        await self._waiting

    def call(self, lane: Lane | None) -> None:
        """Give the worker that waits another lane, or let it end."""
        self.lane = lane
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class StreamCall:
    """One call. Used in the event loop's thread."""

    def __init__(self, service: Service, context: Any, *, in_flight: int) -> None:  # noqa: ANN401  (grpc ships no types)
        """Take a call over; :meth:`run` runs it."""
        self._service = service
        self._context = context
        self._in_flight = in_flight
        self._loop = asyncio.get_running_loop()
        self._client = client_of(context)
        self._lanes = Lanes(service, self._client)
        self._reader, self._writer = StepReader(service.limits), StepWriter()
        self._strict = dict(context.invocation_metadata() or ()).get("triton_grpc_error") == "true"
        #: Requests that were read and not answered, in their order, and their bytes.
        self._slots: collections.deque[Slot] = collections.deque()
        self._size = 0
        self._workers: dict[asyncio.Task[None], _Post] = {}
        #: Posts of workers that have nothing to do and wait for another lane: a task is dearer than a future.
        self._idle: list[_Post] = []
        self._task: asyncio.Task[Any] | None = None
        self._ending: asyncio.Future[tuple[grpc.StatusCode, str]] = self._loop.create_future()
        #: Who waits until there are fewer requests unanswered: the reader, or :meth:`run` at the end.
        self._fewer: list[asyncio.Future[None]] = []
        self._writing = False
        self._writes: _Post | None = None
        #: Whether an answer could not be written, and whether nothing is done any more.
        self._broken = self._over = False
        self._moved = self._loop.time()

    def writing_s(self) -> float:
        """For how many seconds an answer has waited for the client to read; 0 where none does."""
        return self._loop.time() - self._moved if self._writing else 0.0

    def idle_s(self) -> float:
        """For how many seconds nothing was asked or answered; 0 while something is to be answered."""
        return 0.0 if self._slots else self._loop.time() - self._moved

    def end(self, code: grpc.StatusCode, message: str) -> None:
        """Read nothing more; end with this status when what was read is answered."""
        if not self._ending.done():
            self._ending.set_result((code, message))

    def give_up(self) -> None:
        """End at once, although an answer is being written that nobody reads."""
        if self._task is not None:
            self._task.cancel()

    async def run(self) -> None:
        """Answer until the client has sent its last request, or :meth:`end`."""
        self._task = asyncio.current_task()
        # A task of its own, for reads and writes that were begun must not be cancelled, whose memory grpc uses until
        # they end; and they do end, with the call.
        reading = asyncio.create_task(self._read())
        try:
            waited: set[asyncio.Future[Any]] = {reading, self._ending}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
            while self._slots and not self._broken:
                await self._wait_for_fewer()
            if not self._ending.done():
                await self._finish()
        except (grpc.aio.AbortError, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001  (whatever failed, this call is told, and the server goes on)
            self.end(*tell(error, _METHOD))
        finally:
            self._over = True
            self._wake()
            reading.add_done_callback(_heard)
            for post in self._idle:
                post.call(None)
            for worker, post in self._workers.items():
                if post.lane is not None and post is not self._writes:
                    worker.cancel()
            self._lanes.close()
        if self._ending.done():
            await self._context.abort(*self._ending.result())

    async def _read(self) -> None:
        """Read requests and put each into its lane."""
        read, most = self._context.read, self._service.limits.body_bytes
        while not self._ending.done():
            while not self._over and (len(self._slots) >= self._in_flight or self._size > most):
                await self._wait_for_fewer()
            message = grpc.aio.EOF if self._over else await read()
            if message is grpc.aio.EOF or self._over or self._ending.done():
                return
            self._moved = self._loop.time()
            slot = Slot()
            self._slots.append(slot)
            try:
                check_readable(message, _METHOD)
                slot.take(self._reader.parse(message))
            except Exception as error:  # noqa: BLE001  (answered in its turn)
                slot.refuse(message, error)
            self._size += slot.size
            lane = self._lanes.put(slot)
            if not lane.busy:
                lane.busy = True
                if self._idle:
                    self._idle.pop().call(lane)
                else:
                    post = _Post(lane)
                    worker = asyncio.create_task(self._work(post))
                    self._workers[worker] = post
                    worker.add_done_callback(self._worked)

    async def _work(self, post: _Post) -> None:
        """Answer what stands in a post's lane, and then in others that it is given, until it is given none."""
        while post.lane is not None:
            await self._empty(post.lane, post)
            post.lane = None
            if self._over:
                return
            self._idle.append(post)
            await post.wait(self._loop)

    async def _empty(self, lane: Lane, post: _Post) -> None:
        """Answer what stands in a lane, until nothing does."""
        while lane.slots:
            slot = lane.slots[0]
            slot.answer = await self._answer(slot, lane)
            slot.done = True
            lane.slots.popleft()
            await self._write(post)
        lane.busy = False
        self._lanes.leave(lane)

    async def _answer(self, slot: Slot, lane: Lane) -> Rendered | None:
        """The answer to a request, or None where its error ends the call."""
        try:
            request = slot.parsed()
            if lane.handle is None:
                response = await self._service.infer(request, client=self._client)
            else:
                outputs = await lane.handle.push(
                    request.inputs,
                    outputs=[one.name for one in request.outputs] or None,
                    timeout_us=request.timeout_us,
                    request_id=request.id,
                )
                response = InferResponse(model=request.model, version=VERSION, id=request.id, outputs=outputs)
            return self._writer.render(response)
        except Exception as error:  # noqa: BLE001  (whatever failed, this request is told, and the call goes on)
            code, text = tell(error, _METHOD)
            self._lanes.failed(lane, slot)
            if self._strict:
                self.end(code, text)
                return None
            return _failed(slot, code, text)

    async def _write(self, post: _Post) -> None:
        """Write every answer whose turn has come; one task at a time does so for all."""
        if self._writing:
            return
        self._writing = True
        self._writes = post
        try:
            while self._slots and self._slots[0].done:
                slot = self._slots[0]
                self._moved = self._loop.time()
                if slot.answer is not None:
                    await self._context.write(slot.answer)
                self._slots.popleft()
                self._size -= slot.size
                self._wake()
            self._moved = self._loop.time()
        finally:
            self._writing = False
            self._writes = None

    def _worked(self, worker: asyncio.Task[None]) -> None:
        """A worker has ended: well, with the call, or because an answer could not be written."""
        del self._workers[worker]
        error = None if worker.cancelled() else worker.exception()
        if error is None or self._over:
            return
        self._broken = True
        if isinstance(error, grpc.aio.BaseError):  # the connection's, of which its client knows
            self.end(grpc.StatusCode.UNAVAILABLE, "an answer could not be sent.")
        elif isinstance(error, Exception):
            self.end(*tell(error, _METHOD))
        self._wake()

    def _wake(self) -> None:
        for waiting in self._fewer:
            if not waiting.done():
                waiting.set_result(None)
        self._fewer.clear()

    async def _wait_for_fewer(self) -> None:
        waiting = self._loop.create_future()
        self._fewer.append(waiting)
        await waiting

    async def _finish(self) -> None:
        """End the streams without an id, and send the answers that were still to come."""
        for lane in self._lanes.streams():
            outputs = await lane.finish()
            if outputs:
                response = InferResponse(model=lane.model, version=VERSION, id=lane.last_id, outputs=outputs)
                await self._context.write(self._writer.render(response))


def _heard(reading: asyncio.Task[None]) -> None:
    """A read that was under way when its call ended fails, which says nothing."""
    if not reading.cancelled():
        reading.exception()


def _failed(slot: Slot, code: grpc.StatusCode, text: str) -> pb.ModelStreamInferResponse:
    answer = pb.ModelStreamInferResponse(error_message=text)
    answer.infer_response.model_name, answer.infer_response.id = slot.told
    answer.infer_response.parameters["triton_final_response"].bool_param = True
    answer.infer_response.parameters["grpc_status"].string_param = code.name
    return answer
