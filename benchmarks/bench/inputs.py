"""Inputs of a benchmark: random ones from the signature, or real ones cut and repeated to the size asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from ...runtime.inputs import Feeder
from ...signature import BATCH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ...bundle import Bundle
    from ...manifest import Variant
    from ...signature import AxisRange, Signature, TensorSpec


def axis_sizes(signature: Signature, *, batch: int, time: int, others: Mapping[str, int]) -> dict[str, int]:
    """The size of every dynamic axis; one that is neither batch nor time and has none given is as long as time."""
    sizes = {}
    for axis in signature.dynamic_axes:
        if axis == BATCH:
            sizes[axis] = batch
        elif axis in others:
            sizes[axis] = others[axis]
        else:
            # Only an axis that nobody named is moved to what it may be: batch and time were checked.
            sizes[axis] = nearest(time, signature.range(axis))
    return sizes


def misfit(bundle: Bundle, variant: Variant, sizes: Mapping[str, int]) -> str:
    """Which sizes a variant takes where these are others: a form may be made for fewer than the bundle; else empty."""
    signature = variant.signature or bundle.manifest.signature
    allowed = (signature.range(axis) for axis in signature.dynamic_axes if axis in sizes)
    wrong = next((one for one in allowed if not one.admits(sizes[one.name])), None)
    return "" if wrong is None else f"its graph takes {wrong}, not {sizes[wrong.name]}"


def nearest(size: int, allowed: AxisRange) -> int:
    """The size nearest to this one that an axis may have."""
    size = max(size, allowed.minimum)
    size += -size % allowed.multiple_of
    return size if allowed.maximum is None else min(size, allowed.maximum - allowed.maximum % allowed.multiple_of)


def make_inputs(
    signature: Signature, sizes: Mapping[str, int], *, seed: int, data: Mapping[str, NDArray[Any]] | None = None
) -> dict[str, NDArray[Any]]:
    """Every input but states, which begin as the model begins them.

    Args:
        signature: of the bundle.
        sizes: of every dynamic axis.
        seed: of random values: standard normal floats, integers of their declared range.
        data: real arrays by name. Rows and steps are cut, or repeated from the beginning, to the sizes.

    Returns:
        Arrays by name in the declared dtypes and shapes. Lengths are full where the data tells none.
    """
    given = data or {}
    found: dict[str, NDArray[Any]] = {}
    lengths = {one.name: one.axis for one in signature.lengths}
    for number, spec in enumerate(signature.inputs):
        shape = tuple(sizes[axis] if isinstance(axis, str) else axis for axis in spec.axes)
        if spec.name in given:
            found[spec.name] = _fitted(given[spec.name], shape)
            if spec.name in lengths:
                found[spec.name] = np.minimum(found[spec.name], sizes[lengths[spec.name]]).astype(spec.dtype)
        elif spec.name in lengths:
            found[spec.name] = np.full(shape, sizes[lengths[spec.name]], spec.dtype)
        elif spec.name not in signature.state_names:
            found[spec.name] = _random(spec, shape, np.random.default_rng([seed, number]))
    return found


def whole_feed(bundle: Bundle, variant: Variant, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Every input of a variant's graph: these, and states as they begin.

    For engines that know nothing of bundles. Inputs that the variant has not (lengths, in streaming mode) are left out.
    """
    signature = variant.signature or bundle.manifest.signature
    names = {spec.name for spec in signature.inputs}
    feed = {name: array for name, array in inputs.items() if name in names}
    learned = bundle.initial_states() if any(one.initial == "stored" for one in signature.states) else {}
    batch = next((array.shape[0] for array in feed.values() if array.ndim), 1)
    feed |= {name: np.repeat(row, batch, axis=0) for name, row in learned.items() if name in names - feed.keys()}
    return Feeder(signature).feed(feed)


def check_data(signature: Signature, data: Mapping[str, NDArray[Any]]) -> None:
    """Hold given arrays against the signature.

    Raises:
        InputError: a name, a dtype or a shape is not the model's, or an array is empty.
    """
    specs = {spec.name: spec for spec in signature.inputs}
    for name, array in data.items():
        if name not in specs:
            allowed = ", ".join(f"'{one}'" for one in specs)
            raise InputError(f"the data holds '{name}', which is no input. The model takes {allowed}.")
        spec = specs[name]
        fits = array.ndim == len(spec.axes) and all(
            isinstance(axis, str) or axis == size for axis, size in zip(spec.axes, array.shape, strict=True)
        )
        if array.dtype != spec.dtype or not fits or not array.size:
            raise InputError(f"the data's '{name}' is {array.dtype}{list(array.shape)}; it must be {spec}.")


def _fitted(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    for axis, size in enumerate(shape):
        if array.shape[axis] != size:
            array = array.take(np.arange(size) % array.shape[axis], axis)
    return np.ascontiguousarray(array) if array.ndim else array


def _random(spec: TensorSpec, shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[Any]:
    if spec.dtype.startswith("float"):
        return np.asarray(generator.standard_normal(shape)).astype(spec.dtype)
    if spec.dtype == "bool":
        return np.asarray(generator.integers(0, 2, shape)).astype(np.bool_)
    low = spec.minimum or 0
    # Without a declared range two values are all that any integer input can be trusted to take.
    high = spec.bound if spec.bound is not None else low + 2
    return np.asarray(generator.integers(low, high, shape)).astype(spec.dtype)
