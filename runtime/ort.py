"""The one place that imports ONNX Runtime, and what rnnx uses of it.

ONNX Runtime writes a telemetry database into the user's home unless ``ORT_DISABLE_TELEMETRY=1`` is in the
environment before it is imported. It is put there here, always.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import os
import sys
from typing import TYPE_CHECKING, Any, Protocol, cast

from ..errors import MissingExtraError
from .machine import versions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

TELEMETRY_VARIABLE = "ORT_DISABLE_TELEMETRY"

#: Distributions that bring the module ``onnxruntime``. All of them write to the same folder.
DISTRIBUTIONS = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml", "onnxruntime-qnn")

MEND_BOTH = "pip uninstall -y {names} && pip install 'rnnx[gpu]'"

#: ONNX Runtime's severities: 2 is its default (warnings), 4 leaves only what ends the process.
LOG_DEFAULT = 2
LOG_FATAL = 4


class NodeArg(Protocol):
    """One input or output of a graph."""

    name: str


class OrtValue(Protocol):
    """What rnnx uses of ``onnxruntime.OrtValue``: an array on some device."""

    def numpy(self) -> NDArray[Any]:
        """The array on the host; on the CPU it may be the value's own memory."""

    def update_inplace(self, np_arr: NDArray[Any]) -> None:
        """Copy a contiguous array of the same dtype and shape into it."""


class OrtValues(Protocol):
    """What rnnx uses of the class ``onnxruntime.OrtValue`` itself."""

    def ortvalue_from_numpy(self, numpy_obj: NDArray[Any], /, device_type: str, device_id: int) -> OrtValue:
        """On the CPU a value that uses the array's memory, elsewhere a copy."""


class OrtBinding(Protocol):
    """What rnnx uses of ``onnxruntime.IOBinding``."""

    def bind_cpu_input(self, name: str, arr_on_cpu: NDArray[Any]) -> None:
        """Read an input from an array, which is kept alive."""

    def bind_ortvalue_input(self, name: str, ortvalue: OrtValue) -> None:
        """Read an input from a value."""

    def bind_output(self, name: str, device_type: str) -> None:
        """Allocate an output on this device in the next run."""

    def bind_ortvalue_output(self, name: str, ortvalue: OrtValue) -> None:
        """Write an output to a value."""

    def synchronize_inputs(self) -> None:
        """Wait until the inputs have reached the device."""

    def synchronize_outputs(self) -> None:
        """Wait until the outputs have left the device."""

    def get_outputs_as_ortvaluevector(self) -> Sequence[OrtValue]:
        """The outputs of the last run, in the order in which they were first bound."""


class OrtRunOptions(Protocol):
    """What rnnx sets of ``onnxruntime.RunOptions``."""

    def add_run_config_entry(self, key: str, value: str, /) -> None:
        """Set an option of one run that is named by a text."""


class OrtHardware(Protocol):
    """What rnnx uses of ``onnxruntime.OrtHardwareDevice``."""

    type: Any
    """``CPU``, ``GPU`` or ``NPU`` of an enumeration."""


class OrtDevice(Protocol):
    """What rnnx uses of ``onnxruntime.OrtEpDevice``: a provider and a device that it can use."""

    ep_name: str
    device: OrtHardware


