"""ONNX Runtime's own run without the Python around it.

``InferenceSession.run`` looks up every input's name and type, looks for values on a device and for a graph capture, and
is ready to fall back to another provider: about a microsecond each time, which is 2% of a small model. Here names and
arrays have been checked, no value is on a device and a session never falls back, so the compiled session can be called
as it is. It is not a documented name, so whatever does not look as expected is left to ``InferenceSession.run``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .ort import OrtSession

#: Names of outputs, and every input by name, to the outputs' arrays.
Run = Callable[[Sequence[str], "Mapping[str, NDArray[Any]]"], "list[NDArray[Any]]"]

#: Where ONNX Runtime's Python keeps the compiled session, and what tells that a graph is captured and replayed.
_COMPILED, _CAPTURE = "_sess", "is_webgpu_graph_capture_enabled"
#: The arguments of the compiled ``run``, as pybind11 writes them down: names, inputs, options.
_ARGUMENTS = ("self: ", "arg0: ", "arg1: ", "arg2: ")


def direct_run(session: OrtSession) -> Run:
    """The shortest way to run a session, for inputs that were checked to be all there and arrays in host memory.

    Args:
        session: ONNX Runtime's, one that does not fall back to another provider.
    """
    compiled = getattr(session, _COMPILED, None)
    run = getattr(compiled, "run", None)
    if run is None or not _takes_three(run) or getattr(compiled, _CAPTURE, bool)():
        return session.run

    def direct(names: Sequence[str], feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        values: list[NDArray[Any]] = run(names, feed, None)
        return values

    return direct


def _takes_three(run: Any) -> bool:  # noqa: ANN401  (a compiled method)
    """Whether its documentation gives exactly the arguments that are passed here."""
    told = str(getattr(run, "__doc__", None) or "")
    return told.startswith("run(") and all(one in told for one in _ARGUMENTS) and "arg3: " not in told
