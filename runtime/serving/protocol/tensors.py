"""One tensor: from its bytes, from its JSON, and back."""

from __future__ import annotations

import contextlib
import sys
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from ....errors import RequestError
from .datatypes import datatype_of
from .limits import shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NUMBERS = {int, float}


def from_bytes(
    what: str, data: bytes | memoryview, dtype: np.dtype[np.generic], shape: tuple[int, ...], count: int
) -> NDArray[np.generic]:
    """The tensor that bytes hold: little-endian, row-major. Not copied where they lie aligned, and then read-only.

    Args:
        what: the tensor, as a message names it.
        data: its bytes.
        dtype: its dtype.
        shape: its shape.
        count: how many elements it has.

    Raises:
        RequestError: there are more or fewer bytes, or a BOOL is neither 0 nor 1.
    """
    expected = count * dtype.itemsize
    if len(data) != expected:
        raise RequestError(
            f"{what} of datatype {datatype_of(dtype)} and shape {list(shape)} takes {expected} bytes; "
            f"found {len(data)}."
        )
    if dtype.kind == "b" and count and int(np.frombuffer(data, np.uint8).max()) > 1:
        raise RequestError(f"{what} of datatype BOOL has bytes other than 0 and 1.")
    values = np.frombuffer(data, dtype).reshape(shape)
    # The bytes of a tensor begin wherever the JSON before it ends. Kernels load whole vectors.
    return values if values.flags.aligned else values.copy()


def from_json(
    what: str,
    data: Any,  # noqa: ANN401  (any JSON)
    dtype: np.dtype[np.generic],
    shape: tuple[int, ...],
    count: int,
) -> NDArray[np.generic]:
    """The tensor that a JSON array holds: flat, or nested as the shape says; in both row-major.

    Floating point takes numbers of both kinds, ``NaN`` and ``Infinity``; integers take whole numbers in their range,
    written without a point; BOOL takes ``true`` and ``false``.

    Raises:
        RequestError: it is not such an array.
    """
    if not isinstance(data, list):
        raise RequestError(f"the data of {what} must be an array; found {shown(data)}.")
    flat = _flat(what, data, shape, count)
    kinds = set(map(type, flat))
    if not kinds <= ({bool} if dtype.kind == "b" else _NUMBERS if dtype.kind == "f" else {int}):
        raise _wrong_element(what, flat, dtype)
    if dtype.kind == "b":
        return np.array(flat, np.bool_).reshape(shape)
    return (_floats if dtype.kind == "f" else _integers)(what, flat, dtype).reshape(shape)


def to_bytes(values: NDArray[np.generic]) -> bytes:
    """A tensor's bytes, little-endian and row-major."""
    if values.dtype.byteorder == ">" or (values.dtype.byteorder == "=" and sys.byteorder == "big"):
        values = values.astype(values.dtype.newbyteorder("<"))
    return values.tobytes()


def _flat(what: str, data: list[Any], shape: tuple[int, ...], count: int) -> list[Any]:
    """The elements of an array that is flat or nested as ``shape`` says."""
    if not any(isinstance(one, list) for one in data[:1]) or len(shape) < 2:
        if len(data) != count:
            raise RequestError(
                f"the data of {what} of shape {list(shape)} must have {count} elements; found {len(data)}."
            )
        return data
    level: list[Any] = [data]
    for axis, size in enumerate(shape):
        lengths = {len(one) if type(one) is list else -1 for one in level}
        if lengths - {size}:
            found = min(lengths - {size})
            raise RequestError(
                f"the data of {what} is nested otherwise than its shape {list(shape)}: axis {axis} has {size} "
                f"elements; found {found if found >= 0 else 'a value'}. Nest it as the shape says, or send it flat."
            )
        level = list(chain.from_iterable(level))
    return level


def _wrong_element(what: str, flat: list[Any], dtype: np.dtype[np.generic]) -> RequestError:
    allowed = {"b": (bool,), "f": (int, float)}.get(dtype.kind, (int,))
    index, value = next((i, one) for i, one in enumerate(flat) if type(one) not in allowed)
    words = {"b": "true or false", "f": "numbers"}.get(dtype.kind, "whole numbers, without a point")
    return RequestError(
        f"the data of {what} of datatype {datatype_of(dtype)} must be {words}; found {shown(value)} at element {index}."
    )


def _floats(what: str, flat: list[Any], dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    try:
        exact = np.array(flat, np.float64)
    except OverflowError:
        raise RequestError(f"the data of {what} has a number that is out of the range of FP64.") from None
    if dtype == exact.dtype:
        return exact
    with np.errstate(over="ignore", under="ignore"):
        values: NDArray[np.generic] = exact.astype(dtype)
    beyond = np.isinf(values) & np.isfinite(exact)
    if beyond.any():
        raise _out_of_range(what, float(exact[beyond][0]), dtype)
    return values


def _integers(what: str, flat: list[Any], dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    allowed = np.iinfo(dtype)  # type: ignore[type-var]
    if not flat:
        return np.empty(0, dtype)
    exact = None
    if dtype.str != "<u8":
        with contextlib.suppress(OverflowError):  # then Python tells which element it is
            exact = np.array(flat, np.int64)
    # Not left to NumPy: its older versions wrap a number that does not fit.
    for extreme in (min(flat), max(flat)) if exact is None else (int(exact.min()), int(exact.max())):
        if not allowed.min <= extreme <= allowed.max:
            raise _out_of_range(what, extreme, dtype)
    return np.array(flat if exact is None else exact, dtype)


def _out_of_range(what: str, value: float, dtype: np.dtype[np.generic]) -> RequestError:
    info = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)  # type: ignore[type-var]
    return RequestError(
        f"the data of {what} has {shown(value)}, which is out of the range of {datatype_of(dtype)}: "
        f"{info.min} to {info.max}."
    )
