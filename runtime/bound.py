"""A stream's state in buffers of its own that ONNX Runtime reads and writes in place: no step allocates any of it.

There are two sets of buffers. A step reads the one and writes the other, and only when it has succeeded do they change
places; so a step that fails leaves the state as it was. Each direction has an ``IOBinding`` of its own, in which the
states stay bound for good. Inputs are bound to the caller's arrays, without a copy where they are contiguous. An
output that has the time axis is bound to fresh memory for every step, which then belongs to the caller; one whose size
is always the same has a buffer too, of which the caller gets a copy, because that takes less time than binding anew.
Until it is pushed to again, a stream keeps the last two chunks that it was given.

On a GPU the buffers lie there and the states never travel; inputs come from the host and outputs go back to it. Where a
CUDA graph is recorded (:mod:`rnnx.runtime.captured`), inputs and outputs have buffers there too, which both directions
share, and each direction has a recording of its own: a recording always reads and writes the memory that it was made
with.

Not every model can: :func:`rnnx.runtime.binding.binding_plan` says which. The others take plain steps, with the same
answers.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..errors import InputError, SessionError, ShapeError
from .binding import CPU
from .captured import GRAPH_ID, OWN_ID
from .inputs import Feeder
from .state import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from .binding import BindingPlan
    from .ort import Ort, OrtBinding, OrtRunOptions, OrtSession, OrtValue


class Opened(Protocol):
    """What a bound state needs of its session."""

    def opened(self) -> OrtSession:
        """ONNX Runtime's session; SessionError where it is closed."""

    def failure(self, feed: Mapping[str, NDArray[Any]], error: Exception) -> SessionError:
        """The error for a feed with which ONNX Runtime failed."""


class Binder:
    """Makes the bound states of one session, checks what is pushed to them, and lets the session go when it closes.

    Attributes:
        ort: the module ``onnxruntime``.
        plan: what is bound.
    """

    def __init__(self, ort: Ort, plan: BindingPlan, feeder: Feeder) -> None:
        """Take what the session has; ``feeder`` is the one for all of its inputs."""
        self.ort = ort
        self.plan = plan
        signature, states = feeder.signature, feeder.signature.state_names
        pushed = tuple(spec for spec in signature.inputs if spec.name not in states)
        self._whole = feeder
        self._chunks = Feeder(replace(signature, inputs=pushed, states=()))
        # A session that is closed while other streams are still held must be freed all the same.
        self._made: weakref.WeakSet[BoundState] = weakref.WeakSet()
        self._changing = threading.Lock()
        self._released = False
        #: Numbers of recordings, none of which is given twice: another stream's would run on another stream's memory.
        self.graph_ids = itertools.count(OWN_ID + 1)

    def bind(self, session: Opened, state: State) -> BoundState | None:
        """Buffers that hold a copy of the state; None where it does not fit, or the session is closed."""
        with self._changing:
            if self._released or not self.plan.fits(state):
                return None
            made = BoundState(self, session, state)
            self._made.add(made)
        return made

    def feed(self, inputs: Mapping[str, Any], held: BoundState) -> dict[str, NDArray[Any]]:
        """Every input but the states by name, checked.

        Raises:
            InputError: the inputs are wrong, or of another number of streams than the state.
        """
        try:
            feed = self._chunks.feed(inputs)
            rows = self.plan.rows
            if rows is None or feed[rows[0]].shape[rows[1]] == held.batch:
                return feed
            wrong: InputError = ShapeError(f"input '{rows[0]}' must have {held.batch} rows, one for each stream.")
        except InputError as error:
            wrong = error
        # The same check in the words of a plain step, which know the states too.
        self._whole.feed({**inputs, **held.placeholders()})
        raise wrong

    def release(self) -> None:
        """Let go of the session. States that it made can still be read and written."""
        with self._changing:
            self._released = True
            for made in self._made:
                made.release()


