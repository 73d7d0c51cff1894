"""Capture: an ``nn.Module`` becomes an exported program that is dynamic in every declared axis.

``torch.export`` does the tracing. This module prepares it (recurrent layers and packed sequences answer in our own
way while it runs, see recurrence.py and packed.py), names the axes, and turns what torch says of a frozen axis into
the module, file and line that froze it.
"""

from __future__ import annotations

import inspect
import io
import itertools
import re
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.fx.experimental import _config as shape_config

from ..errors import CaptureError, SignatureError
from .arguments import bind, example_inputs
from .frozen import cannot_capture, freezing, refuse_frozen
from .loops.converting import converting
from .observed import Observed
from .quiet import quiet
from .ranges import Ranges, with_steps
from .standins import capturing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..signature import AxisRange, Signature, TensorSpec

#: How torch writes a size that is not known: s27 where an input has it, u0 where data decides.
_SYMBOL = re.compile(r"\b[suz]\d+\b")


@dataclass(frozen=True, kw_only=True, slots=True)
class Captured:
    """A model as a graph.

    Attributes:
        program: torch's exported program, with ``rnnx::`` operators for recurrent layers.
        signature: the declared one, with the ranges of the axes that torch found.
        output_axes: one tuple of axes an output, sizes as numbers or expressions over axis names.
        needs_sorted_lengths: see :class:`Observed`.
        trimmed: see :class:`Observed`.
        zeroed: see :class:`Observed`.
        example: sizes of the axes in the example that was traced.
        symbols: axis names, or expressions over them, by the symbols that the program's shapes are written in.
        bodies: what the steps of loops do; the program names them by number, so they must live as long.
    """

    program: torch.export.ExportedProgram
    signature: Signature
    output_axes: tuple[tuple[int | str, ...], ...]
    needs_sorted_lengths: bool
    trimmed: bool
    zeroed: tuple[str, ...]
    example: Mapping[str, int]
    symbols: Mapping[str, str]
    bodies: Sequence[nn.Module]


def capture(module: nn.Module, signature: Signature, *, example: Mapping[str, int] | None = None) -> Captured:
    """Capture a model in eval mode.

    Args:
        module: the source. It is traced with example inputs and left as it was.
        signature: its inputs; outputs are not looked at.
        example: sizes for the example's axes, where the model cannot take the default ones.

    Raises:
        SignatureError: the inputs do not fit ``module.forward``.
        CaptureError: the model fails on the example, or freezes a declared axis.
    """
    sizes, inputs = example_inputs(signature, example or {})
    kwargs = bind(signature, inputs)
    names = {id(one): name for name, one in module.named_modules()}
    run = Observed(module_names=names, modules=tuple(module.modules()))
    _try_source(module, kwargs, sizes)
    with capturing(run), converting(module), freezing(run.freezes):
        program, ranges = _export(module, signature, kwargs, sizes, run)
    symbols = _symbols(program, signature)
    ranges = tuple(with_steps(program, {one.name: one for one in ranges}, symbols).values())
    return Captured(
        program=program,
        signature=replace(signature, ranges=ranges),
        output_axes=_output_axes(program, symbols),
        needs_sorted_lengths=run.needs_sorted_lengths,
        trimmed=run.trimmed,
        zeroed=tuple(run.zeroed),
        example=sizes,
        symbols=symbols,
        bodies=run.bodies,
    )


