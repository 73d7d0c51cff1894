"""OpenVINO as a backend of its own: it reads a variant's ONNX file by itself, without ONNX Runtime.

The only module that imports ``openvino``. What it makes looks to a session like one of ONNX Runtime's, without
bindings: states travel through the host. ``openvino`` computes on the CPU, ``openvino@GPU`` on another of its devices.

OpenVINO's CPU plug-in computes in bfloat16 where the processor has it, with errors up to 1e-2; here it computes in
float32 unless ``INFERENCE_PRECISION_HINT`` among the provider's options asks for something else. Options are OpenVINO's
own properties.

What it makes of a graph is not what was proven: OpenVINO 2026.4 passes over the ``sequence_lens`` of ``LSTM``, ``GRU``
and ``RNN`` without a word, and its answers are wrong wherever a row ends early. So :func:`rnnx.load` holds each such
session against the bundle's golden vectors before it gives it out.
"""

from __future__ import annotations

import importlib
import queue
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..errors import MissingExtraError, ProviderError
from .choice import Obstacle
from .machine import version
from .onnx_file import face_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    from numpy.typing import NDArray

    from .ort import OrtOptions, OrtSession

NAME = "openvino"
INSTALL = "pip install 'rnnx[openvino]'"
_PRECISION, _THREADS = "INFERENCE_PRECISION_HINT", "INFERENCE_NUM_THREADS"
_COUNTERS = "PERF_COUNT"
#: Of a message of OpenVINO's: what comes behind repeats it.
_SAID_LINES = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Port:
    """An input or output of the graph.

    Attributes:
        name: its name.
    """

    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """What OpenVINO made of some nodes, and how long it took.

    Attributes:
        name: the layer's; where it came from one node, that node's.
        operator: OpenVINO's name of its kind.
        kernel: the implementation, such as ``brgemm_avx512_f32``.
        time_us: microseconds.
    """

    name: str
    operator: str
    kernel: str
    time_us: int


