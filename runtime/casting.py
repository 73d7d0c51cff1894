"""Floats of one width for another: a variant with a float16 face, run with a bundle's float32 arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from ..signature import Signature, TensorSpec


def cast_inputs(signature: Signature, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Arrays by name in the float types that a signature's inputs have; whole numbers and other names stay."""
    return _cast(signature.inputs, arrays)


def cast_outputs(signature: Signature, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Arrays by name in the float types that a signature's outputs have; whole numbers and other names stay."""
    return _cast(signature.outputs, arrays)


def _cast(specs: Iterable[TensorSpec], arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    wanted = {one.name: np.dtype(one.dtype) for one in specs}
    return {
        name: array.astype(wanted[name], copy=False)
        if name in wanted and {array.dtype.kind, wanted[name].kind} == {"f"}
        else array
        for name, array in arrays.items()
    }
