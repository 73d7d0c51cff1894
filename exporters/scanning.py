"""``scan``: a recurrence of one's own. A plain loop in eager PyTorch, one ONNX ``Scan`` when exported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ..errors import InputError
from .bodies import BODIES, check_state, fake_results, keep, restored, stacked
from .recording import Recorder
from .standins import observing

if TYPE_CHECKING:
    from collections.abc import Callable

    from .observed import Observed


def scan(
    step: Callable[..., tuple[Any, Any]],
    state: Any,  # noqa: ANN401
    sequence: Any,  # noqa: ANN401
    *constants: Any,  # noqa: ANN401
    reverse: bool = False,
    lengths: Tensor | None = None,
    time_axis: int = 1,
) -> tuple[Any, Any]:
    """Carry a state over a sequence: ``state, output_t = step(state, sequence_t, *constants)`` for every ``t``.

    In eager PyTorch this is a plain loop, so models train with it. Exported it is one ONNX ``Scan``, dynamic in batch
    and time. ``step`` may use anything around it: a module's weights, an encoder's memory.

    Args:
        step: from a state and one step of the sequence to the next state, of the same structure, shapes and dtypes,
            and an output: a tensor, any nesting of tensors, or None.
        state: a tensor or any nesting (tuples, lists, dicts) of tensors ``(batch, ...)``.
        sequence: a tensor or any nesting of tensors ``(batch, time, ...)``; ``step`` gets ``(batch, ...)``.
        *constants: given to every step as they are.
        reverse: begin at the last step. Outputs stay in the sequence's own order.
        lengths: int64 ``(batch,)``; past a row's length its state stays, and its outputs are zero. In reverse its
            state begins to move at its own last step.
        time_axis: 1 for ``(batch, time, ...)``, 0 for ``(time, batch, ...)`` or sequences without a batch.

    Returns:
        The final state, and the outputs ``(batch, time, ...)`` in the structure that ``step`` gave them.

    Raises:
        InputError: the sequence holds no tensors or tensors of different times, has no steps, or ``step`` returns a
            state of another structure, shape or dtype.
    """
    steps = _number_of_steps(sequence, time_axis)
    if lengths is not None:
        step, sequence = _masked(step, sequence, lengths, steps, time_axis)
    observed = observing()
    if observed is None:
        return _loop(step, state, sequence, constants, steps=steps, reverse=reverse, time_axis=time_axis)
    return _captured(observed, step, state, sequence, constants, reverse=reverse, time_axis=time_axis)


def _loop(
    step: Callable[..., tuple[Any, Any]],
    state: Any,  # noqa: ANN401
    sequence: Any,  # noqa: ANN401
    constants: tuple[Any, ...],
    *,
    steps: int,
    reverse: bool,
    time_axis: int,
) -> tuple[Any, Any]:
    if steps == 0:
        raise InputError("scan was given a sequence of no steps; its outputs are not known. Give at least one step.")
    outputs = []
    for t in reversed(range(steps)) if reverse else range(steps):
        following, output = step(state, _at(sequence, time_axis, t), *constants)
        check_state(state, following, "scan")
        state = following
        outputs.append(output)
    if reverse:
        outputs.reverse()
    return state, stacked(outputs, time_axis)


def _captured(
    observed: Observed,
    step: Callable[..., tuple[Any, Any]],
    state: Any,  # noqa: ANN401
    sequence: Any,  # noqa: ANN401
    constants: tuple[Any, ...],
    *,
    reverse: bool,
    time_axis: int,
) -> tuple[Any, Any]:
    """Record one step, and leave one operator in the graph that stands for all of them."""
    # Tensors of their own, so that one that is given twice is two inputs of the body.
    initial = [one.clone() for one in pytree.tree_leaves(state)]
    sequences = pytree.tree_leaves(sequence)
    first = [one.clone() for one in pytree.tree_leaves(_at(sequence, time_axis, 0))]
    with Recorder([*initial, *first]) as recorder:
        following, output = step(
            pytree.tree_unflatten(initial, pytree.tree_structure(state)),
            pytree.tree_unflatten(first, pytree.tree_structure(sequence)),
            *constants,
        )
    check_state(state, following, "scan")
    answered = [one for one in pytree.tree_leaves(output) if one is not None]
    number = keep(recorder.finish([*pytree.tree_leaves(following), *answered]), observed)
    results = torch.ops.rnnx.scan.default(
        pytree.tree_leaves(state), sequences, recorder.captured, number, time_axis, reverse, observed.loop_name("scan")
    )
    return restored(results, state, output)


@torch.library.custom_op("rnnx::scan", mutates_args=())
def scan_operator(
    states: list[Tensor],
    sequences: list[Tensor],
    captured: list[Tensor],
    body: int,
    time_axis: int,
    reverse: bool,  # noqa: FBT001  (a custom operator's schema has no keyword-only arguments)
    name: str,
) -> list[Tensor]:
    """All steps of a recorded body: final states, then stacked outputs."""
    count = len(states)

    def step(state: list[Tensor], x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        results = BODIES[body](*state, *x, *captured)
        return list(results[:count]), list(results[count:])

    steps = sequences[0].shape[time_axis]
    finals, outputs = _loop(step, states, sequences, (), steps=steps, reverse=reverse, time_axis=time_axis)
    # An operator's results are its own: a body that leaves a state as it is would give back its argument.
    return [one.clone() for one in (*finals, *outputs)]


@scan_operator.register_fake
def _(
    states: list[Tensor],
    sequences: list[Tensor],
    captured: list[Tensor],
    body: int,
    time_axis: int,
    reverse: bool,  # noqa: FBT001
    name: str,
) -> list[Tensor]:
    first = [one.select(time_axis, 0) for one in sequences]
    results = BODIES[body](*states, *first, *captured)
    return fake_results(results, len(states), sequences[0].shape[time_axis], time_axis)


def _at(sequence: Any, time_axis: int, t: int) -> Any:  # noqa: ANN401
    return pytree.tree_map(lambda one: one.select(time_axis, t), sequence)


def _masked(
    step: Callable[..., tuple[Any, Any]],
    sequence: Any,  # noqa: ANN401
    lengths: Tensor,
    steps: int,
    time_axis: int,
) -> tuple[Callable[..., tuple[Any, Any]], Any]:
    """The step and the sequence with a mask of the frames that are a row's own."""
    leaf = pytree.tree_leaves(sequence)[0]
    frames = torch.arange(steps, device=leaf.device)
    lengths = lengths.to(leaf.device)
    valid = frames < lengths.unsqueeze(1) if time_axis == 1 else frames.unsqueeze(1) < lengths

    def masked(state: Any, x: tuple[Any, Tensor], *constants: Any) -> tuple[Any, Any]:  # noqa: ANN401
        following, output = step(state, x[0], *constants)
        check_state(state, following, "scan")
        kept = pytree.tree_map(lambda new, old: torch.where(_like(x[1], new), new, old), following, state)
        return kept, pytree.tree_map(lambda one: one if one is None else _zero_unless(x[1], one), output)

    return masked, (sequence, valid)