class OrtSession(Protocol):
    """What rnnx uses of ``onnxruntime.InferenceSession``."""

    def run(self, output_names: Sequence[str], input_feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Compute the named outputs."""

    def io_binding(self) -> OrtBinding:
        """A new binding, with nothing bound."""

    def run_with_iobinding(self, iobinding: OrtBinding, run_options: OrtRunOptions | None = None) -> None:
        """Compute what is bound."""

    def release_captured_graph(self, graph_annotation_id: int) -> None:
        """Forget a CUDA graph."""

    def end_profiling(self) -> str:
        """End a profile that the options asked for; the file that holds it."""

    def get_provider_options(self) -> Mapping[str, Mapping[str, Any]]:
        """The options of each provider that the session has."""

    def get_providers(self) -> Sequence[str]:
        """The providers that the session really has."""

    def get_inputs(self) -> Sequence[NodeArg]:
        """The graph's inputs."""

    def get_outputs(self) -> Sequence[NodeArg]:
        """The graph's outputs."""

    def disable_fallback(self) -> None:
        """Let a failing provider raise."""


class OrtOptions(Protocol):
    """What rnnx sets of ``onnxruntime.SessionOptions``."""

    intra_op_num_threads: int
    inter_op_num_threads: int
    log_severity_level: int
    graph_optimization_level: Any
    enable_profiling: bool
    profile_file_prefix: str

    def add_session_config_entry(self, key: str, value: str, /) -> None:
        """Set an option that is named by a text."""

    def add_provider_for_devices(self, devices: Sequence[OrtDevice], options: Mapping[str, str], /) -> None:
        """Use a provider on these devices, which must all be its own."""

    def has_providers(self) -> bool:
        """Whether a provider was put into the options."""


class Ort(Protocol):
    """What rnnx uses of the module ``onnxruntime``; a test may pass something else of this form."""

    __version__: str

    @property
    def OrtValue(self) -> OrtValues:  # noqa: N802  (ONNX Runtime's own name)
        """The class of values."""

    @property
    def __file__(self) -> str | None:
        """Where the module lies."""

    @property
    def GraphOptimizationLevel(self) -> Any:  # noqa: ANN401, N802  (an enumeration; ONNX Runtime's own name)
        """How far a graph is rewritten before it is run."""

    def SessionOptions(self) -> OrtOptions:  # noqa: N802  (ONNX Runtime's own name)
        """New options."""

    def InferenceSession(  # noqa: N802  (ONNX Runtime's own name)
        self,
        path_or_bytes: str | bytes,
        sess_options: OrtOptions,
        *,
        providers: Sequence[str] | None = None,
        provider_options: Sequence[Mapping[str, Any]] | None = None,
        enable_fallback: int,
    ) -> OrtSession:
        """A new session; on the providers of its options where none are named."""

    def RunOptions(self) -> OrtRunOptions:  # noqa: N802  (ONNX Runtime's own name)
        """New options of a run."""

    def register_execution_provider_library(self, name: str, path: str, /) -> None:
        """Load a plug-in's library under a name."""

    def get_ep_devices(self) -> Sequence[OrtDevice]:
        """The devices of every provider, plug-ins among them."""

    def get_available_providers(self) -> Sequence[str]:
        """The providers that this build knows, whether they load or not."""

    def set_default_logger_severity(self, severity: int) -> None:
        """How grave a message must be to reach the terminal."""


def import_ort() -> Ort:
    """ONNX Runtime, with its telemetry switched off.

    Raises:
        MissingExtraError: it is not installed, or what is installed cannot be imported.
    """
    _switch_telemetry_off()
    try:
        module = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise MissingExtraError(_why_not(error)) from error
    if not hasattr(module, "InferenceSession"):
        # Uninstalling one of two distributions leaves an empty folder, which imports as a namespace package.
        raise MissingExtraError(_why_not(None))
    return cast("Ort", module)


@contextlib.contextmanager
def quiet(ort: Ort) -> Iterator[None]:
    """Keep ONNX Runtime from writing to the terminal why a provider failed: rnnx says it in its own error."""
    ort.set_default_logger_severity(LOG_FATAL)
    try:
        yield
    finally:
        ort.set_default_logger_severity(LOG_DEFAULT)


def cpu_session(model: str | bytes) -> OrtSession:
    """A session on the CPU that writes nothing to the terminal: for probes and proofs of a graph, not for serving.

    Args:
        model: path of an ONNX file, or its content.

    Raises:
        MissingExtraError: as :func:`import_ort`.
        Exception: ONNX Runtime's own, where it does not take the model.
    """
    ort = import_ort()
    options = ort.SessionOptions()
    options.log_severity_level = LOG_FATAL
    return ort.InferenceSession(
        model, options, providers=["CPUExecutionProvider"], provider_options=[{}], enable_fallback=0
    )


def distributions() -> dict[str, str]:
    """Installed distributions that bring the module ``onnxruntime``, name to version."""
    return versions(DISTRIBUTIONS)


def clash() -> str:
    """What is wrong where several distributions of ONNX Runtime are installed, and the mend; else empty."""
    names = list(distributions())
    if len(names) < 2:
        return ""
    quoted = " and ".join(f"'{name}'" for name in names)
    return f"{quoted} are both installed and overwrite each other. Run: {MEND_BOTH.format(names=' '.join(names))}"


def telemetry() -> str:
    """State of ONNX Runtime's telemetry in this process: ``off``, or why that is not sure."""
    return "not known: onnxruntime was imported before rnnx" if _State.imported_before else "off"


class _State:
    """Whether somebody imported ONNX Runtime before its telemetry was off."""

    imported_before = False


def _switch_telemetry_off() -> None:
    if "onnxruntime" in sys.modules and os.environ.get(TELEMETRY_VARIABLE) != "1":
        _State.imported_before = True
    os.environ[TELEMETRY_VARIABLE] = "1"


def _why_not(error: ImportError | None) -> str:
    both = clash()
    if both:
        return f"ONNX Runtime cannot be imported: {both}"
    installed = distributions()
    if installed:
        names = ", ".join(f"{name} {version}" for name, version in installed.items())
        why = error or "its files are gone"
        return (
            f"ONNX Runtime ({names}) is installed but cannot be imported: {why}. "
            f"Run: pip install --force-reinstall {' '.join(installed)}"
        )
    return (
        "ONNX Runtime is not installed. Run: pip install 'rnnx[cpu]' "
        "(or 'rnnx[gpu]' on a machine with an NVIDIA GPU; never both)."
    )
