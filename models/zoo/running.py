"""Runners: the PyTorch module and the variants of its bundle, behind one face."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...errors import StreamingError
from ...exporters.exporter import declare
from ...runtime.pending import time_position
from ...runtime.stream import run_in_chunks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import nn

    from ...runtime.session import Session
    from ...runtime.state import State
    from ...signature import Signature
    from .system import Arrays, Face, Pushing


class TorchRunner:
    """The module itself, in eval mode."""

    def __init__(self, module: nn.Module, face: Face) -> None:
        """Run ``module``, whose face is ``face``."""
        self.name = "torch"
        self._module = module.eval()
        self._face = face
        self._signature = declare(face.inputs, lengths=face.lengths, states=face.states, ranges=face.ranges)
        self._states = tuple(state.name for state in self._signature.states)

    @torch.inference_mode()
    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Answer a batch; see :class:`rnnx.models.zoo.system.Runner`."""
        specs = self._signature.inputs
        batch = next(len(inputs[one.name]) for one in specs if one.axes and one.name in inputs)
        # A recipe may validate a module that is on a GPU at that time.
        device = next((one.device for one in self._module.parameters()), torch.device("cpu"))
        feed = {}
        for spec in specs:
            if spec.name in inputs:
                value = torch.from_numpy(np.asarray(inputs[spec.name], dtype=spec.dtype))
            else:
                shape = [batch if isinstance(axis, str) else axis for axis in spec.axes]
                value = torch.zeros(shape, dtype=getattr(torch, spec.dtype))
            feed[spec.argument or spec.name] = value.to(device)
        answer = self._module(**feed)
        values = [answer] if isinstance(answer, torch.Tensor) else list(answer)
        return {name: value.cpu().numpy() for name, value in zip(self._face.outputs, values, strict=True)}

    def stream(self) -> _Carrying:
        """Begin a batch of streams, where the module takes its states in and gives them out."""
        if not self._states:
            raise StreamingError("the PyTorch module takes no states, so it answers whole sequences only.")
        return _Carrying(self, dict(zip(self._states, self._face.new_states, strict=True)))


class _Carrying:
    """Streams of a runner that takes its states in and gives them out."""

    def __init__(self, runner: TorchRunner | BundleRunner, recurs: Mapping[str, str]) -> None:
        self._runner, self._recurs = runner, recurs
        self._state: Arrays = {}

    def push(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        outputs = self._runner.run({**inputs, **self._state})
        self._state = {name: outputs.pop(given) for name, given in self._recurs.items()}
        return outputs

    def finish(self) -> Arrays:
        return {}  # a module whose states go in and out answers at once


class BundleRunner:
    """One variant of a bundle."""

    def __init__(self, session: Session, face: Face) -> None:
        """Run on ``session``, which stays the caller's to close, and whose system has this face."""
        self.name = session.variant.key
        self._session, self._face = session, face

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Answer a batch; a streaming variant takes it as one chunk and ends."""
        names = {one.name for one in self._session.signature.lengths}
        lengths = {name: array for name, array in inputs.items() if name in names}
        feed = {name: array for name, array in inputs.items() if name not in names}
        return dict(self._session.run(feed, lengths or None))

    def stream(self) -> Pushing:
        """Begin a batch of streams."""
        if self._session.variant.mode == "streaming":
            return _BundleStream(self._session)
        if not self._face.new_states:
            raise StreamingError(f"variant '{self.name}' answers whole sequences only.")
        states = [one.partition(":")[0].strip() for one in self._face.states]
        return _Carrying(self, dict(zip(states, self._face.new_states, strict=True)))


class _BundleStream:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._state: State | None = None

    def push(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        if self._state is None:
            rows = next(len(array) for array in inputs.values())
            self._state = self._session.initial_state(rows)
        outputs, self._state = self._session.step(inputs, self._state)
        return dict(outputs)

    def finish(self) -> Arrays:
        return {} if self._state is None else dict(self._session.finish(self._state))


class ChunkRunner:
    """A streaming variant that answers whole sequences by taking them in chunks of uneven size."""

    def __init__(self, session: Session, offline: Signature, time: str, *, seed: int = 0) -> None:
        """Run on ``session``, which stays the caller's to close.

        Args:
            session: of a streaming variant.
            offline: the bundle's own signature.
            time: the axis that is cut.
            seed: of the cuts.
        """
        self.name = session.variant.key
        self._session, self._offline, self._time = session, offline, time
        self._generator = np.random.default_rng(seed)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Answer a batch: rows of one length go together, because a batch of streams has no lengths."""
        measured = next((one.name for one in self._offline.lengths if one.axis == self._time), None)
        timed = {spec.name: spec.axes.index(self._time) for spec in self._offline.inputs if self._time in spec.axes}
        given = {name: array for name, array in inputs.items() if name != measured}
        if measured is None:
            return self._chunks(given, timed)
        lengths = np.asarray(inputs[measured])
        whole = next(given[name].shape[axis] for name, axis in timed.items())
        answer: Arrays = {}
        for length in np.unique(lengths):
            rows = np.flatnonzero(lengths == length)
            part = {
                name: array[rows].take(np.arange(length), timed[name]) if name in timed else array[rows]
                for name, array in given.items()
            }
            for name, value in self._chunks(part, timed).items():
                at = time_position(next(one.axes for one in self._offline.outputs if one.name == name), self._time)
                shape = list(value.shape)
                shape[0] = len(lengths)
                if at is not None:  # as wide as any row's answer can be; what is beyond a row's own is zeros
                    shape[at] = max(whole, shape[at])
                answer.setdefault(name, np.zeros(shape, value.dtype))
                place: Any = (rows, *(slice(size) for size in value.shape[1:]))
                answer[name][place] = value
        return answer

    def stream(self) -> _BundleStream:
        """Begin a batch of streams."""
        return _BundleStream(self._session)

    def _chunks(self, given: Mapping[str, NDArray[Any]], timed: Mapping[str, int]) -> Arrays:
        steps = next(given[name].shape[axis] for name, axis in timed.items())
        cuts = sorted({int(one) for one in self._generator.integers(1, max(steps, 2), 1 + steps // 50)} - {steps})
        return dict(run_in_chunks(self._session, given, cuts, self._time))
