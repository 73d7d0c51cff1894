"""How a variant is said in Triton's words: what batches it, what its states are, and what of it Triton cannot say.

The rules are those of Triton's own sources (``sequence_state.cc``, ``sequence_batch_scheduler.cc``,
``model_config_utils.cc``) and of ``model_config.proto``:

- States are paired by the order of their sorted input names and sorted output names, whatever ``state`` says.
- With ``max_batch_size`` above 0 the first axis of every tensor is the batch and is left out of ``dims``.
- A tensor without dims is allowed only as ``reshape { shape: [ ] }`` of a batched input or output, never of a state.
- A sequence is one row; rows of different sequences are put together wherever their shapes are equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import DeployError
from ...manifest import BEGUN, ENDING
from ...signature import BATCH

if TYPE_CHECKING:
    from ...bundle import Bundle
    from ...manifest import Variant
    from ...signature import Signature, TensorSpec

STREAMING = "streaming"
#: Triton's name of each dtype.
DATA_TYPES = {
    "bool": "TYPE_BOOL",
    "uint8": "TYPE_UINT8",
    "int8": "TYPE_INT8",
    "int16": "TYPE_INT16",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "float16": "TYPE_FP16",
    "float32": "TYPE_FP32",
    "float64": "TYPE_FP64",
}
#: What the flag of the last run is called where Triton gives it: it is int32 there.
END_CONTROL = "stream.end"
_DEFAULT_BATCH = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class StatePlan:
    """One state that Triton keeps.

    Attributes:
        input: the graph's input.
        output: the graph's output, as the variant has it.
        given: that output's name in the repository: another one where sorting would pair it with another state.
        spec: the input's dtype and axes.
        learned: whether the bundle holds a value that it starts from.
    """

    input: str
    output: str
    given: str
    spec: TensorSpec
    learned: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class TritonPlan:
    """One model of a Triton repository.

    Attributes:
        name: its name, and its folder's.
        variant: what it runs.
        signature: the variant's.
        batch: name of the axis that Triton batches; None where it must not.
        max_batch_size: Triton's field: 0 where it must not batch.
        reason: why not; empty where it does.
        rows: streaming without batches: how many streams one sequence is.
        states: what Triton keeps from one request of a sequence to the next.
        has_end: whether the graph asks for the flag of the last run.
    """

    name: str
    variant: Variant
    signature: Signature
    batch: str | None
    max_batch_size: int
    reason: str
    rows: int = 1
    states: tuple[StatePlan, ...] = ()
    has_end: bool = False

    @property
    def is_streaming(self) -> bool:
        """Whether its requests are parts of sequences."""
        return self.variant.mode == STREAMING

    def dims(self, spec: TensorSpec) -> list[int]:
        """Triton's ``dims``: without the batch axis where Triton has it, -1 for what is dynamic."""
        axes = spec.axes[1:] if self.batch is not None else spec.axes
        whole = self._rows_axis
        return [axis if isinstance(axis, int) else self.rows if axis == whole else -1 for axis in axes]

    @property
    def _rows_axis(self) -> str | None:
        """The axis whose size a sequence fixes: that of its streams, where Triton does not batch them."""
        if not self.states or self.batch is not None:
            return None
        first = self.states[0].spec.axes[0]
        return first if isinstance(first, str) else None


def plan(bundle: Bundle, variant: Variant, *, name: str, max_batch_size: int | None = None) -> TritonPlan:
    """How Triton can serve one variant.

    Args:
        bundle: where it is from.
        variant: offline or streaming.
        name: the model's name.
        max_batch_size: the largest batch where Triton can batch it; by default 64, or what the signature allows if that
            is less.

    Raises:
        DeployError: Triton cannot say it, or the signature does not allow batches of that size.
    """
    signature = variant.signature or bundle.manifest.signature
    for spec in (*signature.inputs, *signature.outputs):
        if not spec.axes:
            raise DeployError(
                f"'{spec.name}' of '{variant.key}' is a single number, and Triton has no tensors without dims outside "
                "of a batch. Declare it with an axis of size 1, or serve the bundle with 'rnnx serve'."
            )
    states = _states(signature, variant) if variant.mode == STREAMING else ()
    batch, reason = _batch_axis(signature, streams=bool(states))
    if variant.mode == STREAMING:
        batch, reason = _stream_batch(signature, states, batch, reason)
    size = 0 if batch is None else _size(signature, batch, max_batch_size)
    if batch is not None and size == 0:
        batch, reason = None, "--max-batch-size is 0"
    rows, has_end = _rows(signature, states), bool(states) and ENDING in signature.state_names
    if has_end and rows != 1:
        raise DeployError(
            f"'{variant.key}' is of {rows} streams that go on together, and Triton says of one only that it ends. "
            "Export it with the axis 'batch', or serve the bundle with 'rnnx serve'."
        )
    return TritonPlan(
        name=name,
        variant=variant,
        signature=signature,
        batch=batch,
        max_batch_size=size,
        reason=reason,
        rows=rows,
        states=states,
        has_end=has_end,
    )


