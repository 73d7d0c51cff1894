"""Where a miss begins: the first module of the source whose output the graph does not give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from ..runtime.comparison import compare, scale_of
from ..runtime.ort import cpu_session
from .arguments import bind
from .passes.naming import MODULE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ..manifest import Tolerance
    from ..signature import Signature


def first_difference(
    module: nn.Module,
    signature: Signature,
    model: ir.Model,
    inputs: Mapping[str, NDArray[Any]],
    tolerance: Tolerance,
) -> str:
    """One sentence: which module is the first whose output differs for these inputs.

    Args:
        module: the source.
        signature: its inputs and outputs.
        model: the graph, with modules in its nodes' metadata.
        inputs: the arrays of one case.
        tolerance: as in the parity that missed.
    """
    outputs = _module_outputs(model)
    reference = _source_outputs(module, signature, inputs)
    candidate = graph_outputs(model, inputs, {value.name for values in outputs.values() for value in values})
    compared: list[str] = []
    for name, calls in reference.items():
        values = [candidate[value.name] for value in outputs.get(name, ()) if value.name in candidate]
        for array in calls:
            # Transposes between layers are merged, so a layer's output may exist time first only.
            forms = [form for one in values for form in (one, one.swapaxes(0, 1) if one.ndim > 1 else one)]
            fitting = [one for one in forms if one.shape == array.shape and one.dtype == array.dtype]
            if not fitting:
                continue
            differences = [compare(array, one, tolerance=tolerance, scale=scale_of([array])) for one in fitting]
            nearest = min(differences, key=lambda one: one.max_abs_diff)
            if not nearest.passed:
                kind = type(module.get_submodule(name)).__name__
                distance = nearest.reason or f"max_abs_diff {nearest.max_abs_diff:.3g}"
                return f"The first layer whose output differs is '{name}' ({kind}): {distance}."
            compared.append(name)
    if not compared:
        return "No layer's output could be compared; the difference is in the model's own forward."
    return (
        f"The outputs of all {len(compared)} layers that can be compared agree, the last of them '{compared[-1]}': "
        "the difference is in the forward of a module around them."
    )


def _source_outputs(
    module: nn.Module, signature: Signature, inputs: Mapping[str, NDArray[Any]]
) -> dict[str, list[NDArray[Any]]]:
    """The first tensor that each submodule returned, for each of its calls, in order of execution."""
    seen: dict[str, list[NDArray[Any]]] = {}

    def hook(name: str) -> Any:  # noqa: ANN401
        def record(_module: nn.Module, _args: Any, output: Any) -> None:  # noqa: ANN401
            tensor = _first_tensor(output)
            if tensor is not None:
                seen.setdefault(name, []).append(tensor.detach().numpy().copy())

        return record

    handles = [one.register_forward_hook(hook(name)) for name, one in module.named_modules() if name]
    try:
        with torch.no_grad():
            module(**bind(signature, {name: torch.from_numpy(array) for name, array in inputs.items()}))
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _first_tensor(output: Any) -> Tensor | None:  # noqa: ANN401
    if isinstance(output, PackedSequence):
        # The graph has it padded, time first: the form that capture gives packed sequences.
        return pad_packed_sequence(output)[0]
    if isinstance(output, Tensor):
        return output
    if isinstance(output, tuple | list) and output:
        return _first_tensor(output[0])
    return None


def _module_outputs(model: ir.Model) -> dict[str, list[ir.Value]]:
    """For each module the values that leave it: made within it, and used outside of it or nowhere."""
    leaving: dict[str, list[ir.Value]] = {}
    for node in model.graph:
        path = node.metadata_props.get(MODULE, "")
        scopes = [".".join(path.split(".")[: depth + 1]) for depth in range(path.count(".") + 1)] if path else []
        for scope in scopes:
            for value in node.outputs:
                users = [use.node.metadata_props.get(MODULE, "") for use in value.uses()]
                inside = [user == scope or user.startswith(f"{scope}.") for user in users]
                if value.is_graph_output() or not all(inside):
                    leaving.setdefault(scope, []).append(value)
    return leaving


def graph_outputs(
    model: ir.Model, inputs: Mapping[str, NDArray[Any]], wanted: set[str | None]
) -> dict[str, NDArray[Any]]:
    """Run a graph once with these intermediate values as outputs too; every output by name."""
    copy = ir.from_proto(ir.to_proto(model))
    there = {value.name for value in copy.graph.outputs}
    for node in copy.graph:
        copy.graph.outputs.extend(v for v in node.outputs if v.name in wanted and v.name not in there)
    session = cpu_session(ir.to_proto(copy).SerializeToString())
    names = [value.name for value in copy.graph.outputs if value.name]
    feed = {value.name: np.ascontiguousarray(inputs[value.name]) for value in copy.graph.inputs if value.name}
    return dict(zip(names, session.run(names, feed), strict=True))
