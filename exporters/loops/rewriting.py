"""Loops of a source rewritten: the body of every loop stands twice, as a function of one step and as it was.

Which of them runs is decided where the loop begins, by what it goes over, so that a loop over layers is what it was.
Only syntax is looked at here; called.py does the converting. Names that begin with ``_rnnx_`` are ours.
"""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .advice import advice
from .conversion import Site
from .expressions import Expressions, Scope, ours, ours_name
from .liveness import changed_in_place, exposed, read, written
from .syntax import arguments, by_index, counting, define, jumps, obstacle, placed, thunk, varies

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Names of Python's functions for ``+=`` and its kin.
_OPERATORS = {
    ast.Add: "iadd",
    ast.Sub: "isub",
    ast.Mult: "imul",
    ast.Div: "itruediv",
    ast.FloorDiv: "ifloordiv",
    ast.Mod: "imod",
    ast.Pow: "ipow",
    ast.BitAnd: "iand",
    ast.BitOr: "ior",
    ast.BitXor: "ixor",
    ast.LShift: "ilshift",
    ast.RShift: "irshift",
    ast.MatMult: "imatmul",
}


@dataclass(kw_only=True, slots=True)
class _Around:
    """What stands around the statement that is being rewritten.

    Attributes:
        rest: statements that may run after it, loops around it once more.
        leave: what to put in the place of ``continue``, where it leaves a step.
    """

    rest: list[ast.stmt] = field(default_factory=list)
    leave: ast.stmt | None = None


def rewrite(function: ast.FunctionDef, scope: Scope) -> bool:
    """Rewrite a function in place; False where there is nothing to rewrite."""
    given = function.args
    own = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    own += [one.arg for one in (given.vararg, given.kwarg) if one is not None]
    outer = {name for one in ast.walk(function) if isinstance(one, ast.Global | ast.Nonlocal) for name in one.names}
    names = frozenset([*own, *written(function.body)]) - outer
    rewriter = _Rewriter(
        Scope(file=scope.file, source=scope.source, keep=scope.keep, locals=names), own, by_index(function)
    )
    function.body = rewriter.block(function.body, _Around())
    return rewriter.touched


