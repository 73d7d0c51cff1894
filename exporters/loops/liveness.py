"""Which names a piece of Python reads before it writes them, which it writes, and which it may change in place."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
#: Methods of Python's containers that change them. A tensor's end in an underscore.
_CHANGING = frozenset(
    {"append", "extend", "insert", "pop", "popleft", "appendleft", "reverse", "clear", "remove", "update", "sort"}
)


def walk_scope(node: ast.AST) -> Iterator[ast.AST]:
    """This node and all below it that run in the same scope; nested functions and classes are given, not entered."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function | ast.ClassDef):
            yield child
        else:
            yield from walk_scope(child)


def written(nodes: Iterable[ast.AST]) -> list[str]:
    """Names that these statements may bind, in order of appearance."""
    found: dict[str, None] = {}
    for node in nodes:
        own = _comprehension_targets(node)
        for one in walk_scope(node):
            if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store | ast.Del) and id(one) not in own:
                found[one.id] = None
            elif isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found[one.name] = None
            elif isinstance(one, ast.alias):
                found[(one.asname or one.name).split(".")[0]] = None
            elif isinstance(one, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and one.name is not None:
                found[one.name] = None
    return list(found)


def changed_in_place(nodes: Iterable[ast.AST], *, of_containers: bool = False) -> list[str]:
    """Names whose values these statements may change: ``NAME[...] = ``, ``NAME.append()``, ``NAME.add_()``.

    Args:
        nodes: the statements.
        of_containers: whether to leave out what only tensors do.
    """
    found: dict[str, None] = {}
    for node in nodes:
        for one in walk_scope(node):
            target: ast.expr | None = None
            if isinstance(one, ast.Subscript) and isinstance(one.ctx, ast.Store | ast.Del):
                target = one.value
            elif isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute) and _changes(one.func.attr):
                if of_containers and one.func.attr not in _CHANGING:
                    continue
                target = one.func.value
            name = None if target is None else base_name(target)
            if name is not None:
                found[name] = None
    return list(found)


def base_name(node: ast.expr) -> str | None:
    """``h`` of ``h[layer][0]``; None where it is anything but subscripts of a name."""
    while isinstance(node, ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def read(node: ast.AST) -> set[str]:
    """Names that an expression or statement may read, nested functions included."""
    if isinstance(node, ast.Name):
        return {node.id} if isinstance(node.ctx, ast.Load) else set()
    if isinstance(node, _COMPREHENSIONS):
        own = {name for generator in node.generators for name in _names(generator.target)}
        return _children(node) - own | read(node.generators[0].iter)
    if isinstance(node, Function):
        arguments = node.args
        return _children(node) - {one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    return _children(node)


def _children(node: ast.AST) -> set[str]:
    return {name for child in ast.iter_child_nodes(node) for name in read(child)}


def exposed(statements: Sequence[ast.stmt]) -> set[str]:
    """Names that these statements may read before they have written them."""
    return _block(statements)[0]


def _block(statements: Sequence[ast.stmt]) -> tuple[set[str], set[str]]:
    """Names that may be read first, and names that are written whatever happens."""
    first: set[str] = set()
    sure: set[str] = set()
    for statement in statements:
        needs, gives = _statement(statement)
        first |= needs - sure
        sure |= gives
    return first, sure


def _statement(node: ast.stmt) -> tuple[set[str], set[str]]:  # noqa: PLR0911  (one answer a kind of statement)
    if isinstance(node, ast.If):
        then, otherwise = _block(node.body), _block(node.orelse)
        return read(node.test) | then[0] | otherwise[0], then[1] & otherwise[1]
    if isinstance(node, ast.For | ast.AsyncFor):
        needs, _ = _block(node.body)
        return read(node.iter) | (needs - set(written([node.target]))) | exposed(node.orelse), set()
    if isinstance(node, ast.While):
        return read(node.test) | exposed(node.body) | exposed(node.orelse), set()
    if isinstance(node, ast.With | ast.AsyncWith):
        given = {name for item in node.items if item.optional_vars for name in written([item.optional_vars])}
        needs, gives = _block(node.body)
        return {name for item in node.items for name in read(item.context_expr)} | (needs - given), gives | given
    if isinstance(node, ast.Try | ast.TryStar | ast.Match):
        return read(node), set()
    if isinstance(node, ast.AugAssign):
        return read(node.value) | read(node.target) | set(written([node.target])), set(written([node.target]))
    if isinstance(node, ast.Return | ast.Raise | ast.Continue | ast.Break):
        return read(node), set()
    return read(node), set(written([node]))


def _changes(method: str) -> bool:
    return method in _CHANGING or (method.endswith("_") and not method.endswith("__"))


def _comprehension_targets(node: ast.AST) -> set[int]:
    return {
        id(name)
        for one in ast.walk(node)
        if isinstance(one, _COMPREHENSIONS)
        for generator in one.generators
        for name in ast.walk(generator.target)
    }


def _names(target: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(target) if isinstance(one, ast.Name)}
