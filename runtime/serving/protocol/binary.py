"""Bodies of ``POST v2/models/NAME/infer``: JSON alone, JSON with bytes behind it, or the bytes of one tensor.

Source: the protocol's extension for binary data. The header ``Inference-Header-Content-Length`` tells them apart: how
long the JSON is; missing, the whole body is JSON; 0, the whole body is the one input of the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ....errors import RequestError
from ....signature import BATCH
from .json_form import parse_json
from .limits import check_shape, check_size, check_text, shown
from .request import InferRequest
from .tensors import from_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from ....signature import TensorSpec
    from .limits import Limits

#: Name of the header that says how long the JSON at the head of a body is.
HEADER_LENGTH = "Inference-Header-Content-Length"


def parse_body(
    body: bytes,
    header_length: str | None,
    *,
    model: str,
    version: str = "",
    limits: Limits,
    raw_input: Callable[[], TensorSpec],
) -> InferRequest:
    """The request that a body holds.

    Args:
        body: the body, decompressed.
        header_length: what the header Inference-Header-Content-Length says, or None where there is none.
        model: name of the model, from the path.
        version: its version, from the path, or empty.
        limits: what is allowed.
        raw_input: gives the one input that a raw body is of; it is called for raw bodies only, and raises where the
            model needs more inputs than one.

    Raises:
        RequestError: it is not of the protocol's form, or sizes and tensors do not agree.
        RequestTooLargeError: there is more of something than is allowed.
        FeatureError: it asks for a part of the protocol that is not offered.
    """
    check_size("the body", len(body), limits.body_bytes)
    whole = memoryview(body)
    if header_length is None:
        return parse_json(body, whole[:0], model=model, version=version, limits=limits)
    length = _length(header_length)
    if length > len(body):
        raise RequestError(f"the header {HEADER_LENGTH} says {shown(length)} bytes; the body has {len(body)}.")
    if length == 0:
        return parse_raw(body, raw_input(), model=model, version=version, limits=limits)
    return parse_json(whole[:length], whole[length:], model=model, version=version, limits=limits)


def parse_raw(body: bytes, spec: TensorSpec, *, model: str, version: str = "", limits: Limits) -> InferRequest:
    """The request whose body is one tensor; its outputs come as bytes.

    The shape follows from the number of bytes, so that at most one axis can be left open. Where the input has a
    dynamic axis beside its batch, the batch is one row, and the other axis is as long as the bytes are; else the batch
    follows from the bytes.

    Args:
        body: the tensor's bytes, little-endian and row-major.
        spec: the input that it is.
        model: name of the model.
        version: its version, or empty.
        limits: what is allowed.

    Raises:
        RequestError: more than one axis is open, or the bytes are no whole number of steps along it.
        RequestTooLargeError: there are more elements than are allowed.
    """
    what = f"input '{spec.name}'"
    dtype = np.dtype(spec.dtype)
    dynamic = set(spec.dynamic_axes)
    open_axes = dynamic - {BATCH} or dynamic
    if len(open_axes) > 1:
        raise RequestError(
            f"the shape of {what} cannot be told from a raw body: its axes {sorted(open_axes)} may be of any size. "
            "Send JSON with its 'shape', and the tensor in it or as bytes behind it."
        )
    fixed = [1 if isinstance(axis, str) else axis for axis in spec.axes]
    step = int(np.prod(fixed, dtype=object)) * dtype.itemsize
    steps, rest = divmod(len(body), step)
    if rest or (not open_axes and steps != 1):
        asked = f"a multiple of {step}" if open_axes else f"{step}"
        raise RequestError(f"{what}, '{spec}', takes {asked} bytes in a raw body; found {len(body)}.")
    shape, count = check_shape(
        what, [steps if axis in open_axes else one for axis, one in zip(spec.axes, fixed, strict=True)], limits
    )
    return InferRequest(
        model=check_text("the model's name", model, limits.name_length),
        version=check_text("the model's version", version, limits.name_length, empty=True),
        inputs={spec.name: from_bytes(what, body, dtype, shape, count)},
        binary=True,
    )


def _length(header: str) -> int:
    # int() takes '+1', '1_0', ' 1' and digits of other scripts, and a proxy may read those otherwise.
    if not (header.isascii() and header.isdigit()) or len(header) > 20:
        raise RequestError(f"the header {HEADER_LENGTH} must be a number of bytes; found {shown(header)}.")
    return int(header)