def _try_source(module: nn.Module, kwargs: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    """Run the source itself first: its own errors are clearer than those of a tracer."""
    try:
        with torch.no_grad(), quiet():
            module(**kwargs)
    except Exception as error:
        shown = ", ".join(f"{axis}={size}" for axis, size in sizes.items())
        raise CaptureError(
            f"the model itself fails on example inputs with {shown}: {type(error).__name__}: {error}. "
            "Check the declared inputs against the model's forward, or give sizes that it takes: --example time=12."
        ) from error


def _export(
    module: nn.Module,
    signature: Signature,
    kwargs: Mapping[str, Any],
    sizes: Mapping[str, int],
    run: Observed,
) -> tuple[torch.export.ExportedProgram, tuple[AxisRange, ...]]:
    """Export; where torch finds that an axis has a smaller range than declared, once more with that range.

    torch.export assumes that a symbolic size is neither 0 nor 1. Where a model makes that assumption visible (a
    strided convolution whose answer may be one step long), torch rejects its own assumption as a constraint, and
    a second form of tracing that does without it (``backed_size_oblivious``) is tried; it comes second because it
    misses other constraints, such as a divisor. Where all that torch wants is that some size is not 1 (``target - 1``
    of a target without its last token), a third form assumes sizes for which that is so (see :class:`Ranges`).
    """
    ranges = Ranges(module, signature, sizes)
    for oblivious, larger in ((False, False), (True, False), (False, True)):
        if larger and not ranges.wants_larger:
            break
        for _attempt in range(3):
            run.begin()
            try:
                # torch writes the method `patch` into the module while it loads, where mypy does not see it.
                patched = shape_config.patch(backed_size_oblivious=oblivious)  # type: ignore[attr-defined]
                shapes = ranges.shapes(assumed=not oblivious, larger=larger)
                # Where it fails, torch prints the part of the graph that it has, which no user can read.
                with quiet("torch.export", "torch.fx"), patched, redirect_stderr(io.StringIO()):
                    program = torch.export.export(module, (), dict(kwargs), dynamic_shapes=shapes, strict=False)
            except CaptureError:
                raise
            except Exception as error:  # noqa: BLE001  (torch raises of every kind; all of them are explained)
                last = error
                if not ranges.learn(error, oblivious=oblivious):
                    break
            else:
                return program, tuple(ranges.found.values())
        refuse_frozen(last, run.freezes, ranges.found, sizes, run.module_names)
    raise cannot_capture(last, run.module_names) from last


def _symbols(program: torch.export.ExportedProgram, signature: Signature) -> dict[str, str]:
    """Axis names by torch's own symbols (``s27`` → ``time``)."""
    placeholders = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    symbols: dict[str, str] = {}
    named = list(zip(signature.inputs, program_inputs(program, signature), strict=True))
    for spec, name in named:
        for axis, size in zip(spec.axes, placeholders[name].meta["val"].shape, strict=True):
            if isinstance(axis, str) and isinstance(size, torch.SymInt):
                # An axis that must be a multiple is written `4*s27`, and the graph uses s27 itself.
                factor, symbol = size.node.expr.as_coeff_Mul()
                symbols.setdefault(str(symbol), axis if factor == 1 else f"({axis}//{factor})")
    return symbols | _decided_by_data(program, signature, {one: spec for spec, one in named})


def _decided_by_data(
    program: torch.export.ExportedProgram, signature: Signature, inputs: Mapping[str, TensorSpec]
) -> dict[str, str]:
    """Names for sizes that only data decides: ``steps`` of a loop, and inputs that are sizes themselves."""
    named: dict[str, str] = {}
    taken = {*signature.dynamic_axes}
    for node in program.graph.nodes:
        if node.target is torch.ops.rnnx.while_loop.default:
            _, _, states, _, _, axis, _, _ = node.args
            sizes = [one.shape[axis] for one in node.meta["val"][len(states) :] if one.dim() > axis]
            wanted = "steps"
        elif node.target is torch.ops.aten.item.default and node.args[0].name in inputs:
            sizes, wanted = [node.meta["val"]], inputs[node.args[0].name].name
        else:
            continue
        for symbol in (str(size.node.expr) for size in sizes if isinstance(size, torch.SymInt)):
            if symbol not in named:
                choices = itertools.chain([wanted], (f"{wanted}{number}" for number in itertools.count(2)))
                named[symbol] = next(name for name in choices if name not in taken)
                taken.add(named[symbol])
    return named


def program_inputs(program: torch.export.ExportedProgram, signature: Signature) -> list[str]:
    """The program's name for each of the signature's inputs, in the signature's order."""
    there = program.graph_signature.user_inputs
    names = [spec.argument.replace(".", "_") for spec in signature.inputs]
    if set(names) != set(there):
        raise CaptureError(f"the captured program takes {list(there)}, the signature says {names}.")
    return names


def _output_axes(
    program: torch.export.ExportedProgram, symbols: Mapping[str, str]
) -> tuple[tuple[int | str, ...], ...]:
    nodes = {node.name: node for node in program.graph.nodes}
    axes: list[tuple[int | str, ...]] = []
    for index, name in enumerate(program.graph_signature.user_outputs):
        value = nodes[name].meta["val"] if name in nodes else None
        if not isinstance(value, Tensor):
            raise CaptureError(
                f"output {index} is {value if value is not None else name!r}, which is no tensor. "
                "Return tensors only (or leave the output out)."
            )
        axes.append(tuple(_axis(size, symbols, f"output{index}_axis{d}") for d, size in enumerate(value.shape)))
    return tuple(axes)


def _axis(size: Any, symbols: Mapping[str, str], fallback: str) -> int | str:  # noqa: ANN401
    """A size as a number, an axis name, or an expression over axis names such as ``time//2``."""
    if not isinstance(size, torch.SymInt):
        return int(size)
    return named_size(str(size.node.expr), symbols) or fallback


def named_size(expression: str, symbols: Mapping[str, str]) -> str | None:
    """An expression over torch's symbols as one over axis names; None where it has a symbol of no axis."""
    if any(symbol not in symbols for symbol in _SYMBOL.findall(expression)):
        return None
    named = _SYMBOL.sub(lambda match: symbols[match[0]], expression).replace(" ", "")
    bare = re.fullmatch(r"\(([^()]*)\)", named)
    return bare[1] if bare else named


def check_forward(module: nn.Module, signature: Signature) -> None:
    """Find out whether the declared inputs fit the parameters of ``forward``.

    Raises:
        SignatureError: an input has no parameter, or a parameter without default has no input.
    """
    parameters = inspect.signature(module.forward).parameters
    open_ended = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    named = {
        name: one
        for name, one in parameters.items()
        if one.kind in {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    }
    given = {spec.argument.split(".")[0] for spec in signature.inputs}
    wants = ", ".join(f"'{name}'" for name in named) or "nothing"
    for spec in signature.inputs:
        argument = spec.argument.split(".")[0]
        if argument not in named and not open_ended:
            raise SignatureError(
                f"input '{spec.name}' goes to the argument '{argument}', which {type(module).__name__}.forward does "
                f"not have; it takes {wants}. Name the input so, or write '{spec.name} -> ARGUMENT: ...'."
            )
    for name, one in named.items():
        if one.default is inspect.Parameter.empty and name not in given:
            raise SignatureError(
                f"{type(module).__name__}.forward needs the argument '{name}', which no input goes to. "
                f'Declare it: --input "{name}: float32[batch, time, ...]".'
            )
