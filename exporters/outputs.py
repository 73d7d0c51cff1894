"""What the outputs are called: the names that the source's own ``forward`` gives them."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.utils import _pytree as pytree

from ..errors import SignatureError
from ..signature import TensorSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from .capture import Captured

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_RECURRENT = {nn.LSTM: ("output", ("h_n", "c_n")), nn.GRU: ("output", "h_n"), nn.RNN: ("output", "h_n")}
_CELLS = {nn.LSTMCell: ("h_n", "c_n"), nn.GRUCell: "h_n", nn.RNNCell: "h_n"}
_STANDARD: dict[type[nn.Module], Any] = {**_RECURRENT, **_CELLS}


def output_specs(module: nn.Module, captured: Captured, names: Sequence[str] | None) -> tuple[TensorSpec, ...]:
    """Name, dtype and axes of each output, nested ones flattened in order.

    Names are those given; or the keys of a dict; or the variables in ``return y, (h_n, c_n)``; or torch's own for a
    bare recurrent module; or ``output``, ``output_0``, ``output_1_0`` by position.

    Raises:
        SignatureError: there are not as many names as outputs, or one is no name or used twice.
    """
    inputs = {spec.name for spec in captured.signature.inputs}
    count = len(captured.output_axes)
    if isinstance(names, str):
        names = [names]
    chosen = list(names) if names else _readable(module, captured.program, count)
    if len(chosen) != count:
        raise SignatureError(f"the model has {count} outputs, but {len(chosen)} names are given: {', '.join(chosen)}.")
    if not names:
        chosen = [f"{name}_out" if name in inputs else name for name in chosen]
    for name in names or ():
        if not _NAME.fullmatch(name):
            raise SignatureError(f"'{name}' is no name for an output. Names are made of letters, digits and '_'.")
    for name in chosen:
        if chosen.count(name) > 1 or name in inputs:
            raise SignatureError(f"the output name '{name}' is used twice. Give each input and output its own name.")
    return tuple(
        TensorSpec(name=name, dtype=dtype, axes=axes)
        for name, dtype, axes in zip(chosen, _dtypes(captured.program), captured.output_axes, strict=True)
    )


def flatten_outputs(result: Any) -> list[torch.Tensor]:  # noqa: ANN401
    """The tensors of a source's nested answer, in the order of the outputs."""
    return pytree.tree_leaves(result)


def _readable(module: nn.Module, program: torch.export.ExportedProgram, count: int) -> list[str]:
    spec = program.call_spec.out_spec
    assert spec is not None
    nested = pytree.tree_unflatten(list(range(count)), spec)
    paths = [path for path, _ in pytree.tree_flatten_with_path(nested)[0]]
    fallback = [_by_path(path) for path in paths]
    standard = next((names for kind, names in _STANDARD.items() if type(module) is kind), None)
    names = _spread(standard if standard is not None else _returned(module), nested)
    if names is None:
        return fallback
    if names.count("") == 1 and "output" not in names:
        fallback = ["output"] * count
    named = [name or other for name, other in zip(names, fallback, strict=True)]
    return named if len(set(named)) == len(named) else [_by_path(path) for path in paths]


def _by_path(path: tuple[Any, ...]) -> str:
    """``output_1_0`` for ``(_, (this, _))``, or the keys where there are keys."""
    if not path:
        return "output"
    keys = [getattr(entry, "key", getattr(entry, "name", getattr(entry, "idx", ""))) for entry in path]
    text = "_".join(re.sub(r"\W", "_", str(key)) for key in keys)
    return f"output_{text}" if not text or text[0].isdecimal() else text


def _returned(module: nn.Module) -> Any:  # noqa: ANN401
    """The structure of names in the only ``return`` of ``forward``; empty where one is no plain name."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(type(module).forward)))
    except (OSError, TypeError, SyntaxError):
        return None  # no source: a model from a notebook or a compiled file
    returns = [node.value for node in ast.walk(tree) if isinstance(node, ast.Return) and node.value is not None]
    itself = next((node.args.args[0].arg for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)), "self")
    return _names(returns[0], module, itself) if len(returns) == 1 else None


def _names(node: ast.expr, module: nn.Module, itself: str) -> Any:  # noqa: ANN401
    if isinstance(node, ast.Tuple | ast.List):
        return tuple(_names(one, module, itself) for one in node.elts)
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        # `return self.lstm(x)`: what torch calls the results of that layer.
        owner = node.func.value
        if isinstance(owner, ast.Name) and owner.id == itself:
            layer = type(getattr(module, node.func.attr, None))
            return next((names for kind, names in _STANDARD.items() if layer is kind), "")
    return ""


def _spread(names: Any, nested: Any) -> list[str] | None:  # noqa: ANN401
    """One name a leaf; a name of something nested is numbered (``hx_0``, ``hx_1``). None where they do not match."""
    if isinstance(names, tuple):
        if not isinstance(nested, tuple | list) or len(names) != len(nested):
            return None
        parts = [_spread(one, other) for one, other in zip(names, nested, strict=True)]
        return None if None in parts else [name for part in parts for name in part or ()]
    if not isinstance(names, str):
        return None
    if isinstance(nested, int):
        return [names]
    if isinstance(nested, tuple | list) and names:
        spread = [_spread(f"{names}_{index}", other) for index, other in enumerate(nested)]
        return None if None in spread else [name for part in spread for name in part or ()]
    return None


def _dtypes(program: torch.export.ExportedProgram) -> list[str]:
    nodes = {node.name: node for node in program.graph.nodes}
    dtypes = [nodes[name].meta["val"].dtype for name in program.graph_signature.user_outputs]
    return [str(dtype).removeprefix("torch.") for dtype in dtypes]
