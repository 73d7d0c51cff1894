"""Which requests of one call run one after the other: those of one sequence, and those of the call's own stream."""

from __future__ import annotations

import collections
import contextlib
from typing import TYPE_CHECKING, Any, TypeAlias

from ....errors import RnnxError
from ..answering import go_on
from ..model import VERSION
from .telling import Unreadable

if TYPE_CHECKING:
    from collections.abc import Hashable

    from numpy.typing import NDArray

    from ..protocol.proto import inference_pb2 as pb
    from ..protocol.request import InferRequest
    from ..service import Service
    from ..streams import StreamHandle

#: An answer: its bytes, or a message that is still to be serialized.
Rendered: TypeAlias = "bytes | pb.ModelStreamInferResponse"

#: Longest part of a name or id that an error repeats.
_SHOWN = 256


class Slot:
    """A request's place in the order of a call's answers.

    Attributes:
        size: bytes of its tensors.
        told: model and id, as an error repeats them.
        key: the sequence it names, or None: where it could not be parsed it still holds up those behind it.
        request: it, or None where it could not be parsed.
        fault: why not.
        answer: its answer; None before, and where it gets none.
        done: whether it may be answered.
    """

    __slots__ = ("answer", "done", "fault", "key", "request", "size", "told")

    def __init__(self) -> None:
        """Make room for a request."""
        self.size = 0
        self.told = ("", "")
        self.key: Hashable = None
        self.request: InferRequest | None = None
        self.fault: Exception | None = None
        self.answer: Rendered | None = None
        self.done = False

    def take(self, request: InferRequest) -> None:
        """Put a request here."""
        self.request = request
        self.told = (request.model, request.id)
        self.size = sum([values.nbytes for values in request.inputs.values()])
        if request.sequence is not None:
            self.key = (request.model, request.sequence.id)

    def refuse(self, message: pb.ModelInferRequest | Unreadable, fault: Exception) -> None:
        """Put what is wrong with a message here."""
        self.fault = fault
        if isinstance(message, Unreadable):
            return
        self.told = (message.model_name[:_SHOWN], message.id[:_SHOWN])
        if "sequence_id" in message.parameters:
            named = message.parameters["sequence_id"]
            name = getattr(named, named.WhichOneof("parameter_choice") or "int64_param")
            self.key = (message.model_name, name) if name else None

    def parsed(self) -> InferRequest:
        """The request; or what is wrong with it is raised."""
        if self.fault is not None:
            raise self.fault
        assert self.request is not None, "what was not refused was taken"
        return self.request


class Lane:
    """Requests that run one after the other.

    Attributes:
        key: what they have in common.
        model: the model's name.
        handle: the call's own stream, where they are its chunks.
        trailing: whether that stream may have answers left when its last chunk is answered.
        slots: those that wait, and the one that runs in front.
        busy: whether a task works on them.
        last_id: id of the last request.
    """

    __slots__ = ("busy", "handle", "key", "last_id", "model", "slots", "trailing")

    def __init__(self, key: Hashable, model: str = "", handle: StreamHandle | None = None) -> None:
        """Make an empty one."""
        self.key = key
        self.model = model
        self.handle = handle
        self.trailing = False
        self.slots: collections.deque[Slot] = collections.deque()
        self.busy = False
        self.last_id = ""

    async def finish(self) -> dict[str, NDArray[Any]]:
        """End the call's own stream: the answers that were still to come, by name; empty where there are none.

        Raises:
            RnnxError: the stream has ended already, or could not be finished.
        """
        if self.handle is None or not self.trailing or self.handle.reason:
            return {}
        outputs = await self.handle.finish(request_id=self.last_id)
        return {name: values for name, values in outputs.items() if values.size}


class Lanes:
    """The lanes of one call. Used in the event loop's thread."""

    def __init__(self, service: Service, client: str) -> None:
        """Make none yet."""
        self._service = service
        self._client = client
        self._lanes: dict[Hashable, Lane] = {}
        #: Sequences of which a request came before the one before it was answered.
        self._ahead: set[Hashable] = set()

    def put(self, slot: Slot) -> Lane:
        """Put a request behind those that it must wait for."""
        lane = self._find(slot)
        if lane.slots:
            self._ahead.add(lane.key)
        lane.slots.append(slot)
        if slot.request is not None:
            lane.last_id = slot.request.id
        return lane

    def leave(self, lane: Lane) -> None:
        """Nothing stands in a lane any more; a stream's stays."""
        if lane.handle is None:
            self._lanes.pop(lane.key, None)

    def failed(self, lane: Lane, slot: Slot) -> None:
        """A request failed. Where its client sends ahead, its stream must not go on behind the gap."""
        if lane.key not in self._ahead:
            return
        if lane.handle is not None:
            lane.handle.end("a chunk of it failed, and others had been sent behind that one already")
            return
        self._ahead.discard(lane.key)
        request = slot.request
        if slot.key is None or (request is not None and request.sequence is not None and request.sequence.start):
            return  # what did not begin cannot end; a stream that is open under this id is somebody else's
        model, key = lane.key if isinstance(lane.key, tuple) else ("", "")
        # Gone already, or somebody else uses it, whose chunks come in their own order.
        with contextlib.suppress(RnnxError):
            _, lease = go_on(self._service.repository, self._service.streaming_model(model), key)
            lease.end()

    def streams(self) -> list[Lane]:
        """Lanes of the call's own streams."""
        return [lane for lane in self._lanes.values() if lane.handle is not None]

    def close(self) -> None:
        """End the call's own streams."""
        for lane in self.streams():
            assert lane.handle is not None, "what streams() gives has one"
            lane.handle.close()

    def _find(self, slot: Slot) -> Lane:
        if slot.key is not None:
            lane = self._lanes.get(slot.key)
            if lane is None:
                lane = self._lanes[slot.key] = Lane(slot.key)
            return lane
        request = slot.request
        if request is None:
            return Lane(slot)
        key = ("", request.model)
        lane = self._lanes.get(key)
        if lane is not None and request.version in {"", VERSION}:
            return lane
        try:
            face = self._service.repository.find(request.model, request.version)
            if face.carried or face.model.offline is not None:
                return Lane(slot)
            lane = Lane(key, request.model, self._service.stream_session(request.model, client=self._client))
        except RnnxError as error:
            slot.fault = error
            return Lane(slot)
        lane.trailing = face.model.streaming is not None and face.model.streaming.session.variant.chunks is not None
        self._lanes[key] = lane
        return lane
