"""A small request that a model answers: what the status page offers to try."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ....signature import BATCH
from ..describing import shows_states, variant_of
from ..protocol.datatypes import datatype_of
from ..protocol.metadata import faces, optional_inputs

if TYPE_CHECKING:
    from ....signature import Signature, TensorSpec
    from ..repository import Face

#: Frames of an example, where the model takes as few.
_FRAMES = 3
#: Larger examples would be no pleasure to read.
_ELEMENTS = 2048


def example_of(face: Face) -> dict[str, Any] | None:
    """The JSON body of a request that a model answers; None where the smallest one is too large to show.

    Args:
        face: the model.
    """
    session = variant_of(face).session
    signature, states = session.signature, shows_states(face)
    optional = optional_inputs(signature, states=states)
    chunks = session.variant.chunks if face.model.offline is None or face.carried else None
    needed = [spec for spec in faces(signature, states=states)[0] if spec.name not in optional]
    frames = max(_FRAMES, chunks.least, chunks.first) if chunks is not None else _FRAMES
    inputs: list[dict[str, Any]] = []
    for spec in needed:
        shape = [axis if isinstance(axis, int) else _size(signature, axis, frames) for axis in spec.axes]
        if np.prod(shape, dtype=object) > _ELEMENTS:
            return None
        data = _values(spec, int(np.prod(shape)))
        inputs.append({"name": spec.name, "datatype": datatype_of(spec.dtype), "shape": shape, "data": data})
    found: dict[str, Any] = {"inputs": inputs}
    if not face.carried and face.model.offline is None:
        found["parameters"] = {"sequence_id": "try", "sequence_start": True, "sequence_end": True}
    return found


def _size(signature: Signature, axis: str, frames: int) -> int:
    """The smallest size of an axis that is allowed and, but for the batch, not below ``frames``."""
    allowed = signature.range(axis)
    least = max(allowed.minimum, 1)
    least += -least % allowed.multiple_of
    size = max(least, 1 if axis == BATCH else frames)
    size += -size % allowed.multiple_of
    return size if allowed.admits(size) else least


def _values(spec: TensorSpec, count: int) -> list[Any]:
    """Numbers that differ, in the input's range."""
    if spec.dtype == "bool":
        return [index % 2 == 0 for index in range(count)]
    if "int" in spec.dtype:
        low = spec.minimum or 0
        span = min(8, spec.bound - low) if spec.bound is not None else 8
        return [low + index % span for index in range(count)]
    return [round(float(np.sin(0.7 * index)), 2) for index in range(count)]
