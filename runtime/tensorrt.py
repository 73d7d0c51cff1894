"""TensorRT's options: a profile of the shapes that its engine is built for, and a folder where engines are kept.

An engine holds for one graph, one GPU, one version of TensorRT and one profile. ONNX Runtime finds it again by a hash
of the graph's name and inputs, which two models may share; so each combination has a folder of its own here, named by a
hash of all that an engine depends on. A stale engine cannot be found.

The options are those of ONNX Runtime's documentation of its TensorRT execution provider ("Explicit shape range for
dynamic shape input", "TensorRT EP Caches").
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ProviderError
from .machine import nvidia_gpus, versions
from .sizes import plan_sizes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..bundle import Bundle
    from ..manifest import Variant
    from ..signature import Signature
    from .sizes import Sizes

#: The provider's name.
TENSORRT = "tensorrt"

#: By the end of the range that they tell.
PROFILE_OPTIONS = {
    "minimum": "trt_profile_min_shapes",
    "optimum": "trt_profile_opt_shapes",
    "maximum": "trt_profile_max_shapes",
}
_CACHE_PATHS = ("trt_engine_cache_path", "trt_timing_cache_path")
_LIBRARIES = ("libnvinfer.so.10", "libnvinfer.so.11", "nvinfer_10.dll")
_DISTRIBUTIONS = ("tensorrt", "tensorrt-cu12", "tensorrt-cu13", "tensorrt-cu12-libs", "tensorrt-cu13-libs")


def plan_profiles(signature: Signature, ranges: Mapping[str, Any]) -> dict[str, str]:
    """The options that tell TensorRT the shapes of every dynamic input, lengths and states included.

    Args:
        signature: of the variant.
        ranges: by axis, ``(smallest, usual, largest)`` or one size; an axis may be left out where the signature
            declares a largest size.

    Returns:
        ``trt_profile_min_shapes``, ``trt_profile_opt_shapes`` and ``trt_profile_max_shapes``, in the form
        ``features:1x1x40,lengths:1``; nothing where no input is dynamic.

    Raises:
        InputError: as :func:`rnnx.runtime.sizes.plan_sizes`.
    """
    return profile_options(signature, plan_sizes(signature, ranges))


def profile_options(signature: Signature, sizes: Mapping[str, Sizes]) -> dict[str, str]:
    """As :func:`plan_profiles`, from the sizes of every dynamic axis."""
    dynamic = [spec for spec in signature.inputs if spec.dynamic_axes]
    if not dynamic:
        return {}
    options = {}
    for end, option in PROFILE_OPTIONS.items():
        size = {axis: getattr(one, end) for axis, one in sizes.items()}
        shapes = [(one.name, [axis if isinstance(axis, int) else size[axis] for axis in one.axes]) for one in dynamic]
        options[option] = ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in shapes)
    return options


def cache_root() -> Path:
    """Where the user's caches lie: ``$XDG_CACHE_HOME/rnnx``, or ``~/.cache/rnnx`` (XDG Base Directory 0.8)."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    # The specification has relative paths ignored.
    return (Path(given) if Path(given).is_absolute() else Path.home() / ".cache") / "rnnx"


def engine_key(
    *,
    bundle_sha256: str,
    variant: str,
    options: Mapping[str, str],
    software: Mapping[str, str],
    gpus: tuple[str, ...],
) -> dict[str, Any]:
    """All that an engine depends on.

    Args:
        bundle_sha256: of the bundle.
        variant: the variant's key.
        options: of the provider: the profile, the device, and what else was given.
        software: versions of ONNX Runtime and TensorRT.
        gpus: name, compute capability and driver of every GPU: ``device_id`` among the options picks one.
    """
    return {
        "bundle": bundle_sha256,
        "variant": variant,
        "options": dict(sorted(options.items())),
        "software": dict(sorted(software.items())),
        "gpus": list(gpus),
    }


def engine_folder(root: Path, key: Mapping[str, Any]) -> Path:
    """The folder for the engines of one key; nothing is made."""
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return root / "tensorrt" / digest[:32]


def engine_options(
    *,
    ort_version: str,
    bundle: Bundle,
    variant: Variant,
    options: Mapping[str, Any],
    root: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """Options that keep engines and timings in a folder of their own, which is made, with the key beside them.

    Args:
        ort_version: of ONNX Runtime.
        bundle: the bundle.
        variant: the variant.
        options: of the provider as far as they are known; what they say of caches stays.
        root: the folder for all engines; None for the user's own cache.

    Raises:
        ProviderError: the folder cannot be made.
    """
    if "trt_engine_cache_path" in options:
        return dict(options)
    told = {name: str(value) for name, value in options.items() if name not in _CACHE_PATHS}
    key = engine_key(
        bundle_sha256=bundle.sha256,
        variant=variant.key,
        options=told,
        software={"onnxruntime": ort_version, **tensorrt_version()},
        gpus=nvidia_gpus(),
    )
    folder = engine_folder(cache_root() if root is None else Path(root), key)
    try:
        # An engine is code that will be run: nobody else may write here.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "key.json").write_text(json.dumps(key, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise ProviderError(
            f"TensorRT's engines cannot be kept in '{folder}': {error.strerror or error}. Name another folder: "
            "engine_cache=..., or --engine-cache."
        ) from error
    return {
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(folder),
        **options,
    }


def tensorrt_version() -> dict[str, str]:
    """The version of TensorRT's own library, which also tells of one that no package brought; empty if not known."""
    for name in _LIBRARIES:
        try:
            library = ctypes.CDLL(name)
            number = library.getInferLibVersion()
        except (OSError, AttributeError):
            continue
        return {"tensorrt": str(number)}
    return versions(_DISTRIBUTIONS)
