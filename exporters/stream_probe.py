"""What a graph does with time, by trying it: the shape of every value for several numbers of frames.

Other exporters leave sizes open or call different sizes by one name. A graph that is run for a few sizes says for sure
which axes are time, which are the batch and which are fixed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from ..errors import StreamingError
from ..runtime.ort import cpu_session

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from numpy.typing import NDArray

    from ..signature import Signature

#: Numbers of frames to try: of many divisors, and of few. A graph that wants multiples of something takes some of them,
#: and one that takes steps of hundreds, as a front end over samples does, shows by the largest that it moves at all.
_FRAMES = (60, 61, 62, 63, 64, 70, 84, 96, 120, 121, 1920, 1921, 2880)
_ROWS = (2, 3)
#: How many of them must have run.
_ENOUGH = 2


def name_sizes(
    graph: ir.Model, signature: Signature, time: str, rows: str | int, masks: Sequence[str]
) -> dict[str, bool]:
    """Write the shape of every value into the graph, as far as running it says.

    An axis that grows with time gets a name that holds ``time``, one that grows with the batch a name that holds
    ``rows``, and any other axis its size.

    Args:
        graph: the graph to run and to write into.
        signature: its face.
        time: name of the axis that is cut into chunks.
        rows: name of the batch axis, or a number.
        masks: names of booleans that are computed from lengths.

    Returns:
        What each of the ``masks`` says of every frame of whole rows; those that do not say the same are left out.

    Raises:
        StreamingError: the graph runs for none of the sizes.
    """
    wanted = [value for node in graph.graph for value in node.outputs if value.name and value.type is not None]
    copy = ir.from_proto(ir.to_proto(graph))
    names = {value.name for value in wanted}
    there = {value.name for value in copy.graph.outputs}
    for node in copy.graph:
        copy.graph.outputs.extend(value for value in node.outputs if value.name in names - there)
        for value in node.outputs:
            value.shape = None  # what is written there may be wrong, and ONNX Runtime says so at every run
    session = cpu_session(ir.to_proto(copy).SerializeToString())
    outputs = [value.name for value in copy.graph.outputs if value.name]
    shapes: dict[tuple[int, int], dict[str, tuple[int, ...]]] = {}
    said: dict[str, set[bool]] = {name: set() for name in masks}
    reason = "there is no number of frames to try"
    grown = rows if isinstance(rows, str) else ""
    for size in _sizes(signature, grown, time):
        try:
            answers = session.run(outputs, _inputs(signature, {time: size[1]} | ({grown: size[0]} if grown else {})))
        except Exception as error:  # noqa: BLE001  (whatever ONNX Runtime raises, it does not take this size)
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        found = dict(zip(outputs, answers, strict=True))
        shapes[size] = {name: np.shape(array) for name, array in found.items()}
        for name in masks:
            said[name] |= set(np.unique(found[name]).tolist())
    steps = [size for size in shapes if size[0] == _ROWS[0]]
    if len(steps) < _ENOUGH:
        raise StreamingError(f"the graph does not run for frames to try it with: {reason}.")
    others = {*signature.dynamic_axes} - {time, grown}
    for value in wanted:
        _write(value, shapes, time, grown, others)
    return {name: one.pop() for name, one in said.items() if len(one) == 1}


def _sizes(signature: Signature, rows: str, time: str) -> list[tuple[int, int]]:
    """``(rows, frames)`` to run, the same rows first."""
    allowed = signature.range(time)
    near = range(allowed.minimum, allowed.minimum + 200)
    frames = [n for n in _FRAMES if allowed.admits(n)] or [n for n in near if allowed.admits(n)][-len(_FRAMES) :]
    tried = [(_ROWS[0], n) for n in frames]
    return [*tried, *((_ROWS[1], n) for n in frames)] if rows and signature.range(rows).admits(_ROWS[1]) else tried


def _inputs(signature: Signature, sizes: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    lengths = {one.name: sizes.get(one.axis, 1) for one in signature.lengths}
    return {
        spec.name: np.full(
            [
                sizes.get(axis, max(signature.range(axis).minimum, 5)) if isinstance(axis, str) else axis
                for axis in spec.axes
            ],
            lengths.get(spec.name, spec.minimum or 0),
            spec.dtype,
        )
        for spec in signature.inputs
    }


def _write(
    value: ir.Value,
    shapes: Mapping[tuple[int, int], Mapping[str, tuple[int, ...]]],
    time: str,
    rows: str,
    others: Container[str],
) -> None:
    assert value.name is not None
    few = {size[1]: shape[value.name] for size, shape in shapes.items() if size[0] == _ROWS[0]}
    more = {size[1]: shape[value.name] for size, shape in shapes.items() if size[0] == _ROWS[1]}
    rank = len(next(iter(few.values())))
    known = list(value.shape) if value.shape is not None and len(value.shape) == rank else [None] * rank
    named: list[int | str | ir.SymbolicDim | None] = []
    for axis in range(rank):
        sizes = {frames: shape[axis] for frames, shape in few.items()}
        over_rows = any(more[frames][axis] != size for frames, size in sizes.items() if frames in more)
        if len(set(sizes.values())) > 1:
            per_row = {frames: size // (_ROWS[0] if over_rows else 1) for frames, size in sizes.items()}
            same = all(frames == size for frames, size in per_row.items())
            frames = time if same else f"frames({time})[{' '.join(f'{n}:{m}' for n, m in per_row.items())}]"
            named.append(f"{rows}*{frames}" if over_rows else frames)
        elif over_rows:
            size = next(iter(sizes.values()))
            named.append(rows if size == _ROWS[0] else f"{size // _ROWS[0]}*{rows}")
        elif str(getattr(known[axis], "value", None)) in others:
            named.append(known[axis])  # an axis that is dynamic besides, such as the height of an image
        else:
            named.append(next(iter(sizes.values())))
    value.shape = ir.Shape(named)