class BoundState:
    """The state of some streams that go on together, in its two sets of buffers. Not safe in threads.

    Attributes:
        batch: how many streams.
    """

    def __init__(self, binder: Binder, session: Opened, state: State) -> None:
        """Copy ``state`` into buffers of its own; use :meth:`Binder.bind`, which finds out whether it fits."""
        self.batch = batch = state.batch
        self._binder = binder
        self._session = session
        self._owner = state.owner
        plan = binder.plan
        self._values = tuple({one.name: self._buffer(state.values[one.name]) for one in plan.states} for _ in range(2))
        #: Each output's name, its number in the binding, and its buffer where it has one.
        self._outputs = tuple(
            (name, number, None if axes is None else np.zeros([batch if one is None else one for one in axes], dtype))
            for number, (name, dtype, axes) in enumerate(plan.outputs)
        )
        self._fresh = tuple(name for name, _, buffer in self._outputs if buffer is None)
        #: Where a CUDA graph is recorded, a buffer on the device for each input and output that is not a state.
        self._inputs = {name: self._zeros(dtype, axes) for name, dtype, axes in plan.inputs}
        self._results = {
            name: self._zeros(dtype, axes) for name, dtype, axes in plan.outputs if plan.captured and axes is not None
        }
        self._graphs = self._recordings() if plan.captured else None
        first, second = self._values
        self._bindings: tuple[OrtBinding, OrtBinding] | None = (self._bind(first, second), self._bind(second, first))
        #: Which of the two sets holds the state.
        self._side = 0
        self._running = threading.Lock()

    def fits(self, state: State) -> bool:
        """Whether :meth:`write` takes this state: of the same owner, the same batch and the plan's arrays."""
        return state.owner == self._owner and self._binder.plan.fits(state) and state.batch == self.batch

    def placeholders(self) -> dict[str, NDArray[Any]]:
        """By state name, an array of the state's dtype and shape that takes no memory, for messages about shapes."""
        shapes = {one.name: (one.dtype, (self.batch, *one.axes)) for one in self._binder.plan.states}
        return {name: np.broadcast_to(np.zeros((), dtype), shape) for name, (dtype, shape) in shapes.items()}

    def read(self) -> State:
        """A copy of the state, which later steps leave as it is."""
        values = self._values[self._side]
        return State(owner=self._owner, values={name: np.array(value.numpy()) for name, value in values.items()})

    def write(self, state: State) -> None:
        """Copy the state into the buffers that the next step reads. It must fit."""
        for name, value in self._values[self._side].items():
            value.update_inplace(np.ascontiguousarray(state.values[name]))

    def push(self, inputs: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """Run one chunk, from the state to the next.

        Args:
            inputs: by name, ``(batch, time, ...)``, any number of steps from 1.

        Returns:
            The outputs of these steps by name, without the states; later chunks leave them as they are.

        Raises:
            InputError: the inputs are wrong; the state stays as it was.
            SessionError: the session is closed, ONNX Runtime failed, or another thread is pushing; the state stays as
                it was.
        """
        session = self._session.opened()
        feed = self._binder.feed(inputs, self)
        try:
            return self._run(session, feed)
        except SessionError:
            raise
        except Exception as error:
            raise self._session.failure(feed, error) from error

    def _run(self, session: OrtSession, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        bindings = self._bindings
        if bindings is None:
            raise SessionError("the stream was closed while it was pushed to. Open another with session.stream().")
        # Two runs over one binding at once could end the process.
        if not self._running.acquire(blocking=False):
            raise SessionError("another thread is pushing to this stream. A stream has an order: push one at a time.")
        binding, on_device, graphs = bindings[self._side], self._binder.plan.device != CPU, self._graphs
        try:
            for name, array in feed.items():
                if name in self._inputs:
                    self._inputs[name].update_inplace(np.ascontiguousarray(array))
                else:
                    binding.bind_cpu_input(name, array)
            if on_device:
                binding.synchronize_inputs()
            if graphs is None:
                session.run_with_iobinding(binding)
            else:
                session.run_with_iobinding(binding, graphs[self._side][1])
            if on_device:
                binding.synchronize_outputs()
            outputs = self._answers(binding)
            self._side = 1 - self._side
        finally:
            # What ONNX Runtime allocated for an output stays bound: the next run over this binding would write over the
            # arrays that the caller has, or fail where its chunk is of another length.
            for name in self._fresh:
                binding.bind_output(name, CPU)
            self._running.release()
        return outputs

    def release(self) -> None:
        """Let go of the session, so that it can be freed; the state can still be read and written."""
        self._bindings = None
        # What cannot be forgotten now goes with the session: another thread is replaying it, or ONNX Runtime is older.
        if self._graphs is not None and self._running.acquire(blocking=False):
            graphs, self._graphs = self._graphs, None
            for number, _ in graphs:
                with contextlib.suppress(AttributeError, SessionError):
                    self._session.opened().release_captured_graph(number)
            self._running.release()

    def _answers(self, binding: OrtBinding) -> dict[str, NDArray[Any]]:
        """Copies of the outputs of a run, or arrays that nothing else uses."""
        if self._results:
            return {name: np.array(value.numpy()) for name, value in self._results.items()}
        values = binding.get_outputs_as_ortvaluevector()
        return {
            name: values[number].numpy() if buffer is None else buffer.copy() for name, number, buffer in self._outputs
        }

    def _recordings(self) -> tuple[tuple[int, OrtRunOptions], ...]:
        """For each direction a number of its own, and the options of a run that say it."""
        made = []
        for _ in range(2):
            number = next(self._binder.graph_ids)
            options = self._binder.ort.RunOptions()
            options.add_run_config_entry(GRAPH_ID, str(number))
            made.append((number, options))
        return tuple(made)

    def _bind(self, source: Mapping[str, OrtValue], target: Mapping[str, OrtValue]) -> OrtBinding:
        binding, values = self._session.opened().io_binding(), self._binder.ort.OrtValue
        # The order in which outputs are first bound is the one in which they come back.
        for name, value in self._inputs.items():
            binding.bind_ortvalue_input(name, value)
        for name, _, buffer in self._outputs:
            if name in self._results:
                binding.bind_ortvalue_output(name, self._results[name])
            elif buffer is None:
                binding.bind_output(name, CPU)
            else:
                binding.bind_ortvalue_output(name, values.ortvalue_from_numpy(buffer, CPU, 0))
        for one in self._binder.plan.states:
            binding.bind_ortvalue_input(one.name, source[one.name])
            binding.bind_ortvalue_output(one.output, target[one.name])
        return binding

    def _zeros(self, dtype: np.dtype[Any], axes: tuple[int | None, ...]) -> OrtValue:
        """A buffer on the plan's device; None among its axes stands for the batch."""
        return self._buffer(np.zeros([self.batch if one is None else one for one in axes], dtype))

    def _buffer(self, value: NDArray[Any]) -> OrtValue:
        """A copy of the array on the plan's device."""
        ort, plan = self._binder.ort, self._binder.plan
        # On the CPU the value uses the memory of this copy and keeps it alive; on a GPU it is a copy of the copy.
        return ort.OrtValue.ortvalue_from_numpy(np.array(value, order="C"), plan.device, plan.device_id)
