"""Which functions of a source are rewritten while it is captured, and how they are put in place and taken out again.

A function keeps its identity: its code is replaced for the time of a block, as standins.py does with torch's own, so
decorators, closures, ``super()`` and references that others hold go on working. The new code knows itself whether its
own thread is capturing; in any other thread it does what the old one did.
"""

from __future__ import annotations

import ast
import copy
import functools
import inspect
import itertools
import linecache
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..standins import PATCHING
from .called import SITES, Site
from .expressions import OURS, Scope
from .rewriting import rewrite
from .syntax import arguments, define, define_class

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_FOREIGN = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]), "<frozen")
#: The standard library's folder, and the folders of what is installed, which may be within it.
_STANDARD = str(Path(ast.__file__).parent)
_INSTALLED = ("site-packages", "dist-packages")
#: Flags of ``from __future__`` imports.
_FUTURE = 0x1F00000
_numbers = itertools.count()


@contextmanager
def converting(module: nn.Module) -> Iterator[None]:
    """Within this block the loops of a module's own functions can become scans."""
    with PATCHING, ExitStack() as stack:
        numbers: list[int] = []
        stack.callback(lambda: [SITES.pop(number) for number in numbers])

        def keep(site: Site) -> int:
            numbers.append(next(_numbers))
            SITES[numbers[-1]] = site
            return numbers[-1]

        for function in functions_of(module):
            code = _rewritten(function, keep)
            if code is not None:
                stack.callback(setattr, function, "__code__", function.__code__)
                function.__code__ = code
        yield


def functions_of(module: nn.Module) -> list[FunctionType]:
    """The functions of a source: methods of its classes, and what these find in their own modules.

    Classes of torch and of this package are nobody's source; nor are libraries that a source only calls.
    """
    found: dict[int, FunctionType] = {}
    waiting: list[Any] = []
    for one in module.modules():
        waiting += [kind for kind in type(one).__mro__ if issubclass(kind, nn.Module)]
        waiting += [value for value in vars(one).values() if inspect.isroutine(value)]
    packages = {kind.__module__.partition(".")[0] for kind in waiting if isinstance(kind, type)}
    seen: set[int] = set()
    while waiting:
        one = _bare(waiting.pop())
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, type):
            waiting += list(vars(one).values()) if _own(_file_of_class(one), one.__module__, packages) else []
        elif isinstance(one, property):
            waiting += [part for part in (one.fget, one.fset) if part is not None]
        elif isinstance(one, FunctionType) and _own(one.__code__.co_filename, one.__module__ or "", packages):
            found[id(one)] = one
            waiting += _used(one)
    return list(found.values())


def _used(function: FunctionType) -> list[Any]:
    """What a function may call: globals that it names, and values of its closure."""
    names = _names(function.__code__)
    there = [function.__globals__[name] for name in names if name in function.__globals__]
    # `layers.run(...)`, where `layers` is a module of the source.
    modules = [one for one in there if isinstance(one, ModuleType)]
    there += [vars(one)[name] for one in modules for name in names if name in vars(one)]
    for cell in function.__closure__ or ():
        try:
            there.append(cell.cell_contents)
        except ValueError:  # not filled yet
            continue
    there.append(getattr(function, "__wrapped__", None))
    return [one for one in there if isinstance(one, type | property) or inspect.isroutine(one)]


def _names(code: CodeType) -> set[str]:
    return {*code.co_names, *(name for one in code.co_consts if isinstance(one, CodeType) for name in _names(one))}


def _bare(value: Any) -> Any:  # noqa: ANN401
    """What is inside a bound, static or class method."""
    return getattr(value, "__func__", value)


def _own(file: str, module: str, packages: set[str]) -> bool:
    """Whether a file is the source's: none of torch's or ours, no standard one, no library beside the source's own."""
    if not file or file.startswith(_FOREIGN):
        return False
    if any(folder in Path(file).parts for folder in _INSTALLED):
        return module.partition(".")[0] in packages
    return not file.startswith(_STANDARD)


def _file_of_class(kind: type) -> str:
    return getattr(sys.modules.get(kind.__module__), "__file__", None) or _file_of_methods(kind)


def _file_of_methods(kind: type) -> str:
    bare = (_bare(one) for one in vars(kind).values())
    return next((one.__code__.co_filename for one in bare if isinstance(one, FunctionType)), "")


