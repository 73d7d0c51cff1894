"""Dims of a configuration against the shapes of a graph, and files against dims."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .triton_fields import BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from .onnx_face import Face
    from .text_format import Message


def dims_disagree(what: str, dims: list[int], face: Face, *, batched: bool, batch: set[str]) -> Iterator[str]:
    """What is wrong with a tensor's dims, the batch axis left out where the model is batched."""
    shape, found = face.shape, list(face.dims)
    if batched:
        if not shape:
            yield f"{what} has no axis in the graph, so there is none to batch. Set 'max_batch_size' to 0"
            return
        first = shape[0]
        if isinstance(first, int):
            elsewhere = [at for at, axis in enumerate(shape) if isinstance(axis, str) and axis in batch]
            if elsewhere:
                yield (
                    f"{what} has the batch at axis {elsewhere[0]} in the graph ({list(shape)}); Triton joins and cuts "
                    "requests at axis 0. Move it there, or set 'max_batch_size' to 0"
                )
            else:
                yield (
                    f"{what} has a first axis of {first}, always, in the graph ({list(shape)}); a batched model "
                    "needs a dynamic batch there. Set 'max_batch_size' to 0"
                )
            return
        if first is not None and batch and first not in batch:
            yield f"{what} begins with the axis '{first}' in the graph ({list(face.shape)}), not with the batch"
            return
        found = found[1:]
    if len(dims) != len(found) or any(axis not in {-1, given} for given, axis in zip(dims, found, strict=True)):
        rest = ", the batch left out" * batched
        yield f"{what} has dims {dims}, the graph {found}{rest}"


def file_is_short(file: Path, message: Message, what: str) -> Iterator[str]:
    """Whether a file is missing or smaller than its dims and data type say."""
    size = BYTES.get(message.text("data_type"), 0)
    for one in message.integers("dims"):
        size *= one
    if not file.is_file():
        yield f"{what}: the file '{file.parent.name}/{file.name}' is missing"
    elif file.stat().st_size != size:
        yield f"{what}: '{file.parent.name}/{file.name}' has {file.stat().st_size} bytes, its dims say {size}"


def listing(names: Iterable[str]) -> str:
    """Names quoted and joined for a message."""
    return ", ".join(f"'{name}'" for name in sorted(names)) or "none"
