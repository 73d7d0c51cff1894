"""Questions about the syntax of loops, and small pieces of syntax."""

from __future__ import annotations

import ast
import copy
from typing import TYPE_CHECKING, TypeVar

from .liveness import Function, changed_in_place, read, walk_scope, written

if TYPE_CHECKING:
    from collections.abc import Sequence

_WHILE = "A loop whose end depends on data is final, outputs = rnnx.while_loop(condition, step, state)."
Node = TypeVar("Node", bound=ast.AST)


def by_index(function: ast.FunctionDef) -> frozenset[str]:
    """Names that are used in subscripts alone, and so may stay ``T - 1 - t`` until they get there."""
    inside = {
        id(name)
        for one in ast.walk(function)
        if isinstance(one, ast.Subscript)
        for entry in (one.slice.elts if isinstance(one.slice, ast.Tuple) else [one.slice])
        for name in _terms(entry)
    }
    loads = [one for one in ast.walk(function) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)]
    sums = {
        one.targets[0].id: one.value
        for one in ast.walk(function)
        if isinstance(one, ast.Assign) and len(one.targets) == 1 and isinstance(one.targets[0], ast.Name)
        if isinstance(one.value, ast.BinOp | ast.UnaryOp) and _terms(one.value)
    }
    # What is assigned a sum once, and for the rest only counted by loops.
    counted = [name for one in ast.walk(function) if isinstance(one, ast.For) for name in written([one.target])]
    stores = [one.id for one in ast.walk(function) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)]
    return frozenset(
        name
        for name in sums
        if stores.count(name) == 1 + counted.count(name) and all(id(one) in inside for one in loads if one.id == name)
    )


def _terms(node: ast.expr | None) -> list[ast.Name]:
    """The names of a sum, or of a slice between sums; none where it is anything else."""
    if isinstance(node, ast.Name):
        return [node]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        return [*_terms(node.left), *_terms(node.right)]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _terms(node.operand)
    if isinstance(node, ast.Slice):
        return [*_terms(node.lower), *_terms(node.upper)]
    return []


def counting(node: ast.While) -> ast.For | None:
    """``while t < end: ...; t += 1`` as ``for t in range(t, end): ...``; None for any other loop."""
    test, last = node.test, node.body[-1]
    if (
        not isinstance(test, ast.Compare)
        or not isinstance(test.left, ast.Name)
        or not isinstance(test.ops[0], ast.Lt)
        or len(test.ops) != 1
        or len(node.body) == 1
        or ast.unparse(last) not in {f"{test.left.id} += 1", f"{test.left.id} = {test.left.id} + 1"}
    ):
        return None
    name, end, body = test.left, test.comparators[0], node.body[:-1]
    touched = {*written(body), *changed_in_place(body)}
    if name.id in touched or read(end) & touched or any(isinstance(one, ast.Continue) for one in ast.walk(node)):
        return None
    steps = ast.Call(ast.Name("range", ast.Load()), [copy.deepcopy(name), copy.deepcopy(end)], [])
    loop = ast.For(ast.Name(name.id, ast.Store()), steps, body, node.orelse, None)
    return placed(loop, node)


def obstacle(node: ast.For) -> tuple[str, int] | None:
    """Why a loop's syntax rules out a step, and where; None where it does not."""
    for statement in node.body:
        for one in walk_scope(statement):
            if isinstance(one, ast.Return):
                return f"it returns from within. {_WHILE}", one.lineno
            if isinstance(one, ast.Yield | ast.YieldFrom | ast.Await):
                return "it yields from within.", one.lineno
            if isinstance(one, ast.Attribute) and isinstance(one.ctx, ast.Store | ast.Del):
                return (
                    f"it keeps state in the attribute '{ast.unparse(one)}', and a graph has no attributes; let the "
                    "state go in and come out as a value."
                ), one.lineno
            if isinstance(one, ast.Global | ast.Nonlocal):
                return f"it assigns '{one.names[0]}' of another scope.", one.lineno
    found = _break(node.body)
    if found is None:
        return None
    return f"it breaks off. {_WHILE}", found.lineno


def _break(statements: Sequence[ast.stmt]) -> ast.Break | None:
    """A break of the loop that these statements are the body of."""
    for statement in statements:
        if isinstance(statement, ast.Break):
            return statement
        if isinstance(statement, Function | ast.ClassDef):
            continue
        inner = isinstance(statement, ast.For | ast.While)
        for name, value in ast.iter_fields(statement):
            blocks = [one.body for one in value] if name in {"handlers", "cases"} else [value]
            if name in {"body", "orelse", "finalbody", "handlers", "cases"} and not (inner and name == "body"):
                for block in blocks:
                    if (found := _break(block)) is not None:
                        return found
    return None


def jumps(node: ast.If) -> bool:
    """Whether a branch leaves its place, or counts something in an outer scope."""
    kinds = (ast.Break, ast.Continue, ast.Return, ast.Yield, ast.YieldFrom, ast.Await, ast.Global, ast.Nonlocal)
    return any(isinstance(one, kinds) for one in walk_scope(node))


def thunk(name: str) -> ast.expr:
    """A function that gives a name's value."""
    return ast.Lambda(arguments([]), ast.Name(name, ast.Load()))


def varies(index: ast.expr) -> bool:
    """Whether an index has anything in it but constants."""
    return any(isinstance(one, ast.Name | ast.Call | ast.Attribute) for one in ast.walk(index))


def unsqueezed_axis(node: ast.ListComp | ast.GeneratorExp) -> ast.expr | None:
    """The axis in ``[step.unsqueeze(axis) for step in ...]``; None for any other comprehension."""
    generator, element = node.generators[0], node.elt
    if (
        isinstance(generator.target, ast.Name)
        and not generator.ifs
        and isinstance(element, ast.Call)
        and isinstance(element.func, ast.Attribute)
        and element.func.attr == "unsqueeze"
        and isinstance(element.func.value, ast.Name)
        and element.func.value.id == generator.target.id
        and len(element.args) + len(element.keywords) == 1
    ):
        axis = element.args[0] if element.args else element.keywords[0].value
        try:
            return ast.Constant(ast.literal_eval(axis))
        except ValueError:
            return None
    return None


def arguments(names: Sequence[str]) -> ast.arguments:
    """Parameters of these names."""
    return ast.arguments([], [ast.arg(name) for name in names], None, [], [], None, [])


def placed(node: Node, place: ast.AST) -> Node:
    """The node, and all in it that has no place, at the place of another."""
    return ast.fix_missing_locations(ast.copy_location(node, place))


def define(name: str, parameters: ast.arguments, body: list[ast.stmt]) -> ast.FunctionDef:
    """A function's definition."""
    made = ast.FunctionDef(name, parameters, body, [], None, None)
    return _with_type_parameters(made)


def define_class(name: str, body: list[ast.stmt]) -> ast.ClassDef:
    """A class's definition."""
    return _with_type_parameters(ast.ClassDef(name, [], [], body, []))


def _with_type_parameters(node: Node) -> Node:
    """Newer Pythons want a field more."""
    if "type_params" in node._fields:
        node.type_params = []  # type: ignore[attr-defined]
    return node
