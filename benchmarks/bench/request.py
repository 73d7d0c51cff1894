"""What is asked of a benchmark, checked before anything is measured."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...bundle import Bundle
from ...errors import InputError, MissingExtraError, ProviderError, SourceError, VariantError
from ...runtime.choice import AUTO
from ...runtime.machine import cores
from ...runtime.ort import import_ort
from ...runtime.providers import PROVIDERS, check_name, obstacle
from ...signature import BATCH
from .inputs import check_data, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from ...signature import AxisRange, Signature

#: Each peer, and whether it runs the source itself, for which torch is needed.
PEERS = {
    "torch": True,
    "torch-compile": True,
    "torchscript": True,
    "onnxruntime": False,
    "openvino": False,
    "openvino-f32": False,
}
MODES = ("offline", "streaming")


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where the candidates come from. A child process gets it as JSON.

    Attributes:
        bundle: path of the bundle.
        source: the source of the torch peers, ``file.py:callable``, or None.
        init: arguments of the source's callable, each ``key=value``.
        checkpoint: file of the source's weights, or None.
        trust_pickle: whether the checkpoint may run code while it is read.
        ranges: for ``tensorrt``, the sizes that its engines are built for: ``time=1:64:512`` each.
    """

    bundle: str
    source: str | None = None
    init: tuple[str, ...] = ()
    checkpoint: str | None = None
    trust_pickle: bool = False
    ranges: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What is to be measured.

    Attributes:
        origin: the bundle, and the source of the torch peers.
        providers: names of execution providers.
        precisions: precisions of the bundle; empty for all that it has.
        modes: ``offline``, ``streaming``.
        batches: sizes of the batch; empty for 1.
        times: numbers of time steps, in streaming mode those of one chunk; empty for 1 and 100.
        threads: threads within one operator.
        peers: names out of :data:`PEERS`.
        reference: name of the candidate that ratios are told against; None for bare ONNX Runtime, else the first.
        frame_period_ms: duration of one time step, or None.
        data: arrays by input name in place of random ones.
        sizes: sizes of dynamic axes other than batch and time.
        seconds: time for the measured runs of each row.
        seed: of inputs and resampling.
        resources: whether memory and loading are measured, in a process for each candidate.
        roofline: whether the machine's ceilings are measured and operations counted.
    """

    origin: Origin
    providers: tuple[str, ...] = ("cpu",)
    precisions: tuple[str, ...] = ()
    modes: tuple[str, ...] = ("offline",)
    batches: tuple[int, ...] = ()
    times: tuple[int, ...] = ()
    threads: tuple[int, ...] = ()
    peers: tuple[str, ...] = ()
    reference: str | None = None
    frame_period_ms: float | None = None
    data: Mapping[str, NDArray[Any]] | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 1.0
    seed: int = 0
    resources: bool = True
    roofline: bool = True

    @property
    def thread_counts(self) -> tuple[int, ...]:
        """The threads asked for; one for each core where none are."""
        return self.threads or (cores(),)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict, without the data."""
        return {
            "source": self.origin.source,
            "checkpoint": self.origin.checkpoint,
            "providers": list(self.providers),
            "precisions": list(self.precisions),
            "modes": list(self.modes),
            "batches": list(self.batches),
            "times": list(self.times),
            "threads": list(self.thread_counts),
            "peers": list(self.peers),
            "reference": self.reference,
            "frame_period_ms": self.frame_period_ms,
            "data": sorted(self.data or {}),
            "sizes": dict(self.sizes),
            "seconds": self.seconds,
            "seed": self.seed,
        }


def check_request(request: Request) -> Bundle:
    """The bundle, after everything that was asked for was found to be possible.

    Raises:
        InputError: a size, a number of threads, a peer, a mode, the data or the time is wrong.
        ProviderError: a provider is not known, or not usable here.
        VariantError: the bundle has no such precision in a mode.
        SourceError: a torch peer is asked for without a source.
        MissingExtraError: a roofline is asked for, and what counts operations is not installed.
        BundleError: the bundle cannot be read.
    """
    _check_words(request)
    _check_needs(request)
    _check_providers(request.providers)
    bundle = Bundle.open(request.origin.bundle)
    for mode in request.modes:
        for precision in precisions(request, bundle, mode):
            bundle.variant(precision, mode)
        if request.peers:
            bundle.variant("fp32", mode)  # what peers run, or are compared with
    signature = bundle.manifest.signature
    _check_sizes(request, signature)
    if request.data is not None:
        check_data(signature, request.data)
    return bundle


