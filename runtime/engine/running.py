"""Requests of one batch through the session: stacked, run once, taken apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError, VariantError
from ...signature import TIME
from ..pending import time_position
from ..session import STREAMING
from ..state import State
from .merging import Merger
from .request import Request

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from ..session import Session

    Outputs = dict[str, NDArray[Any]]


class Runner:
    """Makes requests of what callers give, and runs those that stand in one batch. Thread-safe."""

    def __init__(self, session: Session) -> None:
        """Compile the session's signature."""
        variant = session.variant
        self.session = session
        self.streaming = variant.mode == STREAMING
        self.merger = Merger(session.signature, streaming=self.streaming, operators=variant.operators)
        self._owner = session.initial_state().owner if self.streaming else ""
        #: Whether frames may wait in a state, so that streams can stand at different points.
        self._waits = variant.chunks is not None
        states = session.signature.state_names
        self._pushed = [spec.name for spec in session.signature.inputs if spec.name not in states]
        becoming = {one.output for one in session.signature.states}
        self._answered = [spec.name for spec in session.signature.outputs if spec.name not in becoming]
        axis = variant.chunks.axis if variant.chunks is not None else session.signature.time_axis or TIME
        self._times = {
            spec.name: at for spec in session.signature.outputs if (at := time_position(spec.axes, axis)) is not None
        }

    def request(
        self,
        inputs: Mapping[str, Any],
        lengths: ArrayLike | Mapping[str, ArrayLike] | None = None,
        *,
        state: State | None = None,
        finish: bool = False,
        outputs: Sequence[str] | None = None,
        client: str = "",
        deadline_ns: int | None = None,
    ) -> Request:
        """A request of these inputs, checked as the session would check them.

        Raises:
            InputError: inputs, lengths or names of outputs are wrong, or a stream's state is missing.
            VariantError: a state or ``finish`` is given to a session of whole sequences.
            StateError: the state belongs to another bundle or variant.
        """
        if not self.streaming:
            if state is not None or finish:
                raise VariantError(
                    "the engine's session runs whole sequences, which have no state that is carried on. Load the "
                    "streaming variant: rnnx.load(path, mode='streaming')."
                )
            feed, names = self.session.check(inputs, lengths, outputs)
            place = self.merger.place(feed)
            return Request(feed=feed, names=names, place=place, client=client, deadline_ns=deadline_ns)
        if state is None:
            raise InputError("a stream's chunk needs its state. Begin with session.initial_state().")
        if state.owner != self._owner:
            state.check_owner(self._owner)
        names = self._answered if outputs is None else self._chosen(outputs)
        feed = {}
        if inputs or not finish:
            whole, _ = self.session.check({**inputs, **state.values}, lengths)
            feed = {name: whole[name] for name in self._pushed}
        return Request(
            feed=feed,
            names=names,
            place=self.merger.place(feed, state, self._kind(state, finish=finish, pushed=bool(feed))),
            state=state,
            finish=finish,
            client=client,
            deadline_ns=deadline_ns,
        )

    def run(self, requests: Sequence[Request]) -> list[tuple[Outputs, State | None]]:
        """Outputs and state of each of these requests, in order, by one run.

        Raises:
            SessionError: the session is closed, or ONNX Runtime failed.
        """
        merger, session, first = self.merger, self.session, requests[0]
        feed = merger.merge(requests)
        if first.state is None:
            names = first.names
            if any(one.names != names for one in requests):
                names = list(dict.fromkeys(name for one in requests for name in one.names))
            return [(outputs, None) for outputs in merger.split(session.run(feed, outputs=names), requests)]
        state = State.stacked([one.state for one in requests if one.state is not None])
        outputs: Outputs = {}
        if feed:
            outputs, state = session.step(feed, state)
        if not first.finish:
            states = [state] if len(requests) == 1 else state.split([one.place.rows for one in requests])
            return list(zip(merger.split(outputs, requests), states, strict=True))
        if self._waits or not feed:  # else nothing can be left
            outputs = self._joined(outputs, session.finish(state))
        return [(one, None) for one in merger.split(outputs, requests)]

    def _kind(self, state: State, *, finish: bool, pushed: bool) -> Hashable:
        """Streams of one kind may stand in one batch: they do the same, at the same point of theirs."""
        if not self._waits:
            return finish, pushed
        shapes = tuple((name, array.shape[1:]) for name, array in state.pending.items())
        return finish, pushed, state.phase(), shapes

    def _joined(self, outputs: Outputs, last: Outputs) -> Outputs:
        """A chunk's answers and the last ones: joined along time where they have it, else the last there are."""
        both = {**outputs, **last}
        for name in outputs.keys() & last.keys() & self._times.keys():
            both[name] = np.concatenate((outputs[name], last[name]), self._times[name])
        return both

    def _chosen(self, outputs: Sequence[str]) -> list[str]:
        names = [outputs] if isinstance(outputs, str) else list(outputs)
        wrong = [name for name in names if name not in self._answered]
        if wrong or not names:
            what = f"output '{wrong[0]}' is not known" if wrong else "no outputs are asked for"
            allowed = ", ".join(f"'{name}'" for name in self._answered)
            raise InputError(f"{what}; a stream's chunk is answered by {allowed}.")
        return names
