"""From named arrays to the arguments of ``forward``, and example inputs to trace with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ..errors import SignatureError
from ..signature import BATCH, TIME, AxisRange, Signature, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

# torch.export treats sizes 0 and 1 as special, and two axes of one size as perhaps the same: every axis of the
# example has a size of its own, prime, and none that the parity matrix uses.
_BATCH_SIZE = 3
_TIME_SIZE = 11
_OTHER_SIZES = (13, 17, 19, 23, 29, 31, 37, 41)


def bind(signature: Signature, values: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments of ``forward`` that hold these values, by input name.

    Absent values are left out, so that ``forward`` uses its own defaults. ``hx.0`` and ``hx.1`` become the tuple
    ``hx``; ``batch.features`` becomes an entry of the dict ``batch``.

    Raises:
        SignatureError: nested arguments leave a gap.
    """
    tree: dict[str, Any] = {}
    for spec in signature.inputs:
        if spec.name not in values:
            continue
        *path, last = spec.argument.split(".")
        node = tree
        for key in path:
            node = node.setdefault(key, {})
        node[last] = values[spec.name]
    return {name: _tuples(name, value) for name, value in tree.items()}


def _tuples(name: str, value: Any) -> Any:  # noqa: ANN401
    """Levels whose keys are numbers become tuples."""
    if not isinstance(value, dict):
        return value
    if not all(key.isdecimal() for key in value):
        return {key: _tuples(f"{name}.{key}", one) for key, one in value.items()}
    if sorted(map(int, value)) != list(range(len(value))):
        raise SignatureError(
            f"the nested argument '{name}' has the entries {', '.join(value)}; declare '{name}.0' up to the last."
        )
    return tuple(_tuples(f"{name}.{index}", value[str(index)]) for index in range(len(value)))


def example_inputs(signature: Signature, wanted: Mapping[str, int]) -> tuple[dict[str, int], dict[str, Tensor]]:
    """Sizes for every dynamic axis, and inputs of those sizes: seeded noise, whole lengths, ids within range.

    Raises:
        SignatureError: ``wanted`` names an axis that is not there, or a size that its range does not admit.
    """
    for axis, size in wanted.items():
        if axis not in signature.dynamic_axes:
            there = ", ".join(f"'{one}'" for one in signature.dynamic_axes)
            raise SignatureError(f"the example gives a size for the axis '{axis}'; the dynamic axes are {there}.")
        if not signature.range(axis).admits(size):
            raise SignatureError(f"the example's size {size} for '{axis}' is not within {signature.range(axis)}.")
    others = iter(_OTHER_SIZES)
    sizes = {
        axis: wanted.get(axis)
        or _fit(_BATCH_SIZE if axis == BATCH else _TIME_SIZE if axis == TIME else next(others), signature.range(axis))
        for axis in signature.dynamic_axes
    }
    generator = torch.Generator().manual_seed(0)
    inputs: dict[str, Tensor] = {}
    for spec in signature.inputs:
        measured = next((one.axis for one in signature.lengths if one.name == spec.name), None)
        if measured is None:
            inputs[spec.name] = random_tensor(spec, sizes, generator)
        else:
            shape = [sizes[axis] if isinstance(axis, str) else axis for axis in spec.axes]
            inputs[spec.name] = torch.full(shape, sizes[measured], dtype=dtype_of(spec))
    return sizes, inputs


def random_tensor(spec: TensorSpec, sizes: Mapping[str, int], generator: torch.Generator) -> Tensor:
    """Values that this input may have: standard normal floats, integers of its range, random booleans."""
    shape = [sizes[axis] if isinstance(axis, str) else axis for axis in spec.axes]
    dtype = dtype_of(spec)
    if dtype.is_floating_point:
        return torch.randn(shape, generator=generator).to(dtype)
    if dtype is torch.bool:
        return torch.randint(0, 2, shape, generator=generator).bool()
    low = spec.minimum if spec.minimum is not None else 0
    # Without a declared range two values are all that any integer input can be trusted to take.
    high = spec.bound if spec.bound is not None else low + 2
    return torch.randint(low, high, shape, generator=generator).to(dtype)


def dtype_of(spec: TensorSpec) -> torch.dtype:
    """The input's dtype in torch."""
    dtype = getattr(torch, spec.dtype)
    assert isinstance(dtype, torch.dtype)
    return dtype


def _fit(size: int, allowed: AxisRange) -> int:
    """The size nearest to this one that the axis may have."""
    step = allowed.multiple_of
    size = max(size, allowed.minimum)
    if allowed.maximum is not None:
        size = min(size, allowed.maximum)
    return max(size - size % step, step)