def _zero_unless(valid: Tensor, tensor: Tensor) -> Tensor:
    return torch.where(_like(valid, tensor), tensor, torch.zeros_like(tensor))


def _like(valid: Tensor, tensor: Tensor) -> Tensor:
    """``(batch,)`` with as many axes as the tensor."""
    for _ in range(tensor.dim() - 1):
        valid = valid.unsqueeze(-1)
    return valid


def _number_of_steps(sequence: Any, time_axis: int) -> int:  # noqa: ANN401
    leaves = pytree.tree_leaves(sequence)
    if not leaves or not all(isinstance(one, Tensor) for one in leaves):
        kinds = sorted({type(one).__name__ for one in leaves}) or ["nothing"]
        raise InputError(f"scan goes over tensors; the sequence holds {', '.join(kinds)}. Pass (batch, time, ...).")
    if time_axis not in {0, 1} or any(one.dim() <= time_axis for one in leaves):
        shapes = ", ".join(str(tuple(one.shape)) for one in leaves)
        raise InputError(f"scan over axis {time_axis} of tensors {shapes}; time is axis 0 or 1 of every tensor.")
    steps: int = leaves[0].shape[time_axis]
    for one in leaves[1:]:
        if one.shape[time_axis] != steps:
            raise InputError(
                f"scan was given sequences of {steps} and {one.shape[time_axis]} steps. Give all the same number."
            )
    return steps
