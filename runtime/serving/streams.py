"""The handle of a connection that is one stream: a WebSocket, or a gRPC call without sequence ids."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING, Any

from ...errors import InputError, StreamNotFoundError, StreamTableError
from .answering import begin

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from ..engine.table import Lease
    from ..state import State
    from .model import ServedModel
    from .service import Service

#: Why a stream is gone that its client did not end.
GONE = "it idled for too long, or its model was replaced or unloaded"

_NUMBERS = itertools.count()


class StreamHandle:
    """One stream of one connection. Used in the event loop's thread.

    The stream begins with the first chunk, whose rows are its own, or where a token left one. It counts among the
    model's streams, idles out as they do, and ends with the handle.
    """

    def __init__(self, service: Service, name: str, *, client: str = "", state: State | None = None) -> None:
        """Open it; use :meth:`Service.stream_session`."""
        self._service = service
        self._name = name
        self.client = client
        self._key = ("connection", next(_NUMBERS))
        self._model: ServedModel | None = None
        #: Where the stream stands, for a token that outlives the stream.
        self._state = state
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        if state is not None:
            self._model = service.model_of_state(name, state)
            _, table = self._model.table_of_streams()
            with table.begin(self._key, state) as lease:
                lease.commit(state)

    @property
    def model(self) -> str:
        """The model's name."""
        return self._name

    @property
    def reason(self) -> str:
        """Why the stream has ended; empty while it is open."""
        return self._ended.result() if self._ended.done() else ""

    async def wait_ended(self) -> str:
        """Wait until the stream has ended without the client's doing; why: it idled, or the server is going down."""
        return await asyncio.shield(self._ended)

    async def push(
        self,
        inputs: Mapping[str, NDArray[Any]],
        *,
        outputs: Sequence[str] | None = None,
        timeout_us: int | None = None,
        request_id: str = "",
    ) -> dict[str, NDArray[Any]]:
        """Run one chunk.

        Args:
            inputs: by name, ``(batch, time, ...)`` in the declared dtypes.
            outputs: those asked for; None for all.
            timeout_us: how long it may wait and run, microseconds.
            request_id: the client's name of it, for the log.

        Returns:
            The outputs of these steps; without those that the model has no answer for yet.

        Raises:
            RnnxError: the chunk is wrong, refused or late, and the stream is where it was; or the stream has ended.
        """
        if not inputs:
            raise InputError("the chunk has no inputs. Push at least one frame, or end the stream.")
        return await self._service.push(
            self, inputs, end=False, outputs=outputs, timeout_us=timeout_us, request_id=request_id
        )

    async def finish(
        self,
        inputs: Mapping[str, NDArray[Any]] | None = None,
        *,
        outputs: Sequence[str] | None = None,
        timeout_us: int | None = None,
        request_id: str = "",
    ) -> dict[str, NDArray[Any]]:
        """Run the last chunk, if one is given, and end the stream: the answers that were still to come.

        Raises:
            RnnxError: as :meth:`push`; the stream is open still.
        """
        if self._model is None and not inputs:
            self.check_open()
            self.close()
            return {}
        answer = await self._service.push(
            self, inputs or {}, end=True, outputs=outputs, timeout_us=timeout_us, request_id=request_id
        )
        self.end("the stream was finished")
        return answer

    def token(self) -> str:
        """What :meth:`Service.stream_session` goes on from, here or on a server with the same key.

        Raises:
            StreamNotFoundError: the stream has not begun or has ended.
            StreamBusyError: a chunk is being answered.
            TokenError: the state is too large for a token.
        """
        self.check_open()
        if self._model is None:
            raise StreamNotFoundError(
                "the stream has not begun, so there is nothing to go on from. Push a chunk first."
            )
        _, table = self._model.table_of_streams()
        with table.lease(self._key) as lease:
            return self._service.tokens.issue(lease.state)

    def farewell(self) -> str:
        """The token of a stream that the server has ended, behind its last answer; empty where there is none.

        Raises:
            TokenError: the state is too large for a token.
        """
        return "" if self._state is None else self._service.tokens.issue(self._state)

    def close(self) -> None:
        """End the stream without asking for what was still to come."""
        self.end("the connection was closed")

    def check_open(self) -> None:
        """Find out whether the stream can go on.

        Raises:
            StreamNotFoundError: it has ended; the message says why.
        """
        if self._ended.done():
            raise StreamNotFoundError(f"the stream has ended: {self.reason}. Begin another one.")

    def served(self) -> ServedModel:
        """The bundle that runs its next chunk: the one that it began in, or else the one that is served now."""
        return self._service.streaming_model(self._name) if self._model is None else self._model

    def lease(self, model: ServedModel, inputs: Mapping[str, NDArray[Any]]) -> Lease[Hashable]:
        """Hold the stream for one chunk of :meth:`served`; it begins with the first.

        Raises:
            StreamNotFoundError: it is gone; why is told to whoever waits, too.
            StreamBusyError: a chunk is being answered.
            TooManyStreamsError: the table is full.
        """
        if self._model is None:
            return begin(self._service.repository, model, self._key, model.initial_state(inputs))
        if self.lost():
            self.end(GONE)
            self.check_open()
        _, table = model.table_of_streams()
        return table.lease(self._key)

    def answered(self, model: ServedModel, state: State | None) -> None:
        """A chunk was answered; the state behind it, None where the stream was finished with it."""
        self._model = model
        self._state = state

    def lost(self) -> bool:
        """Whether the table no longer has the stream, because it idled or its model went."""
        model = self._model
        return model is not None and (model.table is None or self._key not in model.table)

    def end(self, reason: str) -> None:
        """End the stream, and say why to whoever waits for it."""
        if self._ended.done():
            return
        self._ended.set_result(reason)
        self._service.forget(self)
        self.settle()

    def settle(self) -> None:
        """Take a stream out of the table that ended while a chunk of it was being answered."""
        if self._ended.done() and self._model is not None and self._model.table is not None:
            # Gone already, or a chunk is being answered and this is called again behind it.
            with contextlib.suppress(StreamTableError):
                self._model.table.end(self._key)