def in_pairs(pairs: list[tuple[str, str]]) -> bool:
    """Whether Triton pairs these (input, output) names as they stand here: by both sides' sorted order."""
    # Triton sorts bytes; UTF-8 keeps the order of code points, so Python's order of strings is the same.
    return [output for _, output in sorted(pairs)] == sorted(output for _, output in pairs)


def _states(signature: Signature, variant: Variant) -> tuple[StatePlan, ...]:
    kept = [state for state in signature.states if state.name != ENDING]
    for state in kept:
        spec = signature.input(state.name)
        if state.output is None:
            raise DeployError(
                f"state '{state.name}' of '{variant.key}' has no output that gives its next value, so Triton cannot "
                "carry it. Serve the bundle with 'rnnx serve'."
            )
        loose = [axis for axis in spec.axes[1:] if isinstance(axis, str)]
        if loose:
            raise DeployError(
                f"state '{state.name}' of '{variant.key}' has the dynamic axis '{loose[0]}' beside its batch, so its "
                "initial value has no size that Triton could be told. Serve the bundle with 'rnnx serve'."
            )
    pairs = [(state.name, state.output or "") for state in kept]
    ranks = {name: rank for rank, (name, _) in enumerate(sorted(pairs))}
    right = in_pairs(pairs)
    return tuple(
        StatePlan(
            input=state.name,
            output=state.output or "",
            given=(state.output or "") if right else f"next{ranks[state.name]:04d}.{state.name}",
            spec=signature.input(state.name),
            learned=state.initial == "stored",
        )
        for state in kept
    )


def _batch_axis(signature: Signature, *, streams: bool) -> tuple[str | None, str]:
    """The axis that is first in every tensor, or None and why there is no such axis."""
    ours = {state.output for state in signature.states} | {ENDING}
    faces = [
        *(("input", spec) for spec in signature.inputs if spec.name not in ours),
        *(("output", spec) for spec in signature.outputs if not (streams and spec.name in ours)),
    ]
    first = faces[0][1].axes[0]
    if not isinstance(first, str):
        return None, f"the first axis of '{faces[0][1].name}' is {first}, always"
    rows = {BATCH, *(signature.input(one.name).axes[0] for one in signature.lengths)}
    if first not in (rows | {signature.input(one.name).axes[0] for one in signature.states} if streams else rows):
        return None, f"nothing says that '{first}', the first axis of '{faces[0][1].name}', is the batch"
    for kind, spec in faces:
        if spec.axes[0] != first or first in spec.axes[1:]:
            return None, f"{kind} '{spec}' does not have '{first}' as its first axis"
    allowed = signature.range(first)
    if not allowed.admits(1) or allowed.multiple_of != 1:
        return None, f"batches of any size must be allowed, and '{allowed}' is not"
    return first, ""


def _stream_batch(
    signature: Signature, states: tuple[StatePlan, ...], batch: str | None, reason: str
) -> tuple[str | None, str]:
    names = signature.state_names
    if names & {BEGUN, ENDING}:
        # The graph reads the flags of the first row for all rows: sequences at other points must not be beside it.
        return None, "its streams go on together, and Triton would put beginning, running and ending ones into one run"
    bare = [state.input for state in states if len(state.spec.axes) == 1]
    if batch is not None and bare:
        return None, f"state '{bare[0]}' is one number a stream, and Triton has no states without dims"
    return batch, reason


def _size(signature: Signature, batch: str, wanted: int | None) -> int:
    limit = signature.range(batch).maximum
    if wanted is None:
        return min(_DEFAULT_BATCH, limit or _DEFAULT_BATCH)
    if wanted < 0 or (limit is not None and wanted > limit):
        raise DeployError(
            f"--max-batch-size is {wanted}; the bundle allows {signature.range(batch)}. Give at most {limit or 'any'}."
        )
    return wanted


def _rows(signature: Signature, states: tuple[StatePlan, ...]) -> int:
    if not states:
        return 1
    first = states[0].spec.axes[0]
    if isinstance(first, int):
        return first
    allowed = signature.range(first)
    return next(size for size in range(max(1, allowed.minimum), 10**6) if allowed.admits(size))
