"""The ``rnnx.scan`` to write in the place of a loop, in the loop's own names."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def advice(loop: ast.For | ast.ListComp | ast.GeneratorExp, carried: Sequence[str]) -> str:
    """Lines of Python.

    Args:
        loop: the loop as it stands.
        carried: names that a step reads before it writes them, or changes in place.
    """
    sequence, frame = _sequence(loop)
    collected = _collected(loop) if isinstance(loop, ast.For) else {"outputs": ast.unparse(loop.elt)}
    # By its name in the step, what the loop calls it: an attribute's state comes in and goes out as a value.
    kept = {name: name for name in carried if name not in collected} | _attributes(loop)
    state, outside = _tuple(list(kept), "()"), _tuple(list(kept.values()), "()")
    output = _tuple(list(collected.values()), "None")
    for name, called in kept.items():
        output = output.replace(called, name)
    unpack = f"        {state} = state\n" if len(kept) > 1 else ""
    reverse = ", reverse=True" if _backwards(loop) else ""
    return (
        f"    def step({state if len(kept) == 1 else 'state'}, {frame}):\n{unpack}"
        f"        ...  # the body of the loop, for one step\n"
        f"        return {state}, {output}\n"
        f"    {outside if kept else '_'}, {_tuple(list(collected), 'outputs')} = "
        f"rnnx.scan(step, {outside}, {sequence}{reverse})"
    )


def _attributes(loop: ast.AST) -> dict[str, str]:
    """Attributes that the loop assigns, by a name of their own."""
    return {
        one.attr: ast.unparse(one)
        for one in ast.walk(loop)
        if isinstance(one, ast.Attribute) and isinstance(one.ctx, ast.Store)
    }


def _tuple(items: Sequence[str], none: str) -> str:
    return f"({', '.join(items)})" if len(items) > 1 else (items[0] if items else none)


def _collected(loop: ast.For) -> dict[str, str]:
    """Lists that the loop appends to and tensors that it fills, each with what one step gives them."""
    target = loop.target.id if isinstance(loop.target, ast.Name) else ""
    found: dict[str, str] = {}
    for one in ast.walk(loop):
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute) and one.func.attr in {"append", "insert"}:
            if isinstance(one.func.value, ast.Name) and one.args:
                found[one.func.value.id] = ast.unparse(one.args[-1])
        elif isinstance(one, ast.AugAssign) and isinstance(one.target, ast.Name) and isinstance(one.value, ast.List):
            found[one.target.id] = _tuple([ast.unparse(item) for item in one.value.elts], "None")
        elif isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Subscript):
            filled = one.targets[0]
            if isinstance(filled.value, ast.Name) and target in _entries(filled):
                found[filled.value.id] = ast.unparse(one.value)
    return found


def _entries(node: ast.Subscript) -> list[str]:
    """Names that stand in an index by themselves."""
    entries = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    return [one.id for one in entries if isinstance(one, ast.Name)]


def _sequence(loop: ast.For | ast.ListComp | ast.GeneratorExp) -> tuple[str, str]:
    """What the loop goes over, as a tensor, and the name of one step of it."""
    generator = loop if isinstance(loop, ast.For) else loop.generators[0]
    target = generator.target
    if isinstance(target, ast.Name):
        # A loop over numbers goes over what it looks at by number.
        for one in ast.walk(loop):
            if isinstance(one, ast.Subscript) and isinstance(one.ctx, ast.Load) and target.id in _entries(one):
                name = ast.unparse(one.value)
                return name, f"{name}_{target.id}" if name.isidentifier() else "frame"
    over = generator.iter
    if isinstance(over, ast.Call) and isinstance(over.func, ast.Attribute) and over.func.attr in {"unbind", "split"}:
        inner = over.func.value
        if isinstance(inner, ast.Name) and inner.id == "torch" and over.args:
            inner = over.args[0]
        return ast.unparse(inner), ast.unparse(target) if isinstance(target, ast.Name) else "frame"
    frame = ast.unparse(target) if isinstance(target, ast.Name) and target.id != "_" else "frame"
    if isinstance(over, ast.Name | ast.Attribute):
        return ast.unparse(over), frame
    return "sequence", frame


def _backwards(loop: ast.For | ast.ListComp | ast.GeneratorExp) -> bool:
    over = loop.iter if isinstance(loop, ast.For) else loop.generators[0].iter
    text = ast.unparse(over)
    return text.startswith("reversed(") or text.endswith(", -1, -1)")
