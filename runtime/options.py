"""ONNX Runtime's session options as rnnx sets them, and those that a tuned entry may set.

What a bundle's manifest names comes from somewhere else: only options that are listed here are set from it, for there
are others that write files or load libraries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InputError, TuningError
from .ort import LOG_FATAL

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from .ort import Ort, OrtOptions

#: Session options that may be tuned, by ONNX Runtime's own names, and their values other than the default. Left out on
#: purpose: ``session.set_denormal_as_zero``, which the first session of a process decides for the calling thread and
#: for whatever else computes in it; ``session.disable_prepacking``, which can only lose.
SESSION_OPTIONS: Mapping[str, tuple[str | bool, ...]] = {
    # ALL is the default; BASIC keeps what the larger sets of rewrites would fuse.
    "graph_optimization_level": ("ORT_ENABLE_EXTENDED", "ORT_ENABLE_BASIC"),
    # One block of memory for all activations, planned for each shape. A graph of few nodes may be quicker without.
    "enable_mem_pattern": (False,),
    "enable_cpu_mem_arena": (False,),
    # Threads that wait for work spin for some milliseconds, or sleep at once.
    "session.intra_op.allow_spinning": ("0",),
    # Work is cut into blocks that become smaller towards its end, for which no thread need wait long.
    "session.dynamic_block_base": ("4",),
}
#: Those that do nothing where one thread computes.
OF_SEVERAL_THREADS = ("session.intra_op.allow_spinning", "session.dynamic_block_base")

#: Provider options that may be tuned. CUDA graphs are not among them: they need every input in one place on the device,
#: and refuse graphs with If, Loop or Scan.
PROVIDER_OPTIONS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "cpu": {},
    # By default cuDNN tries every algorithm at each new shape.
    "cuda": {"cudnn_conv_algo_search": ("HEURISTIC", "DEFAULT")},
    "tensorrt": {},
}


def own_options(ort: Ort, threads: int | None, settings: Mapping[str, str | bool] | None = None) -> OrtOptions:
    """Options of a session as rnnx makes them.

    Args:
        ort: ONNX Runtime.
        threads: threads within one operator, at least 1; None leaves it to ONNX Runtime.
        settings: options by ONNX Runtime's own names, out of :data:`SESSION_OPTIONS`.

    Raises:
        InputError: ``threads`` is no number of threads.
        TuningError: an option or its value is not among those that may be set.
    """
    options = ort.SessionOptions()
    # What ONNX Runtime logs as an error it also raises; on the terminal it would only repeat what rnnx says.
    options.log_severity_level = LOG_FATAL
    options.inter_op_num_threads = 1
    if threads is not None:
        if type(threads) is not int or threads < 1:
            raise InputError(
                f"threads is {threads!r}; it must be a whole number from 1, or None for ONNX Runtime's own choice."
            )
        options.intra_op_num_threads = threads
    for name, value in (settings or {}).items():
        _check(name, SESSION_OPTIONS, value=value)
        if name == "graph_optimization_level":
            options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, str(value))
        elif "." in name:
            options.add_session_config_entry(name, str(value))
        else:
            setattr(options, name, value)
    return options


def spare_half(options: OrtOptions) -> OrtOptions:
    """Options for an fp16 variant, without the one rewrite that ends the process.

    ONNX Runtime 1.32 computes float16 nodes on the CPU in float32. Where it does so for a product behind a
    transposition, its ``NchwcTransformer``, which is for convolutions, ends the process while the session is made.
    """
    options.add_session_config_entry("optimization.disable_specified_optimizers", "NchwcTransformer")
    return options


def given_options(options: OrtOptions, threads: int | None) -> OrtOptions:
    """A user's own options, as they are.

    Raises:
        InputError: ``threads`` is given too.
    """
    if threads is not None:
        raise InputError(
            f"threads ({threads}) and session_options are both given. Set session_options.intra_op_num_threads."
        )
    return options


def check_provider_options(provider: str, given: Mapping[str, str]) -> Mapping[str, str]:
    """A tuned entry's provider options, after they were found to be among those that may be set.

    Raises:
        TuningError: one is not.
    """
    for name, value in given.items():
        _check(name, PROVIDER_OPTIONS.get(provider, {}), value=value)
    return given


def _check(name: str, allowed: Mapping[str, Collection[str | bool]], *, value: str | bool) -> None:
    if value not in allowed.get(name, ()):
        raise TuningError(
            f"the bundle's tuned entry sets '{name}' to {value!r}, which this rnnx does not know. Upgrade rnnx, or run "
            "rnnx tune here."
        )
