"""Names that a person can read: nodes and values are called after the module of the source that they come from."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import onnx_ir as ir

if TYPE_CHECKING:
    from collections.abc import Iterator

_SCOPES = "pkg.torch.onnx.name_scopes"

#: Metadata of a node: the qualified name of the source's module that it comes from.
MODULE = "rnnx.module"


class NamingPass(ir.passes.InPlacePass):
    """Name nodes ``encoder.projection/MatMul`` and their values after them.

    torch.onnx leaves each node's modules in its metadata, together with the paths of the source's files. The
    modules become the name, the rest is removed: it would make the bytes of an export depend on where it was made.
    Layers that were named while they were lowered keep their names.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Rename every node, and every value that is not at the face."""
        nodes = list(ir.traversal.RecursiveGraphIterator(model.graph))
        # Names that lowering gave come first, so that none of them is pushed aside.
        taken = {node.name for node in nodes if MODULE in node.metadata_props}
        for node in nodes:
            module = module_of(node)
            if MODULE not in node.metadata_props:
                wanted = f"{module}/{node.op_type}" if module else node.op_type
                node.name = next(one for one in _candidates(wanted) if one not in taken)
                taken.add(node.name)
            node.metadata_props.clear()
            node.metadata_props[MODULE] = module
            node.doc_string = None
        name_values(model)
        return ir.passes.PassResult(model, modified=True)


def name_values(model: ir.Model) -> None:
    """Call every intermediate value after the node that makes it."""
    taken = {value.name for value in (*model.graph.inputs, *model.graph.outputs)}
    # Those of bodies too: a constant that was folded there has the name of a node, and a value outside would hide it.
    taken |= {name for graph in model.graphs() for name in graph.initializers}
    values = [
        (node, index, value)
        for node in ir.traversal.RecursiveGraphIterator(model.graph)
        for index, value in enumerate(node.outputs)
        if not (value.is_graph_output() and value.name in taken)
        # An output that is left out has no name. Where an input is left out as well, shape inference takes the two
        # for one value and finds its type wrong, so there the output keeps a name.
        if value.name != "" or None in node.inputs
    ]
    for _, _, value in values:
        value.metadata_props.clear()
    for node, index, value in values:
        suffix = f".{index}" if len(node.outputs) > 1 else ""
        value.name = next(one for one in _candidates(f"{node.name}:out{suffix}") if one not in taken)
        taken.add(value.name)


def module_of(node: ir.Node) -> str:
    """Qualified name of the module that a node comes from; empty for the model itself."""
    if MODULE in node.metadata_props:
        return node.metadata_props[MODULE]
    # The scopes are the modules from the root ('') inwards, then torch's name of the operation.
    scopes = ast.literal_eval(node.metadata_props.get(_SCOPES, "[]"))
    module = str(scopes[-2]) if len(scopes) > 1 else ""
    # torch's name for "no module at all", which sizes read from an input get.
    return "" if module.startswith("_empty_nn_module_stack") else module


def _candidates(name: str) -> Iterator[str]:
    yield name
    count = 1
    while True:
        yield f"{name}_{count}"
        count += 1