class _Rewriter:
    """Rewrites one function's statements. Nested functions are rewritten by themselves."""

    def __init__(self, scope: Scope, own: Sequence[str], by_index: frozenset[str]) -> None:
        self._scope = scope
        self._expressions = Expressions(scope, own)
        self._by_index = by_index
        self._temporaries = 0
        self._touched = False

    @property
    def touched(self) -> bool:
        """Whether there was anything to rewrite."""
        return self._touched or self._expressions.touched

    # Statements.

    def block(self, statements: Sequence[ast.stmt], around: _Around) -> list[ast.stmt]:
        """Rewrite statements, each knowing what may run after it."""
        found: list[ast.stmt] = []
        for number, statement in enumerate(statements):
            here = _Around(rest=[*statements[number + 1 :], *around.rest], leave=around.leave)
            found += self._statement(statement, here)
        return found

    def _statement(self, node: ast.stmt, around: _Around) -> list[ast.stmt]:  # noqa: C901, PLR0911  (one answer a kind)
        if isinstance(node, ast.For):
            return self._loop(node, around)
        if isinstance(node, ast.Continue) and around.leave is not None:
            return [ast.copy_location(copy.deepcopy(around.leave), node)]
        if isinstance(node, ast.FunctionDef):
            inner = copy.deepcopy(node)
            self._touched |= rewrite(inner, self._scope)
            return [inner]
        if isinstance(node, ast.AsyncFunctionDef | ast.ClassDef):
            return [node]
        if isinstance(node, ast.Assign) and (found := self._assign(node)) is not None:
            return found
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Subscript) and varies(node.target.slice):
            return [self._update(node, node.target)]
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            return [self._augmented(node, node.target)]
        if isinstance(node, ast.While) and (counted := counting(node)) is not None:
            return self._loop(counted, around, node)
        if isinstance(node, ast.While):
            return [self._while(node, around)]
        if isinstance(node, ast.If) and around.leave is not None and not jumps(node):
            return self._choice(node, around)
        if isinstance(node, ast.If | ast.With | ast.Try):
            return [self._compound(node, around)]
        return [self._expressions.visit(copy.deepcopy(node))]

    def _while(self, node: ast.While, around: _Around) -> ast.stmt:
        body = self.block(node.body, _Around(rest=[node, *around.rest]))
        test = self._expressions.visit(copy.deepcopy(node.test))
        return ast.copy_location(ast.While(test, body, self.block(node.orelse, around)), node)

    def _compound(self, node: ast.If | ast.With | ast.Try, around: _Around) -> ast.stmt:
        made = copy.copy(node)
        for name, value in ast.iter_fields(node):
            if name in {"body", "orelse", "finalbody"}:
                setattr(made, name, self.block(value, around))
            elif name == "handlers":
                made.handlers = [  # type: ignore[union-attr]
                    ast.copy_location(ast.ExceptHandler(one.type, one.name, self.block(one.body, around)), one)
                    for one in value
                ]
            elif isinstance(value, ast.expr):
                setattr(made, name, self._expressions.visit(copy.deepcopy(value)))
            elif name == "items":
                made.items = [self._expressions.visit(copy.deepcopy(one)) for one in value]  # type: ignore[union-attr]
        return made

    def _choice(self, node: ast.If, around: _Around) -> list[ast.stmt]:
        """Both forms of an ``if`` in a step: where its test is a tensor, both branches run, and values are chosen."""
        test, number = self._temporary(), self._temporary()
        plain = self._compound(node, around)
        assert isinstance(plain, ast.If)
        begin = ast.Assign([ast.Name(test, ast.Store())], plain.test)
        plain.test = ast.Name(test, ast.Load())
        both = [*node.body, *node.orelse]
        names = [
            name for name in dict.fromkeys([*written(both), *changed_in_place(both)]) if name in self._scope.locals
        ]
        leave = ast.Return(ast.Tuple([ours("fetch", thunk(name)) for name in names], ast.Load()))
        made: list[ast.stmt] = []
        for kind, statements in (("then", node.body), ("otherwise", node.orelse)):
            body = [*(self._unbinding(name) for name in names), *self.block(statements, around), leave]
            made.append(define(f"{number}_{kind}", arguments(names), body))
        thunks = ast.Tuple([thunk(name) for name in names], ast.Load())
        branches = [ast.Name(f"{number}_{kind}", ast.Load()) for kind in ("then", "otherwise")]
        labels = ast.Tuple([ast.Constant(name) for name in names], ast.Load())
        call = ours("choose", ast.Name(test, ast.Load()), *branches, labels, thunks)
        targets = ast.Tuple([ast.Name(name, ast.Store()) for name in names], ast.Store())
        made.append(ast.Assign([targets], call) if names else ast.Expr(call))
        made += [self._unbinding(name) for name in names]
        undecided = ours("undecided", ast.Name(test, ast.Load()))
        return [placed(one, node) for one in (begin, ast.If(undecided, made, [plain]))]

    def _assign(self, node: ast.Assign) -> list[ast.stmt] | None:
        target = node.targets[0]
        if len(node.targets) != 1:
            return None
        if isinstance(target, ast.Name) and target.id in self._by_index:
            return [ast.copy_location(ast.Assign([target], self._expressions.index(copy.deepcopy(node.value))), node)]
        writes: list[ast.stmt] = []
        value = self._expressions.visit(copy.deepcopy(node.value))
        if isinstance(target, ast.Subscript) and varies(target.slice):
            return [self._write(value, target, node)]
        if isinstance(target, ast.Tuple | ast.List):
            elements: list[ast.expr] = []
            for one in target.elts:
                if isinstance(one, ast.Subscript) and varies(one.slice):
                    name = self._temporary()
                    elements.append(ast.Name(name, ast.Store()))
                    writes.append(self._write(ast.Name(name, ast.Load()), one, node))
                else:
                    elements.append(self._expressions.visit(copy.deepcopy(one)))
            if writes:
                first = ast.copy_location(ast.Assign([ast.Tuple(elements, ast.Store())], value), node)
                return [first, *writes]
        return None

    def _write(self, value: ast.expr, target: ast.Subscript, node: ast.stmt) -> ast.stmt:
        owner = self._expressions.visit(copy.deepcopy(target.value))
        return ast.copy_location(ast.Expr(ours("write", value, owner, self._expressions.index(target.slice))), node)

    def _update(self, node: ast.AugAssign, target: ast.Subscript) -> ast.stmt:
        owner, index = self._expressions.visit(copy.deepcopy(target.value)), self._expressions.index(target.slice)
        change = ast.Attribute(ours_name("operator"), _OPERATORS[type(node.op)], ast.Load())
        value = self._expressions.visit(copy.deepcopy(node.value))
        return ast.copy_location(ast.Expr(ours("update", owner, index, change, value)), node)

    def _augmented(self, node: ast.AugAssign, target: ast.Name) -> ast.stmt:
        change = ast.Attribute(ours_name("operator"), _OPERATORS[type(node.op)], ast.Load())
        value = self._expressions.visit(copy.deepcopy(node.value))
        made = ours("augmented", change, ast.Name(target.id, ast.Load()), value)
        return ast.copy_location(ast.Assign([ast.Name(target.id, ast.Store())], made), node)

    # Loops.

    def _loop(self, node: ast.For, around: _Around, original: ast.While | None = None) -> list[ast.stmt]:
        """Both forms of a loop.

        Args:
            node: the loop.
            around: what stands around it.
            original: the while loop that counts as this one does, where it is one.
        """
        self._touched = True
        whole = original or node
        inside = _Around(rest=[whole, *around.rest])
        over = self._temporary()
        body, orelse = self.block(whole.body, inside), self.block(whole.orelse, around)
        plain: ast.stmt = ast.For(node.target, ast.Name(over, ast.Load()), body, orelse, None)
        converted = self._converted(node, around, over)
        if original is not None:
            plain = ast.While(self._expressions.visit(copy.deepcopy(original.test)), body, orelse)
            converted.append(ast.Assign([node.target], ours("end_of", ast.Name(over, ast.Load()))))
        begin = ast.Assign([ast.Name(over, ast.Store())], self._expressions.visit(copy.deepcopy(node.iter)))
        choice = ast.If(ours("is_time", ast.Name(over, ast.Load())), converted, [plain])
        return [placed(one, whole) for one in (begin, choice)]

    def _converted(self, node: ast.For, around: _Around, over: str) -> list[ast.stmt]:
        whole = [ast.Assign([node.target], ast.Constant(None)), *node.body]
        site = self._site(node, whole, around)
        number = ast.Constant(self._scope.keep(site))
        found = obstacle(node)
        if found is not None:
            reason, line = found
            return [ast.Expr(ours("refuse", number, ast.Constant(reason), ast.Constant(line)))]
        foreign = [name for name in changed_in_place(node.body, of_containers=True) if name not in self._scope.locals]
        if foreign:
            reason = f"it changes '{foreign[0]}', which is no name of its own function."
            return [ast.Expr(ours("refuse", number, ast.Constant(reason), ast.Constant(node.lineno)))]
        names = site.names
        step = self._temporary()
        leave = ast.Return(ast.Tuple([ours("fetch", thunk(name)) for name in names], ast.Load()))
        body: list[ast.stmt] = [self._unbinding(name) for name in names]
        body.append(ast.Assign([copy.deepcopy(node.target)], ast.Name("_rnnx_at", ast.Load())))
        body += self.block(node.body, _Around(rest=[node, *around.rest], leave=leave))
        body.append(leave)
        function = define(step, arguments(["_rnnx_at", *names]), body)
        thunks, watched = (ast.Tuple([thunk(name) for name in group], ast.Load()) for group in (names, site.watched))
        call = ours("run", number, ast.Name(over, ast.Load()), ast.Name(step, ast.Load()), thunks, watched)
        targets = ast.Tuple([ast.Name(name, ast.Store()) for name in names], ast.Store())
        done: ast.stmt = ast.Assign([targets], call) if names else ast.Expr(call)
        after = [self._unbinding(name) for name in names]
        return [function, done, *after, *self.block(node.orelse, around)]

    def _site(self, node: ast.For, whole: list[ast.stmt], around: _Around) -> Site:
        local = self._scope.locals
        assigned = [name for name in written(whole) if name in local]
        changed = [name for name in changed_in_place(node.body) if name in local]
        exposed_names = exposed(whole) & local
        live = (exposed(around.rest) | exposed(node.orelse)) & local
        # What is neither read before it is written nor read later is a step's own.
        names = [name for name in assigned if name in exposed_names or name in live]
        names += [name for name in changed if name not in names]
        return Site(
            file=self._scope.file,
            line=node.lineno,
            code=self._scope.line(node.lineno),
            names=tuple(names),
            exposed=frozenset(exposed_names),
            changed=frozenset(changed),
            live=frozenset(live),
            watched=tuple(sorted((_loads(node.body) & local) - set(names) - set(assigned))),
            advice=advice(node, [name for name in names if name in exposed_names or name in changed]),
        )

    # Pieces.

    def _unbinding(self, name: str) -> ast.stmt:
        test = ast.Compare(ast.Name(name, ast.Load()), [ast.Is()], [ours_name("UNBOUND")])
        return ast.If(test, [ast.Delete([ast.Name(name, ast.Del())])], [])

    def _temporary(self) -> str:
        self._temporaries += 1
        return f"_rnnx_{self._temporaries}"


def _loads(statements: Sequence[ast.stmt]) -> set[str]:
    return {name for statement in statements for name in read(statement)}
