"""Bodies of loops: what one step does, recorded once and kept for the operator that stands for all steps."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor
from torch.export import Dim
from torch.fx.experimental import _config as shape_config
from torch.utils import _pytree as pytree

from ..errors import CaptureError, InputError
from .quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .observed import Observed
    from .recording import Body

#: Bodies that were captured, by the number that stands in the graph. Whoever captured keeps them alive.
BODIES: WeakValueDictionary[int, Body] = WeakValueDictionary()
_numbers = itertools.count()

#: Example sizes for axes whose size only data decides; none is another example's size.
_UNKNOWN_SIZES = (7, 5, 43, 47, 53, 59)


def keep(body: Body, observed: Observed) -> int:
    """Give a body a number; it lives as long as what was observed."""
    number = next(_numbers)
    BODIES[number] = body
    observed.bodies.append(body)
    return number


def check_state(before: Any, after: Any, what: str) -> None:  # noqa: ANN401
    """The state must come back as it went in, or no loop in a graph could carry it.

    Raises:
        InputError: the step of ``what`` (``scan``) returned a state of another structure, shape or dtype.
    """
    old, new = pytree.tree_structure(before), pytree.tree_structure(after)
    if old != new:
        raise InputError(f"the step of a {what} was given a state {old} and returned {new}. Return the same structure.")
    for one, other in zip(pytree.tree_leaves(before), pytree.tree_leaves(after), strict=True):
        if not isinstance(one, Tensor) or not isinstance(other, Tensor):
            kind = type(other if isinstance(one, Tensor) else one).__name__
            raise InputError(f"the state of a {what} holds a {kind}; it may hold tensors only.")
        if one.dtype != other.dtype or tuple(one.shape) != tuple(other.shape):
            raise InputError(
                f"the step of a {what} was given a state {one.dtype} {tuple(one.shape)} and returned {other.dtype} "
                f"{tuple(other.shape)}. Return the same dtype and shape; begin with a state of the full batch."
            )


def stacked(outputs: Sequence[Any], time_axis: int) -> Any:  # noqa: ANN401
    """The outputs of all steps, of one structure, with their steps along this axis; None stays None."""
    leaves = zip(*(pytree.tree_leaves(one) for one in outputs), strict=True)
    found = [one[0] if one[0] is None else torch.stack(one, min(time_axis, one[0].dim())) for one in leaves]
    return pytree.tree_unflatten(found, pytree.tree_structure(outputs[0]))


def restored(results: Sequence[Tensor], state: Any, output: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """An operator's results, final states and then outputs, in the structures of a state and of one step's output."""
    structure = pytree.tree_structure(state)
    outputs = iter(results[structure.num_leaves :])
    return (
        pytree.tree_unflatten(list(results[: structure.num_leaves]), structure),
        pytree.tree_map(lambda one: None if one is None else next(outputs), output),
    )


def fake_results(results: Sequence[Tensor], states: int, steps: Any, time_axis: int) -> list[Tensor]:  # noqa: ANN401
    """What all steps of a body would give, without numbers: ``results`` are those of one, the states first."""
    finals = [torch.empty_like(one) for one in results[:states]]
    outputs = []
    for one in results[states:]:
        shape = list(one.shape)
        shape.insert(min(time_axis, len(shape)), steps)
        outputs.append(one.new_empty(shape))
    return [*finals, *outputs]


def body_program(number: int, name: str, traced: Sequence[Tensor]) -> torch.export.ExportedProgram:
    """A body as a program of its own, dynamic where the model around it is.

    Args:
        number: of the body.
        name: of the loop, for messages.
        traced: a value for each input of the body, as torch traced it.

    Raises:
        CaptureError: the step cannot be captured.
    """
    dims: dict[str, Any] = {}
    sizes: dict[Any, int] = {}
    examples = []
    shapes = []
    for one in traced:
        shape: Sequence[Any] = one.shape  # torch types a size as int, whatever it is
        examples.append(torch.zeros([_example_size(size, sizes) for size in shape], dtype=one.dtype))
        shapes.append([_dim(size, dims) for size in shape])
    # At last without names: torch may then find that sizes depend on each other, or assume that one is not 1. What
    # the loop gives at such a size is for the parity matrix to show.
    unnamed = [[one if one is Dim.STATIC else Dim.DYNAMIC for one in shape] for shape in shapes]
    last: Exception | None = None
    for form, oblivious in ((shapes, False), (shapes, True), (unnamed, False)):
        try:
            patched = shape_config.patch(backed_size_oblivious=oblivious)  # type: ignore[attr-defined]
            with quiet("torch.export", "torch.fx"), patched:
                return torch.export.export(BODIES[number], tuple(examples), dynamic_shapes=(tuple(form),), strict=False)
        except Exception as error:  # noqa: BLE001  (torch raises of every kind)
            last = error
    lines = [line.strip() for line in str(last).splitlines() if line.strip()]
    raise CaptureError(
        f"the step of '{name}' cannot be exported: {type(last).__name__}: {' '.join(lines[:3])[:500]}"
    ) from last


def _example_size(size: Any, chosen: dict[Any, int]) -> int:  # noqa: ANN401
    """The size in the example that was traced; one of our own for what only data decides."""
    if not isinstance(size, torch.SymInt):
        return int(size)
    if size.node.hint is not None:
        return int(size.node.hint)
    known = size.node.shape_env.backed_var_to_val
    for symbol in sorted(size.node.expr.free_symbols, key=str):
        if symbol not in chosen:
            new = len(chosen) % len(_UNKNOWN_SIZES)
            chosen[symbol] = int(known[symbol]) if symbol in known else _UNKNOWN_SIZES[new]
    return int(size.node.expr.subs(chosen))


def _dim(size: Any, dims: dict[str, Any]) -> Any:  # noqa: ANN401
    if not isinstance(size, torch.SymInt):
        return Dim.STATIC
    expression = str(size.node.expr)
    if not expression.isidentifier():
        return Dim.DYNAMIC  # an expression: torch finds out again what it depends on
    return dims.setdefault(expression, Dim(f"axis_{expression}", min=1))