def _rewritten(function: FunctionType, keep: Any) -> CodeType | None:  # noqa: ANN401
    """The function's code with its loops rewritten; None where there is nothing to rewrite, or no source to read."""
    code = function.__code__
    if code.co_flags & (inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
        return None
    lines = linecache.getlines(code.co_filename, function.__globals__)
    node = _definition("".join(lines), code)
    if node is None:
        return None
    if not rewrite(node, Scope(file=code.co_filename, source=lines, keep=keep)):
        return None
    imported = ast.ImportFrom(__package__, [ast.alias("called", OURS)], 0)
    documented = ast.get_docstring(node, clean=False) is not None
    node.body.insert(int(documented), ast.copy_location(imported, node.body[0]))
    return _compiled(node, code)


def _definition(source: str, code: CodeType) -> ast.FunctionDef | None:
    """The function's definition; None where the file does not say what the function does, edited since its import."""
    definitions, codes = _parsed(source, code.co_filename, code.co_flags & _FUTURE)
    if not any(_same(one, code) for one in codes):
        return None
    found = definitions.get((code.co_name, code.co_firstlineno))
    return None if found is None else copy.deepcopy(found)


@functools.lru_cache(maxsize=16)
def _parsed(source: str, file: str, flags: int) -> tuple[dict[tuple[str, int], ast.FunctionDef], list[CodeType]]:
    """The definitions of a file by name and first line, and what they are compiled to; nothing if it has no syntax."""
    try:
        tree = ast.parse(source)
        known = compile(source, file, "exec", flags=flags, dont_inherit=True)
    except SyntaxError:
        return {}, []
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    first = [min([node.lineno, *(one.lineno for one in node.decorator_list)]) for node in nodes]
    return {(node.name, line): node for node, line in zip(nodes, first, strict=True)}, list(_codes(known))


def _codes(code: CodeType) -> Iterator[CodeType]:
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield one
            yield from _codes(one)


def _same(one: CodeType, other: CodeType) -> bool:
    return (one.co_qualname, one.co_firstlineno, one.co_code) == (
        other.co_qualname,
        other.co_firstlineno,
        other.co_code,
    )


def _compiled(node: ast.FunctionDef, code: CodeType) -> CodeType | None:
    """A definition compiled in the surroundings of its code; None where it cannot take the code's place."""
    bare = define(node.name, _without_defaults(node.args), node.body)
    ast.copy_location(bare, node)
    inside: list[ast.stmt] = [bare]
    owner = _class_of(code)
    if owner is not None:
        # Private names, `self.__h`, are spelled by the class that they stand in.
        inside = [define_class(owner, inside)]
    free = [name for name in code.co_freevars if name != "__class__" or owner is None]
    outside = define("_rnnx_outside", arguments(free), inside)
    tree = ast.fix_missing_locations(ast.Module([ast.copy_location(outside, node)], []))
    flags = code.co_flags & _FUTURE
    made: CodeType = compile(tree, code.co_filename, "exec", flags=flags, dont_inherit=True)
    for name in ("_rnnx_outside", *([owner] if owner is not None else []), code.co_name):
        made = next(one for one in made.co_consts if isinstance(one, CodeType) and one.co_name == name)
    if made.co_freevars != code.co_freevars or made.co_varnames[: _count(code)] != code.co_varnames[: _count(code)]:
        return None
    return made.replace(co_qualname=code.co_qualname)


def _count(code: CodeType) -> int:
    variadic = bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    return code.co_argcount + code.co_kwonlyargcount + variadic


def _class_of(code: CodeType) -> str | None:
    """The name of the class that a function was defined in, from its qualified name."""
    parts = code.co_qualname.split(".")
    return parts[-2] if len(parts) > 1 and parts[-2] != "<locals>" else None


def _without_defaults(given: ast.arguments) -> ast.arguments:
    """Defaults and annotations belong to the function, not to its code; how many there are does not matter."""

    def bare(names: Sequence[ast.arg]) -> list[ast.arg]:
        return [ast.arg(one.arg) for one in names]

    return ast.arguments(
        posonlyargs=bare(given.posonlyargs),
        args=bare(given.args),
        vararg=None if given.vararg is None else ast.arg(given.vararg.arg),
        kwonlyargs=bare(given.kwonlyargs),
        kw_defaults=[None] * len(given.kwonlyargs),
        kwarg=None if given.kwarg is None else ast.arg(given.kwarg.arg),
        defaults=[],
    )
