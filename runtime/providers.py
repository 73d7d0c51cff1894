"""Execution providers: what is asked for, what is there, what is really used, and why not.

ONNX Runtime lists providers that it cannot load and answers a request for one of them with a session on the CPU,
without an error. So every provider passes three gates here: this ONNX Runtime was built with it, the libraries that it
needs load, and the session that comes back says that it has it.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ProviderError
from .choice import AUTO, Obstacle, ProviderChoice
from .libraries import missing_libraries
from .openvino_session import is_openvino, open_openvino, openvino_obstacle
from .ort import clash, distributions, quiet
from .plugins import is_plugin, open_plugin, plugin_devices

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .ort import Ort, OrtOptions, OrtSession

#: ONNX Runtime's own providers as a user names them, and as it does. Beside them there are OpenVINO
#: (:mod:`.openvino_session`) and plug-ins (:mod:`.plugins`).
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}

#: What ``auto`` tries, in this order. TensorRT is used only when named: it builds an engine first, for minutes.
AUTO_ORDER = ("cuda", "cpu")

#: Where a provider lives that is not part of ONNX Runtime's main library: its file beside the Python extension.
_LIBRARIES = {
    "cuda": "libonnxruntime_providers_cuda.so",
    "tensorrt": "libonnxruntime_providers_tensorrt.so",
}

#: What a provider leaves to another: TensorRT's parser does not take every operator, CUDA takes most of the rest.
_COMPANIONS = {"tensorrt": ("CUDAExecutionProvider",)}

_REAL_CPU = "or pass --provider cpu"


def check_name(provider: str) -> str:
    """The provider's name, after it was found to be one.

    Raises:
        ProviderError: it is neither ``auto`` nor one of :data:`PROVIDERS`, OpenVINO or a plug-in.
    """
    # A caller may pass anything.
    told = str(provider)
    known = provider in {AUTO, *PROVIDERS} or is_openvino(told) or is_plugin(told)
    if not known:
        allowed = ", ".join(f"'{name}'" for name in (AUTO, *PROVIDERS, "openvino"))
        raise ProviderError(
            f"provider {provider!r} is not known. Allowed are {allowed}, and 'plugin:LIBRARY' or 'plugin:PACKAGE' for "
            "a plug-in of ONNX Runtime."
        )
    return provider


def open_session(
    ort: Ort,
    model: str | bytes,
    *,
    provider: str,
    options: OrtOptions,
    provider_options: Mapping[str, Any] | None = None,
) -> tuple[OrtSession, ProviderChoice]:
    """A session of ONNX Runtime on the provider asked for, or on the first of :data:`AUTO_ORDER` that is usable.

    Args:
        ort: the module ``onnxruntime``.
        model: path of an ONNX file, or its content.
        provider: a name that :func:`check_name` takes.
        options: ONNX Runtime's session options.
        provider_options: ONNX Runtime's options for the named provider.

    Raises:
        ProviderError: the provider is not known, or cannot really be used here.
        Exception: ONNX Runtime's own, where the model does not load on the CPU.
    """
    check_name(provider)
    given = dict(provider_options or {})
    if provider != AUTO:
        found = attempt(ort, model, provider, options, given)
        if isinstance(found, Obstacle):
            raise _refusal(provider, found)
        return found, ProviderChoice(name=provider, requested=provider)
    if given:
        raise ProviderError(
            f"provider_options {sorted(given)} are for one provider, and 'auto' may pick another. Name the provider."
        )
    reasons: dict[str, str] = {}
    for name in AUTO_ORDER:
        found = attempt(ort, model, name, options, given)
        if not isinstance(found, Obstacle):
            return found, ProviderChoice(name=name, requested=AUTO, reasons=reasons)
        reasons[name] = found.why
    why = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    raise ProviderError(f"no provider is usable here: {why}. Run 'rnnx doctor'.")


def check_usable(ort: Ort, provider: str) -> None:
    """Refuse a named provider that :func:`obstacle` speaks against.

    Raises:
        ProviderError: it does.
    """
    found = obstacle(ort, provider)
    if found is not None:
        raise _refusal(provider, found)


def _refusal(provider: str, found: Obstacle) -> ProviderError:
    return ProviderError(f"provider '{provider}' is not usable here: {found.why}. {found.mend}, {_REAL_CPU}.")


def obstacle(ort: Ort, provider: str) -> Obstacle | None:
    """What can be told without a session of why this provider is not usable here; None where nothing speaks against.

    This loads the provider's libraries.
    """
    if is_openvino(provider):
        return openvino_obstacle(provider)
    if is_plugin(provider):
        devices = plugin_devices(ort, provider)
        return devices if isinstance(devices, Obstacle) else None
    return _own_obstacle(ort, provider)


def _own_obstacle(ort: Ort, provider: str) -> Obstacle | None:
    """As :func:`obstacle`, for one of :data:`PROVIDERS`."""
    if PROVIDERS[provider] not in ort.get_available_providers():
        both = clash()
        if both:
            why, command = both.split(". Run: ", 1)
            return Obstacle(why=why, mend=f"Run: {command}", command=command)
        installed = distributions()
        brought = (
            ", ".join(f"{name} {version}" for name, version in installed.items()) or f"onnxruntime {ort.__version__}"
        )
        # Installing one beside the other would destroy both.
        command = f"pip uninstall -y {' '.join(installed) or 'onnxruntime'} && pip install 'rnnx[gpu]'"
        return Obstacle(why=f"{brought} is built without it", mend=f"Run: {command}", command=command)
    library = _library(ort, provider)
    if library is None:
        return None
    _preload(ort)
    missing = missing_libraries(library)
    if not missing:
        return None
    verb = "is" if len(missing) == 1 else "are"
    mend, command = _mend(missing)
    return Obstacle(why=f"{_listing(missing)} {verb} missing", mend=mend, command=command, missing=missing)


def attempt(
    ort: Ort, model: str | bytes, provider: str, options: OrtOptions, given: Mapping[str, Any]
) -> OrtSession | Obstacle:
    """A session that really uses this one provider, or why there is none.

    Raises:
        ProviderError: OpenVINO has no such option.
        Exception: ONNX Runtime's own, where the model does not load on the CPU; OpenVINO's own.
    """
    if is_openvino(provider):
        return open_openvino(model, provider, options, given)
    if is_plugin(provider):
        return open_plugin(ort, model, provider, options, given)
    return _attempt_own(ort, model, provider, options, given)


def _attempt_own(
    ort: Ort, model: str | bytes, provider: str, options: OrtOptions, given: Mapping[str, Any]
) -> OrtSession | Obstacle:
    """As :func:`attempt`, for one of :data:`PROVIDERS`."""
    found = _own_obstacle(ort, provider)
    if found is not None:
        return found
    wanted = PROVIDERS[provider]
    if provider == "cpu":
        return _create(ort, model, (wanted,), options, given)
    with quiet(ort):
        try:
            session = _create(ort, model, (wanted, *_COMPANIONS.get(provider, ())), options, given)
        except Exception as error:  # noqa: BLE001  (whatever it is, it is why the provider is not usable)
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            return Obstacle(
                why=f"ONNX Runtime could not start it ({first})", mend="Run 'rnnx doctor'", command="nvidia-smi"
            )
    used = session.get_providers()
    if wanted not in used:
        # ONNX Runtime fell back without an error; never run on something else than was asked.
        return Obstacle(
            why=f"ONNX Runtime gave a session on {', '.join(used)} instead",
            mend="Check the GPU and its driver with 'nvidia-smi' and 'rnnx doctor'",
            command="nvidia-smi",
        )
    return session


def _create(
    ort: Ort, model: str | bytes, wanted: tuple[str, ...], options: OrtOptions, given: Mapping[str, Any]
) -> OrtSession:
    # What is left to a companion must stay on the same device.
    beside = {name: value for name, value in given.items() if name == "device_id"}
    each: list[Mapping[str, Any]] = [given, *(beside for _ in wanted[1:])]
    session = ort.InferenceSession(model, options, providers=wanted, provider_options=each, enable_fallback=0)
    # With fallback on, a failure on the GPU in the middle of a run would print to stdout and go on, on the CPU.
    session.disable_fallback()
    return session


def _preload(ort: Ort) -> None:
    """Load CUDA and cuDNN from the pip packages that ``rnnx[gpu]`` brings, where the loader alone does not look."""
    preload = getattr(ort, "preload_dlls", None)
    if preload is not None:
        # It prints what it does not find, which missing_libraries says better.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
            preload()


def _library(ort: Ort, provider: str) -> Path | None:
    """The provider's own library, or None where it is part of the main one."""
    name = _LIBRARIES.get(provider)
    if name is None or not ort.__file__:
        return None
    path = Path(ort.__file__).parent / "capi" / name
    return path if path.is_file() else None


def _mend(missing: Iterable[str]) -> tuple[str, str]:
    """What brings these libraries: as a sentence, and with the commands spelled out."""
    by_prefix = {"libcuda.": "driver", "libnvinfer": "tensorrt", "libnvonnxparser": "tensorrt"}
    found = {next((by for prefix, by in by_prefix.items() if name.startswith(prefix)), "pip") for name in missing}
    steps = {
        "pip": ("install rnnx[gpu]", "pip install 'rnnx[gpu]'"),
        "tensorrt": ("install TensorRT 10 where the loader finds it",) * 2,
        # The driver belongs to the system: no package of Python brings it.
        "driver": ("install the NVIDIA driver",) * 2,
    }
    sentence, command = (" and ".join(step[form] for by, step in steps.items() if by in found) for form in (0, 1))
    return sentence[0].upper() + sentence[1:], command


def _listing(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
