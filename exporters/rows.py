"""Which axis of a model's inputs is the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..signature import BATCH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..signature import Axis, TensorSpec


def row_axis(specs: Sequence[TensorSpec], measured: str) -> Axis | None:
    """The axis of which each entry is a sequence: ``batch``, or what stands in its place beside ``measured``.

    Args:
        specs: the inputs.
        measured: the axis of time.

    Returns:
        Its name, or its size where all that stands beside ``measured`` is fixed; None where nothing does.
    """
    beside = [axis for axis in next((spec.axes for spec in specs if measured in spec.axes), ()) if axis != measured]
    if BATCH in beside:
        return BATCH
    return next((axis for axis in beside if isinstance(axis, str)), beside[0] if beside else None)
