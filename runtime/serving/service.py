"""What every transport calls: it finds the model and the stream, asks the engine, counts and logs.

All of it runs in the event loop's thread; the engines have threads of their own. Errors are those of
:mod:`rnnx.errors`; ``protocol/status.py`` says how each is told.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from ... import __version__
from ...errors import (
    FeatureError,
    InputError,
    ModelNotFoundError,
    ModelUnavailableError,
    QueueFullError,
    RnnxError,
    StateError,
)
from .accounting import Counted
from .answering import Asked, answer_carried, answer_chunk, answer_whole, begin, go_on
from .describing import configure, describe
from .logs import LOGGER, log_event
from .model import VERSION
from .protocol.limits import Limits
from .protocol.metadata import server_metadata
from .protocol.request import InferResponse, Parameter
from .repository import Repository, counted_name
from .streams import GONE, StreamHandle
from .tokens import TokenKeeper
from .tracing import Tracing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Sequence as Names

    from numpy.typing import NDArray

    from ..engine.engine import Engine
    from ..engine.request import Answer
    from ..state import State
    from .metrics import Metrics
    from .model import ServedModel
    from .protocol.request import InferRequest, Sequence
    from .repository import Face


class Service:
    """A server without a transport."""

    def __init__(
        self,
        repository: Repository,
        *,
        limits: Limits | None = None,
        tokens: TokenKeeper | None = None,
        tracing: Tracing | None = None,
        clock: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        """Serve the models of a repository.

        Args:
            repository: the models.
            limits: how much a request may ask for; ``request_s`` is the longest that one may take.
            tokens: makes and reads tokens of streams.
            tracing: makes spans; none by default.
            clock: nanoseconds that only grow.
        """
        self.repository = repository
        self.limits = Limits() if limits is None else limits
        self.tokens = TokenKeeper() if tokens is None else tokens
        self.tracing = Tracing() if tracing is None else tracing
        #: Why the server takes nothing new; empty while it does. Set by :meth:`close_down`.
        self.closing = ""
        self._clock = clock
        self._handles: set[StreamHandle] = set()
        self._down = asyncio.Event()
        #: How many requests were let in since the event loop came round last, by engine.
        self._expected: dict[Engine, int] = {}

    @property
    def metrics(self) -> Metrics:
        """What is counted."""
        return self.repository.metrics

    def live(self) -> bool:
        """Whether the process answers at all."""
        return True

    def ready(self) -> bool:
        """Whether every wanted model can be used, and the server is not going down."""
        return not self.closing and self.repository.ready()

    def model_ready(self, name: str, version: str = "") -> bool:
        """Whether a model can be used; False where it is known and cannot.

        Raises:
            ModelNotFoundError: there is no such model.
        """
        try:
            self.repository.find(name, version)
        except ModelNotFoundError:
            raise
        except RnnxError:
            return False
        return not self.closing

    async def infer(self, request: InferRequest, *, client: str = "") -> InferResponse:
        """Answer one request.

        Args:
            request: what is asked, checked for its form.
            client: whose turn it takes: nearly always the address of the other end.

        Raises:
            RnnxError: whatever is wrong with it, or with the server.
        """
        face = self.repository.find(request.model, request.version)
        names = [one.name for one in request.outputs] or None
        asked = Asked(
            inputs=request.inputs, outputs=names, timeout_s=self._timeout_s(request.timeout_us), client=client
        )
        sequence, parameters = request.sequence, dict[str, Parameter]()
        streaming = sequence is not None or face.carried
        inner = sequence is not None and not (sequence.start or sequence.end)
        with self._counted(face.model, request.id, streaming=streaming, inner=inner) as told:
            if sequence is not None:
                answer = await self._sequence(face, sequence, asked)
                outputs = answer.outputs
                parameters = {
                    "sequence_id": sequence.id,
                    "sequence_start": sequence.start,
                    "sequence_end": sequence.end,
                }
            elif face.carried:
                answer, outputs = await answer_carried(face.model, asked)
            else:
                answer = await answer_whole(face.model, asked)
                outputs = answer.outputs
            told.batch = answer.batch
        if names is not None:
            outputs = {name: outputs[name] for name in names if name in outputs}
        return InferResponse(
            model=request.model, version=VERSION, id=request.id, outputs=outputs, parameters=parameters
        )

    def crowded(self, name: str, version: str = "") -> bool:
        """Whether a whole sequence would be refused now, because as many requests wait for the model as may.

        False where the model cannot be used at all, which asking for it tells.
        """
        engine = self._waited_for(name, version)
        return engine is not None and engine.full(self._expected.get(engine, 0))

    def expect(self, name: str, version: str = "") -> None:
        """A request is let in that will ask the model when the event loop comes round; it counts for :meth:`crowded`.

        Else all that are read at once would find the same free place, and all but one be refused the long way.
        """
        engine = self._waited_for(name, version)
        if engine is None:
            return
        if not self._expected:
            # Runs before what these requests have begun, and nothing is read in between.
            asyncio.get_running_loop().call_soon(self._expected.clear)
        self._expected[engine] = self._expected.get(engine, 0) + 1

    def turn_away(self, name: str, request_id: str) -> QueueFullError:
        """Count and log a request that was refused unread, because the model is :meth:`crowded`; what to tell it."""
        face = self.repository.find(name)
        waiting = face.model.options.max_queue
        error = QueueFullError(f"{waiting} requests wait, and {waiting} may. Try again later, or ask less often.")
        counted = counted_name(face.model, streaming=face.carried)
        self.metrics.of(counted).failed(0, error)
        if LOGGER.isEnabledFor(logging.INFO):
            log_event("request", request_id=request_id, model=counted, status=type(error).__name__, ms=0.0)
        return error

    def stream_session(self, name: str, *, client: str = "", token: str = "") -> StreamHandle:
        """A stream for one connection.

        Args:
            name: the model.
            client: whose turn its chunks take.
            token: where an earlier stream stood, as :meth:`StreamHandle.token` told it; empty to begin.

        Raises:
            ModelNotFoundError, ModelUnavailableError: there is no such model, or it cannot be used.
            InputError: it has no streaming variant.
            TokenError, StateError: the token is not good, or of another bundle than is served.
            TooManyStreamsError: the table is full.
        """
        self._must_be_open()
        self.streaming_model(name)
        state = self.tokens.read(token) if token else None
        handle = StreamHandle(self, name, client=client, state=state)
        self._handles.add(handle)
        return handle

    async def push(
        self,
        handle: StreamHandle,
        inputs: Mapping[str, NDArray[Any]],
        *,
        end: bool,
        outputs: Names[str] | None,
        timeout_us: int | None,
        request_id: str,
    ) -> dict[str, NDArray[Any]]:
        """One chunk of a handle; transports call :meth:`StreamHandle.push`."""
        handle.check_open()
        model = handle.served()
        asked = Asked(inputs=inputs, outputs=outputs, timeout_s=self._timeout_s(timeout_us), client=handle.client)
        with self._counted(model, request_id, streaming=True, inner=not end) as told:
            try:
                answer = await answer_chunk(model, handle.lease(model, inputs), asked, end=end)
                handle.answered(model, answer.state)
            finally:
                handle.settle()
            told.batch = answer.batch
        return answer.outputs

    def streaming_model(self, name: str) -> ServedModel:
        """The model of this name, after it was found to have a streaming variant.

        Raises:
            ModelNotFoundError, ModelUnavailableError: there is none, or it cannot be used.
            InputError: it has no streaming variant.
        """
        model = self.repository.find(name).model
        model.table_of_streams()
        return model

    def model_of_state(self, name: str, state: State) -> ServedModel:
        """The bundle that a state belongs to: the one that is served now, or one that was replaced.

        Raises:
            StateError: it is of neither.
        """
        model = self.streaming_model(name)
        for one in (model, *self.repository.retiring(model.name)):
            if one.streaming is not None and one.streaming.session.initial_state().owner == state.owner:
                return one
        raise StateError(
            f"the token's state is of another bundle or variant than model '{name}' is served from now. "
            "Begin the stream again."
        )

    def forget(self, handle: StreamHandle) -> None:
        """A handle has ended."""
        self._handles.discard(handle)

    async def tend(self) -> None:
        """What must be done now and then: end idle streams, tell their holders, close models that were replaced."""
        await self.repository.tidy()
        for handle in list(self._handles):
            if handle.lost():
                handle.end(GONE)

    def close_down(self, reason: str) -> None:
        """Begin nothing new: the server is not ready any more. Requests are still answered."""
        self.closing = reason

    async def wait_down(self) -> str:
        """Wait until connections that stay open should end, because the server goes down; why."""
        await self._down.wait()
        return self.closing

    def end_streams(self, reason: str) -> None:
        """End every stream at the server's end, and tell those who hold them why."""
        self._down.set()
        for handle in list(self._handles):
            handle.end(reason)
        self.repository.end_streams(reason)

    def server_metadata(self) -> dict[str, Any]:
        """The answer of ``GET v2``."""
        return server_metadata(__version__)

    def model_metadata(self, name: str, version: str = "") -> dict[str, Any]:
        """Inputs, outputs and bundle of a model; ModelNotFoundError or ModelUnavailableError where there is none."""
        return describe(self.repository.find(name, version))

    def model_config(self, name: str, version: str = "") -> dict[str, Any]:
        """How a model is served, in Triton's words; errors as :meth:`model_metadata`."""
        return configure(self.repository.find(name, version))

    def statistics(self, name: str = "", version: str = "") -> dict[str, Any]:
        """The v2 statistics of one model, or of all that can be used.

        Requests and runs are counted under the variant that ran them: those with a ``sequence_id`` under
        ``NAME.streaming`` where the bundle has both variants, which is told behind ``NAME``.

        Raises:
            ModelNotFoundError, ModelUnavailableError: there is no such model, or it cannot be used.
        """
        asked = [self.repository.find(name, version)] if name else self.repository.faces()
        counted = [
            counted_name(face.model, streaming=streaming)
            for face in asked
            for streaming in (False, True)
            if streaming or not face.carried
        ]
        return self.metrics.statistics(list(dict.fromkeys(counted)))

    def repository_index(self, ready: bool = False) -> list[dict[str, str]]:  # noqa: FBT001, FBT002  (the protocol's)
        """Name, version, state and reason of every model; only of those that can be used where ``ready``."""
        return self.repository.index(ready=ready)

    async def load(self, name: str, parameters: Mapping[str, Parameter] | None = None) -> None:
        """Load a model that the server knows, or load it again.

        Raises:
            FeatureError: parameters would give another configuration or other files than the server's own.
            RnnxError: as :meth:`Repository.load`.
        """
        self._must_be_open()
        if parameters:
            raise FeatureError(
                f"parameter '{min(parameters)[:64]}' is not offered: a model is loaded as the server was started, "
                "from its own files. Load it without parameters."
            )
        await self.repository.load(name)

    async def unload(self, name: str, parameters: Mapping[str, Parameter] | None = None) -> None:
        """Take no more requests for a model.

        Raises:
            FeatureError: there are parameters other than ``unload_dependents``, of which no model has any.
            RnnxError: as :meth:`Repository.unload`.
        """
        wrong = sorted(set(parameters or ()) - {"unload_dependents"})
        if wrong:
            raise FeatureError(f"parameter '{wrong[0][:64]}' is not offered. Unload the model without it.")
        await self.repository.unload(name)

    async def _sequence(self, face: Face, sequence: Sequence, asked: Asked) -> Answer:
        """One request of a sequence."""
        if face.carried:
            raise InputError(
                f"model '{face.name}' takes and gives the states, so it has no sequences. Send them to "
                f"'{face.model.name}', or leave sequence_id out."
            )
        if sequence.start:
            self._must_be_open()
            model = face.model
            lease = begin(self.repository, model, sequence.id, model.initial_state(asked.inputs))
        else:
            model, lease = go_on(self.repository, face.model, sequence.id)
        return await answer_chunk(model, lease, asked, end=sequence.end)

    def _counted(self, model: ServedModel, request_id: str, *, streaming: bool, inner: bool) -> Counted:
        """Count, log and trace one request."""
        return Counted(
            model,
            self.metrics,
            self.tracing,
            request_id=request_id,
            streaming=streaming,
            inner=inner,
            clock=self._clock,
        )

    def _timeout_s(self, timeout_us: int | None) -> float:
        """How long a request may take: what its client says, at most what the server allows."""
        return min(self.limits.request_s, timeout_us / 1e6) if timeout_us else self.limits.request_s

    def _waited_for(self, name: str, version: str) -> Engine | None:
        """The engine in whose queue a whole sequence would stand; None where there is none."""
        try:
            face = self.repository.find(name, version)
        except RnnxError:
            return None
        running = face.model.streaming if face.carried else face.model.offline
        return None if running is None else running.engine

    def _must_be_open(self) -> None:
        if self.closing:
            raise ModelUnavailableError(f"nothing new is begun here: {self.closing}. Ask another server.")
