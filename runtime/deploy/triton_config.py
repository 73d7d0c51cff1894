"""A model's ``config.pbtxt``, from its plan. Field names are those of Triton's ``model_config.proto``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...manifest import ENDING
from .text_format import Enum, Message
from .triton_plan import DATA_TYPES, END_CONTROL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...signature import TensorSpec
    from .triton_plan import StatePlan, TritonPlan

BACKEND = "onnxruntime"
MODEL_FILE = "model.onnx"
VERSION = "1"
CONFIG = "config.pbtxt"
WARMUP_FOLDER = "warmup"
STATES_FOLDER = "initial_state"
#: Triton gives a sequence one second between two requests; a person who pauses is longer than that.
IDLE_S = 60
#: Sequences of one instance that are open at a time; more wait until one of them ends.
MAX_SEQUENCES = 1024


def config(
    plan: TritonPlan, *, bundle: str, instances: int, gpu: bool, warmup: Mapping[str, tuple[str, TensorSpec, list[int]]]
) -> Message:
    """The configuration of one model.

    Args:
        plan: how Triton serves it.
        bundle: SHA-256 of the bundle.
        instances: copies of the model that run side by side.
        gpu: on GPUs, ``instances`` on each.
        warmup: by input, a file in the warm-up folder, the input and the dims of what is in the file.
    """
    message = Message()
    message.add("name", plan.name, f"'{plan.variant.key}' of the bundle {bundle[:16]}, written by rnnx.")
    message.add("backend", BACKEND)
    message.add("default_model_filename", MODEL_FILE)
    why = (
        f"The first axis of every tensor, '{plan.batch}', is the batch: it is left out of the dims below."
        if plan.batch is not None
        else f"0: Triton does not batch this model, because {plan.reason}. The dims below are whole."
    )
    message.add("max_batch_size", plan.max_batch_size, *_wrapped(why))
    ours = {ENDING} | {name for state in plan.states for name in (state.input, state.output)}
    for kind, specs in (("input", plan.signature.inputs), ("output", plan.signature.outputs)):
        for spec in specs:
            if spec.name not in ours:
                message.add(kind, _tensor(plan, spec), str(spec))
    if plan.is_streaming:
        message.add("sequence_batching", _sequences(plan))
    elif plan.batch is not None:
        message.add("dynamic_batching", _batching(), *_wrapped(_EQUAL))
    group = Message()
    group.add("kind", Enum("KIND_GPU" if gpu else "KIND_CPU"))
    group.add("count", instances)
    message.add("instance_group", group)
    if warmup:
        message.add("model_warmup", _warmup(warmup), "Every instance answers a golden vector before it is ready.")
    parameter, text = Message(), Message()
    text.add("string_value", bundle)
    parameter.add("key", "rnnx.bundle_sha256")
    parameter.add("value", text)
    message.add("parameters", parameter)
    return message


_EQUAL = (
    "Only requests of equal shapes run together, because no input has allow_ragged_batch: that would lay sequences of "
    "other lengths end to end. To be batched, clients pad to common lengths; see the README."
)


def _wrapped(text: str, width: int = 110) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines


def _tensor(plan: TritonPlan, spec: TensorSpec) -> Message:
    message = Message()
    message.add("name", spec.name)
    message.add("data_type", Enum(DATA_TYPES[spec.dtype]))
    dims = plan.dims(spec)
    message.add("dims", dims or [1])
    if not dims:
        message.add(
            "reshape",
            Message(),
            "Clients give or get (batch, 1), as Triton has no dims of nothing; the graph (batch,).",
        )
    return message


def _batching() -> Message:
    message = Message()
    message.add("max_queue_delay_microseconds", 0, "No request waits for company; what has queued up runs together.")
    return message


def _sequences(plan: TritonPlan) -> Message:
    message = Message()
    message.add(
        "max_sequence_idle_microseconds",
        IDLE_S * 1_000_000,
        f"A sequence that is silent for {IDLE_S} s is dropped, its states with it.",
    )
    if plan.has_end:
        control, inside = Message(), Message()
        inside.add("kind", Enum("CONTROL_SEQUENCE_END"))
        inside.add("int32_false_true", [0, 1])
        control.add("name", END_CONTROL)
        control.add("control", inside)
        message.add("control_input", control, "The graph gives what it held back in the last run.")
    oldest = Message()
    oldest.add("max_candidate_sequences", MAX_SEQUENCES)
    message.add("oldest", oldest, "Any waiting requests of different sequences run together, the oldest first.")
    for state in sorted(plan.states, key=lambda one: one.input):
        message.add("state", _state(plan, state))
    return message


def _state(plan: TritonPlan, state: StatePlan) -> Message:
    message, initial = Message(), Message()
    kind, dims = Enum(DATA_TYPES[state.spec.dtype]), plan.dims(state.spec)
    message.add("input_name", state.input)
    message.add("output_name", state.given)
    message.add("data_type", kind)
    message.add("dims", dims)
    initial.add("name", f"start of {state.input}")
    initial.add("data_type", kind)
    initial.add("dims", dims)
    if state.learned:
        initial.add("data_file", states_file(plan, state))
    else:
        initial.add("zero_data", value=True)
    message.add("initial_state", initial)
    return message


def states_file(plan: TritonPlan, state: StatePlan) -> str:
    """Name of the file that holds a state's learned initial value."""
    return f"state{plan.states.index(state):03d}.bin"


def _warmup(warmup: Mapping[str, tuple[str, TensorSpec, list[int]]]) -> Message:
    message = Message()
    message.add("name", "golden")
    message.add("batch_size", 1)
    for name, (file, spec, dims) in warmup.items():
        entry, value = Message(), Message()
        value.add("data_type", Enum(DATA_TYPES[spec.dtype]))
        value.add("dims", dims)
        value.add("input_data_file", file)
        entry.add("key", name)
        entry.add("value", value)
        message.add("inputs", entry)
    return message
