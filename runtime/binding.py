"""What of a streaming variant's graph can be bound to buffers, decided once for each session.

See :mod:`rnnx.runtime.bound` for what is done with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..signature import Axis, Signature, TensorSpec
    from .state import State

CPU = "cpu"

#: Where the buffers lie, by the provider's name. Any other provider takes plain steps.
DEVICES = {"cpu": CPU, "cuda": "cuda", "tensorrt": "cuda"}

#: A CUDA graph replays on the addresses that it was recorded with, and the two directions have different ones: each
#: has a recording of its own, where a provider can keep several.
_CUDA_GRAPHS = ("enable_cuda_graph", "trt_cuda_graph_enable")
_SEVERAL_GRAPHS = "cuda"


@dataclass(frozen=True, kw_only=True, slots=True)
class BoundTensor:
    """One state.

    Attributes:
        name: the graph's input that reads it.
        output: the graph's output that writes it.
        dtype: its dtype.
        axes: sizes of its axes behind the first, which is the batch.
    """

    name: str
    output: str
    dtype: np.dtype[Any]
    axes: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class BindingPlan:
    """What is bound of a graph, and where.

    Attributes:
        states: every state.
        outputs: name of each other output, in order, with its dtype and its axes where their sizes are known, None
            standing for the batch; else with no axes at all.
        batch: how many streams a model of a fixed batch has; None where that is free.
        rows: an input that is not a state, and which of its axes is the batch; None where no input has it.
        device: where the states lie, in ONNX Runtime's words: ``cpu`` or ``cuda``.
        device_id: which of those devices.
        inputs: where a CUDA graph is recorded, each input that is not a state with its dtype and axes, None standing
            for the batch: they have buffers too. Else empty.
    """

    states: tuple[BoundTensor, ...]
    outputs: tuple[tuple[str, np.dtype[Any], tuple[int | None, ...] | None], ...]
    batch: int | None
    rows: tuple[str, int] | None = None
    device: str = CPU
    device_id: int = 0
    inputs: tuple[tuple[str, np.dtype[Any], tuple[int | None, ...]], ...] = ()

    @property
    def captured(self) -> bool:
        """Whether a CUDA graph is recorded."""
        return bool(self.inputs)

    def fits(self, state: State) -> bool:
        """Whether a state's arrays are what the buffers hold. A plain step says what is wrong with one that is not."""
        values = state.values
        if (
            state.waiting
            or state.pending
            or values.keys() != {one.name for one in self.states}
            or not all(map(np.ndim, values.values()))
        ):
            return False
        batch = state.batch if self.batch is None else self.batch
        return batch > 0 and all(
            (values[one.name].dtype, values[one.name].shape) == (one.dtype, (batch, *one.axes)) for one in self.states
        )


def binding_plan(
    signature: Signature, provider: str, options: Mapping[str, Mapping[str, Any]] | None = None
) -> BindingPlan | None:
    """How to bind the states of a streaming variant; None where its streams must take plain steps.

    That is so where a state has a dynamic axis besides the batch, which is its first; where it has no output of its
    own, or one of another form; where its values must lie in a range, which is checked before every step; on
    providers that are not among :data:`DEVICES`; and where CUDA graphs are recorded and the provider keeps only one, or
    an axis has several sizes.

    Args:
        signature: of the variant.
        provider: name of the provider that the session uses.
        options: what ``InferenceSession.get_provider_options`` answers: for each provider its options.
    """
    given = [one for each in (options or {}).values() for one in each.items()]
    graphs = any(name in _CUDA_GRAPHS and str(value).lower() in {"1", "true"} for name, value in given)
    inputs = [signature.input(state.name) for state in signature.states]
    if provider not in DEVICES or not inputs or not all(spec.axes for spec in inputs):
        return None
    if graphs and provider != _SEVERAL_GRAPHS:
        return None
    outputs = [state.output for state in signature.states]
    states: list[BoundTensor] = []
    for spec, output in zip(inputs, outputs, strict=True):
        rest = tuple(axis for axis in spec.axes[1:] if isinstance(axis, int))
        if (
            output is None
            or outputs.count(output) > 1
            or len(rest) != len(spec.axes) - 1
            or spec.axes[0] != inputs[0].axes[0]
            or spec.minimum is not None
            or spec.bound is not None
            or (signature.output(output).dtype, signature.output(output).axes) != (spec.dtype, spec.axes)
        ):
            return None
        states.append(BoundTensor(name=spec.name, output=output, dtype=np.dtype(spec.dtype), axes=rest))
    batch = inputs[0].axes[0]
    pushed = [spec for spec in signature.inputs if spec not in inputs and batch in spec.axes]
    others = [spec for spec in signature.outputs if spec.name not in outputs]
    fixed: list[tuple[str, np.dtype[Any], tuple[int | None, ...]]] = []
    if graphs:
        for spec in (one for one in signature.inputs if one not in inputs):
            axes = _known(spec, batch, signature)
            if axes is None or any(_known(one, batch, signature) is None for one in others):
                return None
            fixed.append((spec.name, np.dtype(spec.dtype), axes))
    return BindingPlan(
        states=tuple(states),
        outputs=tuple((spec.name, np.dtype(spec.dtype), _known(spec, batch, signature)) for spec in others),
        batch=_one_size(batch, signature),
        rows=(pushed[0].name, pushed[0].axes.index(batch)) if pushed and isinstance(batch, str) else None,
        device=DEVICES[provider],
        device_id=next((int(value) for name, value in given if name == "device_id"), 0),
        inputs=tuple(fixed),
    )


def _one_size(batch: Axis, signature: Signature) -> int | None:
    """The batch where it has one size."""
    if isinstance(batch, int):
        return batch
    sizes = signature.range(batch)
    return sizes.minimum if sizes.minimum == sizes.maximum else None


def _known(spec: TensorSpec, batch: Axis, signature: Signature) -> tuple[int | None, ...] | None:
    """Sizes of a tensor's axes, None for the batch; None where steps may give other sizes."""
    # Of some axes only one size is taken, such as the time of a graph for single frames.
    single = {one.name: one.minimum for one in signature.ranges if one.minimum == one.maximum and one.name != batch}
    sizes = [axis if isinstance(axis, int) else single.get(axis) for axis in spec.axes]
    if any(size is None and axis != batch for size, axis in zip(sizes, spec.axes, strict=True)):
        return None
    return tuple(sizes)
