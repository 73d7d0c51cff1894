"""Expressions of a source rewritten: calls that would ask for a number of steps, subscripts, comprehensions.

Whether anything happens is decided where they run; see answers.py, indexing.py, choosing.py and called.py.
"""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import answers
from .advice import advice
from .conversion import Site
from .syntax import arguments, placed, unsqueezed_axis, varies

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: What rewritten code calls us by.
OURS = "_rnnx_loops"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """The function that a loop stands in.

    Attributes:
        file: its file.
        source: the file's lines.
        keep: takes a site, and gives the number that stands for it in rewritten code.
        locals: names that belong to the function.
    """

    file: str
    source: Sequence[str]
    keep: Callable[[Site], int]
    locals: frozenset[str] = frozenset()

    def line(self, number: int) -> str:
        """A line of the file."""
        return self.source[number - 1].strip() if number <= len(self.source) else ""


def ours(name: str, *given: ast.expr) -> ast.expr:
    """A call of a function of called.py."""
    return ast.Call(ours_name(name), list(given), [])


def ours_name(name: str) -> ast.expr:
    """A name of called.py."""
    return ast.Attribute(ast.Name(OURS, ast.Load()), name, ast.Load())


class Expressions(ast.NodeTransformer):
    """Rewrites one function's expressions.

    Attributes:
        touched: whether there was anything to rewrite.
    """

    def __init__(self, scope: Scope, own: Sequence[str]) -> None:
        """Prepare for a function with these parameters."""
        self._scope = scope
        self._own = own
        self.touched = False

    def visit_ListComp(self, node: ast.ListComp) -> ast.expr:
        """A list comprehension."""
        return self._comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.expr:
        """A generator expression."""
        return self._comprehension(node)

    def _comprehension(self, node: ast.ListComp | ast.GeneratorExp) -> ast.expr:
        generator = node.generators[0]
        inside = {type(one) for one in ast.walk(node)}
        if len(node.generators) != 1 or generator.is_async or inside & {ast.NamedExpr, ast.Await, ast.Yield}:
            return node
        self.touched = True
        over = self.visit(copy.deepcopy(generator.iter))
        element = self.visit(copy.deepcopy(node.elt))
        conditions = [self.visit(copy.deepcopy(one)) for one in generator.ifs]
        again = ast.comprehension(generator.target, ast.Name("_rnnx_over", ast.Load()), conditions, 0)
        plain = ast.Lambda(arguments(["_rnnx_over"]), type(node)(element, [again]))
        axis = unsqueezed_axis(node)
        if axis is not None:
            return placed(ours("unsqueezed", over, plain, axis), node)
        site = Site(
            file=self._scope.file,
            line=node.lineno,
            code=self._scope.line(node.lineno),
            names=("the comprehension's list",),
            exposed=frozenset(["the comprehension's list"]),
            changed=frozenset(),
            live=frozenset(["the comprehension's list"]),
            watched=(),
            advice=advice(node, []),
        )
        number = ast.Constant(self._scope.keep(site))
        if generator.ifs:
            return placed(ours("comprehend_if", number, over, plain, ast.Constant(node.lineno)), node)
        # A lambda takes no target apart; a comprehension over one value does.
        one = ast.comprehension(generator.target, ast.List([ast.Name("_rnnx_at", ast.Load())], ast.Load()), [], 0)
        picked = ast.Subscript(ast.ListComp(element, [one]), ast.Constant(0), ast.Load())
        return placed(ours("comprehend", number, over, plain, ast.Lambda(arguments(["_rnnx_at"]), picked)), node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        """``a if test else b``, where the test may be a tensor."""
        self.generic_visit(node)
        if any(isinstance(one, ast.NamedExpr | ast.Yield | ast.Await) for one in ast.walk(node)):
            return node
        branches = [ast.Lambda(arguments([]), one) for one in (node.body, node.orelse)]
        return placed(ours("either", node.test, *branches), node)

    def visit_Lambda(self, node: ast.Lambda) -> ast.expr:
        """Lambdas stay as they are."""
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """Calls of what would ask for a number of steps, and ``super()``, which a step could not call so."""
        self.generic_visit(node)
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if isinstance(node.func, ast.Name) and name == "super" and not node.args and self._own:
            node.args = [ast.Name("__class__", ast.Load()), ast.Name(self._own[0], ast.Load())]
        elif name == "zip" and len(node.args) == 1 and isinstance(node.args[0], ast.Starred) and not node.keywords:
            self.touched = True
            return placed(ours("unzipped", node.func, node.args[0].value), node)
        elif name in answers.NAMES:
            self.touched = True
            return placed(ast.Call(ours_name("call"), [node.func, *node.args], node.keywords), node)
        return node

    def visit_List(self, node: ast.List) -> ast.expr:
        """``[*outs, h]``, which is ``outs`` with one more."""
        self.generic_visit(node)
        starred = [number for number, one in enumerate(node.elts) if isinstance(one, ast.Starred)]
        if not isinstance(node.ctx, ast.Load) or len(starred) != 1 or len(node.elts) == 1:
            return node
        self.touched = True
        (place,) = starred
        value = node.elts[place]
        assert isinstance(value, ast.Starred)
        first, last = (ast.List(one, ast.Load()) for one in (node.elts[:place], node.elts[place + 1 :]))
        return placed(ours("extended", first, value.value, last), node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        """Subscripts whose index is no constant."""
        if not isinstance(node.ctx, ast.Load) or not varies(node.slice):
            self.generic_visit(node)
            return node
        self.touched = True
        return placed(ours("item", self.visit(node.value), self.index(node.slice)), node)

    def index(self, node: ast.expr) -> ast.expr:
        """An index in which sums and slices may hold a step's number."""
        node = copy.deepcopy(node)
        if isinstance(node, ast.Tuple):
            return ast.Tuple([self.index(one) for one in node.elts], ast.Load())
        if isinstance(node, ast.Slice):
            ends = [
                ast.Constant(None) if one is None else self.index(one) for one in (node.lower, node.upper, node.step)
            ]
            return ours("part", *ends)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
            kind = "plus" if isinstance(node.op, ast.Add) else "minus"
            return ours(kind, self.index(node.left), self.index(node.right))
        if (
            isinstance(node, ast.UnaryOp)
            and isinstance(node.op, ast.USub)
            and not isinstance(node.operand, ast.Constant)
        ):
            return ours("negative", self.index(node.operand))
        return self.visit(node)  # type: ignore[no-any-return]
