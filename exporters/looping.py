"""``while_loop``: a loop whose end depends on data. Plain Python in eager PyTorch, one ONNX ``Loop`` when exported."""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003  (torch reads the operator's annotations)
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


def while_loop(
    condition: Callable[..., Tensor],
    step: Callable[..., tuple[Any, Any]],
    state: Any,  # noqa: ANN401
    *constants: Any,  # noqa: ANN401
    max_steps: int | Tensor | None = None,
    time_axis: int = 1,
) -> tuple[Any, Any]:
    """Carry a state as long as a condition holds: ``while condition(state): state, output = step(state)``.

    In eager PyTorch this is a plain loop. Exported it is one ONNX ``Loop``, dynamic in batch and in the number of its
    steps: decoding until every row has ended, iterating until nothing changes. ``step`` and ``condition`` may use
    anything around them: a module's weights, an encoder's memory.

    Args:
        condition: from a state, and the constants, to a boolean tensor of one element. It is asked before each step.
        step: from a state, and the constants, to the next state, of the same structure, shapes and dtypes, and an
            output: a tensor, any nesting of tensors, or None. Outputs have the same shape in every step.
        state: a tensor or any nesting (tuples, lists, dicts) of tensors ``(batch, ...)``.
        *constants: given to every step as they are.
        max_steps: end after so many steps, whatever the condition says; an int64 tensor of one element where it is
            an input of the model.
        time_axis: where the outputs' steps go: 1 for ``(batch, steps, ...)``, 0 for ``(steps, batch, ...)``.

    Returns:
        The final state, and the outputs of all steps in the structure that ``step`` gave them. Where there was no
        step they have none.

    Raises:
        InputError: ``condition`` gives something else than one boolean, ``max_steps`` is no whole number of one
            element, or ``step`` returns a state of another structure, shape or dtype.
    """
    if time_axis not in {0, 1}:
        raise InputError(f"while_loop was given the time axis {time_axis}; steps are stacked along axis 0 or 1.")
    limit = _limit(max_steps, state)
    observed = observing()
    if observed is None:
        return _loop(condition, step, state, constants, limit=limit, time_axis=time_axis)
    return _captured(observed, condition, step, state, constants, limit=limit, time_axis=time_axis)


def _loop(
    condition: Callable[..., Tensor],
    step: Callable[..., tuple[Any, Any]],
    state: Any,  # noqa: ANN401
    constants: tuple[Any, ...],
    *,
    limit: Tensor | None,
    time_axis: int,
) -> tuple[Any, Any]:
    steps = None if limit is None else int(limit)
    outputs: list[Any] = []
    while (steps is None or len(outputs) < steps) and bool(_one_boolean(condition(state, *constants))):
        following, output = step(state, *constants)
        check_state(state, following, "while_loop")
        state = following
        outputs.append(output)
    if not outputs:
        # What the outputs would have looked like, one step must tell; its answer is not used.
        _, output = step(state, *constants)
        return state, pytree.tree_map(
            lambda one: one if one is None else one.narrow(min(time_axis, one.dim() - 1), 0, 0),
            stacked([output], time_axis),
        )
    return state, stacked(outputs, time_axis)


def _captured(
    observed: Observed,
    condition: Callable[..., Tensor],
    step: Callable[..., tuple[Any, Any]],
    state: Any,  # noqa: ANN401
    constants: tuple[Any, ...],
    *,
    limit: Tensor | None,
    time_axis: int,
) -> tuple[Any, Any]:
    """Record one step, and leave one operator in the graph that stands for all of them."""
    begins = _one_boolean(condition(state, *constants))
    # Tensors of their own, so that one that is given twice is two inputs of the body.
    initial = [one.clone() for one in pytree.tree_leaves(state)]
    with Recorder(initial) as recorder:
        given = pytree.tree_unflatten(initial, pytree.tree_structure(state))
        following, output = step(given, *constants)
        goes_on = _one_boolean(condition(following, *constants))
    check_state(state, following, "while_loop")
    answered = [one for one in pytree.tree_leaves(output) if one is not None]
    number = keep(recorder.finish([goes_on, *pytree.tree_leaves(following), *answered]), observed)
    results = torch.ops.rnnx.while_loop.default(
        begins,
        limit,
        pytree.tree_leaves(state),
        recorder.captured,
        number,
        time_axis,
        [size for one in answered for size in one.shape],
        observed.loop_name("loop"),
    )
    return restored(results, state, output)


@torch.library.custom_op("rnnx::while_loop", mutates_args=())
def while_loop_operator(
    condition: Tensor,
    limit: Tensor | None,
    states: list[Tensor],
    captured: list[Tensor],
    body: int,
    time_axis: int,
    sizes: Sequence[int],
    name: str,
) -> list[Tensor]:
    """All steps of a recorded body: final states, then stacked outputs; ``sizes`` are those of one step's outputs."""
    count = len(states)

    def step(state: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        goes_on, *results = BODIES[body](*state[1:], *captured)
        return [goes_on, *results[:count]], results[count:]

    finals, outputs = _loop(lambda state: state[0], step, [condition, *states], (), limit=limit, time_axis=time_axis)
    # An operator's results are its own: a body that leaves a state as it is would give back its argument.
    return [one.clone() for one in (*finals[1:], *outputs)]


@while_loop_operator.register_fake
def _(
    condition: Tensor,
    limit: Tensor | None,
    states: list[Tensor],
    captured: list[Tensor],
    body: int,
    time_axis: int,
    sizes: Sequence[int],
    name: str,
) -> list[Tensor]:
    _, *results = BODIES[body](*states, *captured)
    steps = torch.library.get_ctx().new_dynamic_size(min=0) if len(results) > len(states) else 0
    return fake_results(results, len(states), steps, time_axis)


def _one_boolean(answer: Any) -> Tensor:  # noqa: ANN401
    if not isinstance(answer, Tensor) or answer.dtype is not torch.bool or answer.numel() != 1:
        found = f"{answer.dtype} {tuple(answer.shape)}" if isinstance(answer, Tensor) else type(answer).__name__
        raise InputError(
            f"the condition of a while_loop gave {found}; it must give a boolean tensor of one element, such as "
            "`~finished.all()`."
        )
    return answer.reshape(())


def _limit(max_steps: int | Tensor | None, state: Any) -> Tensor | None:  # noqa: ANN401
    """The largest number of steps as an int64 scalar, on the state's device."""
    if max_steps is None:
        return None
    if isinstance(max_steps, Tensor):
        if max_steps.numel() != 1 or max_steps.dtype.is_floating_point or max_steps.dtype is torch.bool:
            raise InputError(
                f"max_steps is a tensor {max_steps.dtype} {tuple(max_steps.shape)}; it must be one whole number."
            )
        return max_steps.reshape(()).to(torch.int64)
    if isinstance(max_steps, bool) or not isinstance(max_steps, int | torch.SymInt):
        raise InputError(f"max_steps is {max_steps!r}; it must be a whole number, a tensor of one, or None.")
    device = next((one.device for one in pytree.tree_leaves(state) if isinstance(one, Tensor)), None)
    return torch.full((), max_steps, dtype=torch.int64, device=device)
