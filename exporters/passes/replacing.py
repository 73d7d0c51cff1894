"""What passes that put several nodes in the place of one share: constants that are there already, and names."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from .naming import MODULE

#: Constants of more numbers are no builder's.
_FEW = 8


def shared_constants(model: ir.Model) -> dict[tuple[Any, ...], ir.Value]:
    """The whole numbers that the graph has under the names that builders give them: a name may be taken only once."""
    found: dict[tuple[Any, ...], ir.Value] = {}
    for name, value in model.graph.initializers.items():
        if name.startswith("i64_") and value.const_value is not None and value.const_value.size <= _FEW:
            array = value.const_value.numpy()
            numbers = "_".join(map(str, array.ravel().tolist()))
            if array.dtype == np.int64 and name == (f"i64_{numbers}" if array.ndim == 1 else f"i64_scalar_{numbers}"):
                found["constant", name] = value
    return found


def stamp(node: ir.Node, module: str, taken: set[str | None], mark: str) -> None:
    """Say which module a new node and those of its body come from, and give each a name that no other has.

    Args:
        node: the node, named as its builder did.
        module: qualified name of the source's module.
        taken: names that nodes have; those given here are added.
        mark: is put behind a name that is taken, and a number behind that where it is taken too.
    """
    node.metadata_props[MODULE] = module
    wanted, number = node.name, 1
    while node.name in taken:
        node.name = f"{wanted}_{mark}" if number == 1 else f"{wanted}_{mark}_{number}"
        number += 1
    taken.add(node.name)
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            for inner in attribute.as_graph():
                stamp(inner, module, taken, mark)