def _check_words(request: Request) -> None:
    """What can be told without the bundle."""
    for what, numbers in (("batch", request.batches), ("time", request.times), ("threads", request.thread_counts)):
        for number in numbers:
            if type(number) is not int or number < 1:
                raise InputError(f"--{what} is {number!r}; it must be a whole number from 1, or several: 1,16.")
    for what, names, known in (("peers", request.peers, tuple(PEERS)), ("mode", request.modes, MODES)):
        for name in names:
            if name not in known:
                raise InputError(f"--{what} '{name}' is not known. Allowed are {_listing(known)}.")
    if request.seconds <= 0:
        raise InputError(f"--seconds is {request.seconds:g}; it must be above 0.")
    if request.frame_period_ms is not None and request.frame_period_ms <= 0:
        raise InputError(f"--frame-period is {request.frame_period_ms:g} ms; it must be above 0.")


def _check_needs(request: Request) -> None:
    """What some candidates and figures need."""
    if request.roofline and importlib.util.find_spec("onnx") is None:
        raise MissingExtraError(
            "operations are counted with 'onnx', which is not installed. Run: pip install 'rnnx[export]', or leave the "
            "machine's limits out with --no-roofline."
        )
    of_torch = [name for name in request.peers if PEERS[name]]
    if of_torch and request.origin.source is None:
        raise SourceError(
            f"the peer '{of_torch[0]}' runs the PyTorch model itself, which the bundle does not hold. Name it: "
            "--source model.py:build --checkpoint weights.pt, or leave the peer out."
        )


def precisions(request: Request, bundle: Bundle, mode: str) -> tuple[str, ...]:
    """The precisions to be measured in a mode.

    Raises:
        VariantError: the bundle has none in this mode.
    """
    if request.precisions:
        return request.precisions
    found = tuple(dict.fromkeys(one.precision for one in bundle.manifest.variants if one.mode == mode))
    if not found:
        there = _listing(one.key for one in bundle.manifest.variants)
        raise VariantError(f"bundle '{bundle.path}' has no variant of the mode '{mode}'; it has {there}.")
    return found


def _check_providers(names: Iterable[str]) -> None:
    for name in names:
        check_name(name)
        if name == AUTO:
            raise ProviderError(f"a benchmark must know what it measures. Name the providers: {_listing(PROVIDERS)}.")
        found = obstacle(import_ort(), name)
        if found is not None:
            raise ProviderError(
                f"provider '{name}' is not usable here: {found.why}. {found.mend}, or leave it out of --provider."
            )


def batches_of(request: Request, signature: Signature) -> tuple[int, ...]:
    """The sizes of the batch that are measured: those asked for, else one row, or the model's own fixed batch."""
    if request.batches:
        return request.batches
    return _admitted((1,), signature.range(BATCH)) if BATCH in signature.dynamic_axes else (_fixed_batch(signature),)


def times_of(request: Request, signature: Signature) -> tuple[int, ...]:
    """The numbers of steps that are measured: those asked for, else 1 and 100; 1 where nothing goes through time."""
    if request.times:
        return request.times
    axes = _timed(request, signature)
    return _admitted((1, 100), signature.range(signature.time_axis or axes[0])) if axes else (1,)


def _timed(request: Request, signature: Signature) -> list[str]:
    """The axes that are as long as the time asked for: all that are neither the batch nor named by themselves."""
    return [axis for axis in signature.dynamic_axes if axis != BATCH and axis not in request.sizes]


def _fixed_batch(signature: Signature) -> int:
    first = next((spec.axes[0] for spec in signature.inputs if spec.axes), 1)
    return first if isinstance(first, int) else 1


def _admitted(wanted: tuple[int, ...], allowed: AxisRange) -> tuple[int, ...]:
    """Default sizes, moved to what the axis may have."""
    sizes = (nearest(size, allowed) for size in wanted)
    return tuple(dict.fromkeys(sizes))


def _check_sizes(request: Request, signature: Signature) -> None:
    time, axes = signature.time_axis, signature.dynamic_axes
    if BATCH not in axes and request.batches not in {(), (_fixed_batch(signature),)}:
        raise InputError(
            f"--batch is {_listing(request.batches)}, but the bundle's batch is not dynamic: its dynamic axes are "
            f"{_listing(axes)}. Leave it out."
        )
    if request.times and not _timed(request, signature):
        raise InputError(
            f"--time is {_listing(request.times)}, but no axis goes through time: the dynamic axes are "
            f"{_listing(axes)}. Leave it out."
        )
    for axis, numbers in ((BATCH, request.batches), (time, request.times)):
        for number in numbers if axis in axes else ():
            if not signature.range(str(axis)).admits(number):
                raise InputError(f"{axis} {number} is not within what the bundle takes: {signature.range(str(axis))}.")
    for axis, size in request.sizes.items():
        others = [one for one in signature.dynamic_axes if one not in {BATCH, time}]
        if axis not in others:
            raise InputError(
                f"--size names the axis '{axis}'; other dynamic axes than batch and time are {_listing(others)}."
            )
        if not signature.range(axis).admits(size):
            raise InputError(f"--size {axis}={size} is not within what the bundle takes: {signature.range(axis)}.")


def _listing(names: Iterable[object]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"
