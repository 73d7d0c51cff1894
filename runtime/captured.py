"""CUDA graphs: a run of fixed shapes is recorded once, and later runs replay it as one call to the GPU.

A graph replays on the very memory that it was recorded with, so inputs and outputs have buffers on the device, and
arrays are copied in and out. ONNX Runtime (1.32, ``docs/performance/tune-performance/iobinding`` and "Using CUDA
Graphs in the CUDA EP") asks for one shape of every input, for no If, Loop or Scan, and for no copies between devices
inside the graph. It records when it first runs, and keeps a recording for each number in the run option
``gpu_graph_id``; its TensorRT provider does not read that option and has one recording.

A stream on CUDA has two recordings, one for each direction between its two sets of state buffers, see
:mod:`rnnx.runtime.bound`. On TensorRT streams take plain steps through the one recording that is here.
"""

from __future__ import annotations

import ast
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, ProviderError, VariantError
from .empty import size_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ..manifest import Variant
    from ..signature import Signature, TensorSpec
    from .ort import Ort, OrtBinding, OrtSession, OrtValue
    from .sizes import Sizes

#: The option that switches CUDA graphs on, by provider, and its value as ONNX Runtime reads it.
GRAPH_OPTIONS = {"cuda": ("enable_cuda_graph", "1"), "tensorrt": ("trt_cuda_graph_enable", "True")}
#: The run option that tells one recording from another.
GRAPH_ID = "gpu_graph_id"
#: The recording of :class:`CapturedRun`; those of streams are counted from the next. ONNX Runtime keeps 0 for itself.
OWN_ID = 1

_CONTROL_FLOW = ("If", "Loop", "Scan")
_RECURRENT = ("LSTM", "GRU", "RNN")


def check_capture(variant: Variant, signature: Signature, provider: str) -> None:
    """Refuse CUDA graphs where it can be told that they are not possible.

    Args:
        variant: the variant.
        signature: its face.
        provider: that is asked for.

    Raises:
        InputError: the provider is not named, or has no CUDA graphs.
        VariantError: the variant has nodes that no CUDA graph can hold.
    """
    if provider not in GRAPH_OPTIONS:
        allowed = " or ".join(f"'{name}'" for name in GRAPH_OPTIONS)
        raise InputError(f"cuda_graph is given with the provider '{provider}'. Name the provider {allowed}.")
    flow = [f"{variant.operators[name]} {name}" for name in _CONTROL_FLOW if variant.operators.get(name)]
    if flow:
        raise VariantError(
            f"variant '{variant.key}' has {' and '.join(flow)}, and a CUDA graph holds no If, Loop or Scan. Leave out "
            "cuda_graph, or take a variant without."
        )
    if signature.lengths and any(variant.operators.get(name) for name in _RECURRENT):
        # CUDA's LSTM, GRU and RNN read sequence_lens on the host: a copy in the middle of the graph.
        raise VariantError(
            f"variant '{variant.key}' takes the lengths '{signature.lengths[0].name}', which CUDA's LSTM, GRU and RNN "
            "read in the host's memory, and a CUDA graph holds no copy between devices. Leave out cuda_graph, or take "
            "the streaming variant, which has no lengths."
        )


def refuse_by_hand(provider: str, given: Mapping[str, Any]) -> None:
    """Refuse a CUDA graph among the provider's options: without fixed buffers its replays would read freed memory.

    Raises:
        ProviderError: there is one.
    """
    name, _ = GRAPH_OPTIONS.get(provider, ("", ""))
    if str(given.get(name, "0")).lower() in {"1", "true"}:
        raise ProviderError(
            f"provider_options has '{name}', which needs buffers that stay and one size of each axis. Give the sizes "
            "instead: cuda_graph={'batch': 1, 'time': 10}."
        )


class CapturedRun:
    """Runs a session whose every run has the same shapes: copies in, replays, copies out. Safe in threads, in turns."""

    def __init__(
        self,
        ort: Ort,
        session: OrtSession,
        signature: Signature,
        sizes: Mapping[str, Sizes],
        *,
        device: tuple[str, int],
    ) -> None:
        """Make the buffers and record the graph.

        Args:
            ort: ONNX Runtime.
            session: made with the option of :data:`GRAPH_OPTIONS`.
            signature: of the variant.
            sizes: the one size of each dynamic axis.
            device: kind and number of the device that the buffers lie on, such as ``("cuda", 0)``.

        Raises:
            VariantError: the size of an output cannot be told.
            Exception: ONNX Runtime's own, where it cannot record the graph.
        """
        known = {axis: one.maximum for axis, one in sizes.items()}
        self._session = session
        self._inputs = {spec.name: _buffer(ort, spec, known, device) for spec in signature.inputs}
        self._outputs = {spec.name: _buffer(ort, spec, known, device) for spec in signature.outputs}
        self._binding: OrtBinding = session.io_binding()
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in self._outputs.items():
            self._binding.bind_ortvalue_output(name, value)
        self._options = ort.RunOptions()
        self._options.add_run_config_entry(GRAPH_ID, str(OWN_ID))
        self._running = threading.Lock()
        # The first run records: now, so that what cannot be recorded is told now, and the first request is no slower.
        self._replay()

    def __call__(self, names: Sequence[str], feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Compute the named outputs from every input, checked and of the fixed shapes."""
        with self._running:
            for name, array in feed.items():
                self._inputs[name].update_inplace(np.ascontiguousarray(array))
            self._replay()
            # On the CPU, where tests run this, an array is the buffer itself.
            return [np.array(self._outputs[name].numpy()) for name in names]

    def _replay(self) -> None:
        self._binding.synchronize_inputs()
        self._session.run_with_iobinding(self._binding, self._options)
        self._binding.synchronize_outputs()


def _buffer(ort: Ort, spec: TensorSpec, sizes: Mapping[str, int], device: tuple[str, int]) -> OrtValue:
    """A buffer of the one shape that the tensor has, filled with the smallest value that it may hold."""
    try:
        shape = [
            axis if isinstance(axis, int) else size_of(ast.parse(axis, mode="eval").body, sizes) for axis in spec.axes
        ]
    except (KeyError, SyntaxError, TypeError, ZeroDivisionError):
        raise VariantError(
            f"the size of '{spec}' does not follow from those of the inputs, and a CUDA graph needs it. Leave out "
            "cuda_graph."
        ) from None
    filled = np.full(shape, spec.minimum or 0, spec.dtype)
    return ort.OrtValue.ortvalue_from_numpy(filled, *device)