class OpenVinoSession:
    """A compiled model, with as much of ``onnxruntime.InferenceSession`` as a session needs. Safe in threads."""

    def __init__(
        self,
        compiled: Any,  # noqa: ANN401  (openvino ships no types for it)
        device: str,
        face: tuple[list[str], list[str]],
    ) -> None:
        """Take over a compiled model whose inputs and outputs the ONNX file calls so; use :func:`open_openvino`."""
        self._compiled = compiled
        self._device = device
        self._inputs, self._outputs = ([Port(name=name) for name in side] for side in face)
        # OpenVINO gives a port the names of all values that are the same.
        self._number = {name: number for number, one in enumerate(compiled.outputs) for name in one.names}
        # A request runs one thing at a time; as many are made as run side by side.
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def run(self, output_names: Sequence[str], input_feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Compute the named outputs, which belong to the caller."""
        try:
            request = self._requests.get_nowait()
        except queue.Empty:
            request = self._compiled.create_infer_request()
        try:
            request.infer(dict(input_feed), share_inputs=True)
            return [request.get_output_tensor(self._number[name]).data.copy() for name in output_names]
        finally:
            self._requests.put(request)

    def get_inputs(self) -> Sequence[Port]:
        """The graph's inputs."""
        return self._inputs

    def get_outputs(self) -> Sequence[Port]:
        """The graph's outputs."""
        return self._outputs

    def get_providers(self) -> Sequence[str]:
        """Where it computes: ``OpenVINO CPU``."""
        return [f"OpenVINO {self._device}"]

    def get_provider_options(self) -> Mapping[str, Mapping[str, Any]]:
        """What was really set, by OpenVINO's names."""
        names = (_PRECISION, _THREADS)
        supported = set(self._compiled.get_property("SUPPORTED_PROPERTIES"))
        return {
            self.get_providers()[0]: {name: self._compiled.get_property(name) for name in names if name in supported}
        }

    def layers(self, input_feed: Mapping[str, NDArray[Any]]) -> list[Layer]:
        """What one run executes. The model must have been compiled with ``counters``."""
        request = self._compiled.create_infer_request()
        request.infer(dict(input_feed))
        return [
            Layer(
                name=one.node_name,
                operator=one.node_type,
                kernel=one.exec_type,
                time_us=round(one.real_time.total_seconds() * 1e6),
            )
            for one in request.get_profiling_info()
            # Others were not run, or optimized away.
            if str(one.status).endswith("EXECUTED")
        ]


def is_openvino(provider: str) -> bool:
    """Whether the name is OpenVINO's: ``openvino`` or ``openvino@DEVICE``."""
    name, at, device = provider.partition("@")
    return name == NAME and bool(device) == bool(at)


def openvino_obstacle(provider: str) -> Obstacle | None:
    """Why OpenVINO cannot be used here; None where nothing speaks against it."""
    try:
        core = _import().Core()
    except MissingExtraError as error:
        return Obstacle(why=str(error).partition(". ")[0], mend=f"Run: {INSTALL}", command=INSTALL)
    device, there = _device(provider), list(core.available_devices)
    # Devices are also written with a number (GPU.0), and as plans over several (AUTO, HETERO:GPU,CPU).
    known = {one.partition(".")[0] for one in there}
    if not set(device.partition(":")[2].split(",") if ":" in device else [device.partition(".")[0]]) <= known | {
        "AUTO"
    }:
        return Obstacle(
            why=f"OpenVINO finds no device '{device}' here, only {', '.join(there)}",
            mend=f"Name one of these: '{NAME}@{there[0] if there else 'CPU'}'",
            command=f"{NAME}@{there[0] if there else 'CPU'}",
        )
    return None


def open_openvino(
    model: str | bytes, provider: str, options: OrtOptions, given: Mapping[str, Any], *, counters: bool = False
) -> OrtSession | Obstacle:
    """A model compiled by OpenVINO, or why there is none.

    Args:
        model: path of an ONNX file, or its content.
        provider: ``openvino`` or ``openvino@DEVICE``.
        options: ONNX Runtime's, of which the number of threads is taken.
        given: OpenVINO's properties.
        counters: measure how long each layer takes.

    Raises:
        ProviderError: OpenVINO has no such property.
        RuntimeError: OpenVINO does not read the model; the message is its own, shortened.
    """
    found = openvino_obstacle(provider)
    if found is not None:
        return found
    core, device = _import().Core(), _device(provider)
    properties: dict[str, Any] = {_PRECISION: "f32"}
    if options.intra_op_num_threads:
        properties[_THREADS] = options.intra_op_num_threads
    properties |= dict(given)
    _check(core, device, given)
    if device != "CPU" and _THREADS not in given:
        properties.pop(_THREADS, None)
    if counters:
        properties[_COUNTERS] = True
    try:
        # By its path it finds the weights that lie beside it.
        compiled = core.compile_model(core.read_model(model), device, properties)
    except RuntimeError as error:
        raise RuntimeError(_said(error)) from error
    # It has all of the protocol that a session uses on a provider that nothing is bound on, see binding_plan.
    face = face_of(model if isinstance(model, bytes) else Path(model).read_bytes())
    return cast("OrtSession", OpenVinoSession(compiled, device, face))


def openvino_version() -> str:
    """Version of the installed distribution, or empty."""
    return version(NAME) or ""


def _import() -> ModuleType:
    try:
        module = importlib.import_module("openvino")
    except ImportError as error:
        why = "is not installed" if version(NAME) is None else f"cannot be imported ({error})"
        raise MissingExtraError(f"OpenVINO {why}. Run: {INSTALL}") from error
    if not hasattr(module, "Core"):
        raise MissingExtraError(f"OpenVINO is not installed. Run: {INSTALL}")
    return module


def _device(provider: str) -> str:
    return provider.partition("@")[2].upper() or "CPU"


def _check(core: Any, device: str, given: Mapping[str, Any]) -> None:  # noqa: ANN401  (openvino's)
    """Refuse what is no property of the device, with the names of those that are."""
    if not given:
        return
    supported = core.get_property(device, "SUPPORTED_PROPERTIES")
    settable = sorted(name for name, access in dict(supported).items() if access == "RW")
    wrong = sorted(set(given) - set(settable))
    if wrong:
        raise ProviderError(
            f"OpenVINO's device '{device}' has no option '{wrong[0]}' that can be set; it has {', '.join(settable)}."
        )


def _said(error: Exception) -> str:
    """What OpenVINO's message says, without the files and lines of its source."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(("Exception from ", "Check '", "FrontEnd API"))]
    return " ".join(told[:_SAID_LINES]) or type(error).__name__
