"""One client's run through a streaming variant, chunk by chunk; and a whole sequence cut into chunks."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from ..errors import InputError, SessionError
from .bound import BoundState
from .pending import time_position

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ..signature import Signature
    from .state import State


_FINISHED = "the stream is finished. Begin another sequence with reset()."


class Stepper(Protocol):
    """What a stream needs of a session of a streaming variant.

    Attributes:
        signature: inputs, outputs and states.
        stream_inputs: names of the inputs that a stream is pushed.
    """

    signature: Signature
    stream_inputs: list[str]

    def initial_state(self, batch: int = 1) -> State:
        """Where streams begin."""

    def step(self, inputs: Mapping[str, Any], state: State) -> tuple[dict[str, NDArray[Any]], State]:
        """One chunk: its outputs and the state after it."""

    def finish(self, state: State) -> dict[str, NDArray[Any]]:
        """The outputs that were still to come."""

    def bound(self, state: State) -> BoundState | None:
        """Buffers that hold a copy of the state; None where a stream must take plain steps."""


class Stream:
    """A holder of one state. Not safe in threads: a stream has an order. A context manager.

    Where the model allows it, the state lies in buffers that every step reads and writes in place, see
    :mod:`rnnx.runtime.bound`; else each step gives a new one. The answers are the same.

    Attributes:
        session: what runs it.
    """

    def __init__(self, session: Stepper, *, batch: int = 1, state: State | None = None) -> None:
        """Begin at the initial state, or at ``state``; use :meth:`Session.stream`."""
        self.session = session
        #: Why nothing can be pushed; empty while the stream is open.
        self._closed = ""
        first = session.initial_state(batch) if state is None else state
        self._at: State | BoundState = session.bound(first) or first

    @property
    def state(self) -> State:
        """Where the stream is, as a value that later pushes leave as it is; assign one to go on from elsewhere."""
        at = self._at
        return at.read() if isinstance(at, BoundState) else at

    @state.setter
    def state(self, state: State) -> None:
        at = self._at
        if isinstance(at, BoundState) and at.fits(state):
            at.write(state)
        else:
            self._at = self.session.bound(state) or state

    def push(self, inputs: Mapping[str, Any] | NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Run one chunk and carry the state on.

        Args:
            inputs: by name, ``(batch, time, ...)`` each with any number of steps from 1; or the array itself where
                the model has one input.

        Returns:
            The outputs of these steps by name.

        Raises:
            SessionError: the stream or its session is closed, or ONNX Runtime failed; the state stays as it was.
            InputError: the inputs are wrong; the state stays as it was.
        """
        if self._closed:
            raise SessionError(self._closed)
        if isinstance(inputs, np.ndarray):
            names = self.session.stream_inputs
            if len(names) != 1:
                raise InputError(f"the model has the inputs {', '.join(names)}. Push them by name.")
            inputs = {names[0]: inputs}
        at = self._at
        if isinstance(at, BoundState):
            return at.push(inputs)
        outputs, self._at = self.session.step(inputs, at)
        return outputs

    def finish(self) -> dict[str, NDArray[Any]]:
        """End the sequence: the answers that were still to come, see :meth:`Session.finish`.

        Nothing can be pushed behind it until :meth:`reset` begins another sequence.

        Raises:
            SessionError: the stream was finished before, it or its session is closed, or ONNX Runtime failed.
        """
        if self._closed:
            raise SessionError(self._closed)
        outputs = self.session.finish(self.state)
        self._closed = _FINISHED
        return outputs

    def reset(self, rows: Sequence[int] | None = None) -> None:
        """Put these rows back to the initial state; all by default, which also opens a finished stream again.

        Raises:
            StateError: a row is not there, or the model's rows cannot be put back alone (:meth:`State.replaced`).
        """
        fresh = self.session.initial_state(self.state.batch if rows is None else 1)
        self.state = fresh if rows is None else self.state.replaced(rows, fresh)
        if rows is None and self._closed == _FINISHED:
            self._closed = ""

    def close(self) -> None:
        """End the stream; its session goes on."""
        self._closed = "the stream is closed. Open another with session.stream()."
        if isinstance(self._at, BoundState):
            self._at.release()

    def __enter__(self) -> Self:
        """This stream."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


def run_in_chunks(
    session: Stepper, inputs: Mapping[str, NDArray[Any]], cuts: Sequence[int], time: str
) -> dict[str, NDArray[Any]]:
    """A whole sequence through one stream, cut before these steps; what the offline variant would answer.

    Args:
        session: of a streaming variant.
        inputs: whole arrays by name; those that the streaming variant does not take are left out.
        cuts: steps, ascending, before which the sequence is cut.
        time: name of the axis that is cut.

    Returns:
        Outputs by name: joined along time where they have that axis, else those of the last chunk that had any.
    """
    signature = session.signature
    axes = {spec.name: spec.axes.index(time) for spec in signature.inputs if time in spec.axes}
    given = {name: inputs[name] for name in session.stream_inputs}
    steps = next(given[name].shape[axis] for name, axis in axes.items())
    bounds = [0, *cuts, steps]
    answers: list[dict[str, NDArray[Any]]] = []
    # Through a stream, as a user would: what is proven so is proven of its buffers too.
    with Stream(session, batch=_rows(signature, given)) as stream:
        for first, last in itertools.pairwise(bounds):
            chunk = {
                name: array.take(np.arange(first, last), axes[name]) if name in axes else array
                for name, array in given.items()
            }
            answers.append(stream.push(chunk))
        answers.append(stream.finish())
    joined = {}
    for spec in signature.outputs:
        parts = [answer[spec.name] for answer in answers if spec.name in answer]
        if parts:
            at = time_position(spec.axes, time)
            joined[spec.name] = parts[-1] if at is None else np.concatenate(parts, at)
    return joined


def _rows(signature: Signature, given: Mapping[str, NDArray[Any]]) -> int:
    """The batch size of these inputs."""
    batch = next(signature.input(state.name).axes[0] for state in signature.states)
    if not isinstance(batch, str):
        return batch
    rows: int = next(
        array.shape[signature.input(name).axes.index(batch)]
        for name, array in given.items()
        if batch in signature.input(name).axes
    )
    return rows
