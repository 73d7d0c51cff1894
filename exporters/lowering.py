"""Lowering: an exported program becomes an ONNX graph whose recurrent layers are fused operators.

``torch.onnx.export`` translates everything but the ``rnnx::`` operators, for which it writes nodes of our own domain
with torch's weights as they are. :func:`lower_recurrence` then turns each of those into one ONNX ``LSTM``, ``GRU`` or
``RNN`` (ONNX operator set 14 and later), or into a ``Scan`` where ONNX has no operator for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx
import onnx_ir as ir
import onnxscript
import torch

from ..errors import LoweringError
from . import looping, recurrence, scanning  # noqa: F401  (they register the operators)
from .layers import lower_layer
from .quiet import quiet
from .sites import LoopSite, expand, sites

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .sites import Site

DOMAIN = "rnnx"
#: What torch.onnx writes by itself; other versions are made from it.
NATIVE_OPSET = 18
#: What a loop may carry, in ONNX's names.
_TENSORS = ("float", "double", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")
#: Steps of a loop that only its condition ends.
_ENDLESS = 2**63 - 1
#: Two directions of ``w_ih, w_hh, b_ih, b_hh, w_hr``.
_MAX_WEIGHTS = 10


def to_onnx(program: torch.export.ExportedProgram) -> ir.Model:
    """Translate a captured program to ONNX, operator set :data:`NATIVE_OPSET`.

    Raises:
        LoweringError: an operator has no ONNX form.
        CaptureError: the step of a scan cannot be captured.
    """
    model = _translate(program, None)
    lower_recurrence(model)
    return model


def _translate(program: torch.export.ExportedProgram, main: ir.Graph | None) -> ir.Model:
    """The program's graph, loops expanded, layers still as captured. ``main`` is the outermost graph, if not this."""
    _register_schemas()
    calls = sites(program)
    for site in calls.values():
        _register_loop(site.kind)
    table = {
        torch.ops.rnnx.scan.default: lambda states, sequences, captured, number, *_settings: _loop(
            calls[number], [*states, *sequences, *captured]
        ),
        torch.ops.rnnx.while_loop.default: lambda condition, limit, states, captured, number, _axis, sizes, _name: (
            _shaped(
                calls[number],
                _loop(calls[number], [condition, *([] if limit is None else [limit]), *states, *captured]),
                sizes,
            )
        ),
        torch.ops.rnnx.lstm.default: _lstm,
        torch.ops.rnnx.gru.default: _gru,
        torch.ops.rnnx.rnn.default: _rnn,
    }
    try:
        with quiet("torch.onnx", "onnxscript"):
            exported = torch.onnx.export(
                program,
                dynamo=True,
                custom_translation_table=table,  # type: ignore[arg-type]
                opset_version=NATIVE_OPSET,
                optimize=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        first = str(cause).strip().splitlines()[0]
        raise LoweringError(f"torch.onnx cannot translate the model: {type(cause).__name__}: {first}") from error
    assert exported is not None
    model = exported.model
    outermost = model.graph if main is None else main
    for node in tuple(model.graph):
        if node.domain == DOMAIN and "body" in node.attributes:
            site = calls[node.attributes["body"].as_int()]
            expand(node, site, lambda inner: _translate(inner, outermost), outermost)
    return model


def lower_recurrence(model: ir.Model) -> None:
    """Replace every layer of the ``rnnx`` domain by ONNX operators, in the bodies of loops too.

    Raises:
        LoweringError: a layer's weights are not float32.
    """
    made: dict[tuple[Any, ...], ir.Value] = {}
    taken: set[str] = set()
    for node in tuple(ir.traversal.RecursiveGraphIterator(model.graph)):
        if node.domain == DOMAIN:
            lower_layer(node, model.graph, made, taken)
        elif node.op_type == "Loop" and node.inputs[0] is None:
            # onnx's shape inference takes an omitted input for an omitted output of another node.
            assert node.graph is not None
            endless = ir.node("Constant", [], {"value_int": _ENDLESS}, name=f"{node.name}/endless")
            node.graph.insert_before(node, endless)
            node.replace_input_with(0, endless.outputs[0])
    model.graph.sort()
    model.opset_imports.pop(DOMAIN, None)


def _lstm(
    input: Any,  # noqa: A002, ANN401
    lengths: Any,  # noqa: ANN401
    h_0: Any,  # noqa: ANN401
    c_0: Any,  # noqa: ANN401
    weights: Any,  # noqa: ANN401
    *settings: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    return _opset().LSTM(input, lengths, h_0, c_0, *weights, **_attributes(*settings))


def _gru(input: Any, lengths: Any, h_0: Any, weights: Any, *settings: Any) -> Any:  # noqa: A002, ANN401
    return _opset().GRU(input, lengths, h_0, None, *weights, **_attributes(*settings))


def _rnn(input: Any, lengths: Any, h_0: Any, weights: Any, *settings: Any) -> Any:  # noqa: A002, ANN401
    return _opset().RNN(input, lengths, h_0, None, *weights, **_attributes(*settings))


def _loop(site: Site, inputs: list[Any]) -> Any:  # noqa: ANN401
    results = getattr(_opset(), site.kind)(*inputs, body=site.number)
    # One output comes back by itself; the operator gives a list.
    return results if isinstance(results, tuple | list) else [results]


def _shaped(site: Site, results: Sequence[Any], sizes: Sequence[Any]) -> list[Any]:
    """Stacked outputs of a loop with the sizes that they have even where there was no step.

    ONNX Runtime then makes every axis empty whose size it does not know from the body alone.
    """
    assert isinstance(site, LoopSite)
    op: Any = onnxscript.opset18
    shaped, rest = list(results), list(sizes)
    for number, rank in enumerate(site.ranks, site.states):
        shape, rest = rest[:rank], rest[rank:]
        if all(isinstance(size, int) for size in shape):
            continue
        # The number of steps stays as it is: nothing is missing where less than that is wanted.
        shape.insert(min(site.time_axis, rank), 0)
        parts = [
            op.Constant(value_ints=[size]) if isinstance(size, int) else op.Reshape(size, op.Constant(value_ints=[1]))
            for size in shape
        ]
        # A reshape would say it better, and be simplified away, for by the names of the axes it does nothing.
        missing = op.Max(op.Sub(op.Concat(*parts, axis=0), op.Shape(results[number])), op.Constant(value_ints=[0]))
        before = op.Constant(value_ints=[0] * (rank + 1))
        shaped[number] = op.Pad(results[number], op.Concat(before, missing, axis=0))
    return shaped


def _register_loop(kind: str) -> None:
    """A schema for loops of so many tensors, each of any type: onnxscript cannot record variadic ones."""
    if onnx.defs.has(kind, DOMAIN):
        return
    inputs, outputs = map(int, kind.split("_")[1:])
    parameter, types = onnx.defs.OpSchema.FormalParameter, [f"tensor({one})" for one in _TENSORS]
    names = [*(f"x{n}" for n in range(inputs)), *(f"y{n}" for n in range(outputs))]
    parameters = [parameter(one, f"T_{one}") for one in names]
    onnx.defs.register_schema(
        onnx.defs.OpSchema(
            kind,
            DOMAIN,
            1,
            inputs=parameters[:inputs],
            outputs=parameters[inputs:],
            type_constraints=[(f"T_{one}", types, "any tensor") for one in names],
            attributes=[onnx.defs.OpSchema.Attribute("body", onnx.defs.OpSchema.AttrType.INT)],
        )
    )


def _attributes(
    hidden_size: int,
    num_directions: int,
    bias: bool,  # noqa: FBT001
    name: str,
    nonlinearity: str = "tanh",
) -> dict[str, int | str]:
    return {
        "hidden_size": hidden_size,
        "num_directions": num_directions,
        "bias": int(bias),
        "layer": name,
        "nonlinearity": nonlinearity,
    }


def _opset() -> Any:  # noqa: ANN401
    return onnxscript.values.Opset(DOMAIN, 1)


def _register_schemas() -> None:
    """Tell onnx of our operators, once a process: onnxscript writes only nodes whose schema it knows."""
    parameter, attribute = onnx.defs.OpSchema.FormalParameter, onnx.defs.OpSchema.Attribute
    option, kind = onnx.defs.OpSchema.FormalParameterOption, onnx.defs.OpSchema.AttrType
    for name, states in (("LSTM", 2), ("GRU", 1), ("RNN", 1)):
        if onnx.defs.has(name, DOMAIN):
            continue
        onnx.defs.register_schema(
            onnx.defs.OpSchema(
                name,
                DOMAIN,
                1,
                inputs=[
                    parameter("input", "T"),
                    parameter("lengths", "tensor(int64)", param_option=option.Optional),
                    parameter("h_0", "T", param_option=option.Optional),
                    parameter("c_0", "T", param_option=option.Optional),
                    # One by one, because torch.onnx's recorder mixes up variadic inputs with what precedes them.
                    *(parameter(f"w_{n}", "T", param_option=option.Optional) for n in range(_MAX_WEIGHTS)),
                ],
                outputs=[parameter(one, "T") for one in ("output", "h_n", "c_n")[: 1 + states]],
                type_constraints=[("T", ["tensor(float)", "tensor(double)", "tensor(float16)"], "floats")],
                attributes=[
                    attribute("hidden_size", kind.INT),
                    attribute("num_directions", kind.INT),
                    attribute("bias", kind.INT),
                    attribute("layer", kind.STRING),
                    attribute("nonlinearity", kind.STRING),
                ],
            )
        )
