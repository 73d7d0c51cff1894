"""The part of a configuration that is about sequences: controls, states, and how Triton really pairs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...manifest import BEGUN, ENDING
from .triton_dims import dims_disagree, file_is_short, listing
from .triton_plan import END_CONTROL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from .onnx_face import Face
    from .text_format import Message

_KINDS = ("CONTROL_SEQUENCE_START", "CONTROL_SEQUENCE_READY", "CONTROL_SEQUENCE_END", "CONTROL_SEQUENCE_CORRID")
_FLAGS = {"int32_false_true": "TYPE_INT32", "fp32_false_true": "TYPE_FP32", "bool_false_true": "TYPE_BOOL"}


def check_sequences(
    batching: Message,
    inputs: Mapping[str, Face],
    outputs: Mapping[str, Face],
    *,
    batch: set[str] | None,
    folder: Path,
) -> Iterator[str]:
    """What is wrong in ``sequence_batching``.

    Args:
        batching: the message.
        inputs: of the graph.
        outputs: of the graph.
        batch: names of the graph's batch axis; None where ``max_batch_size`` is 0.
        folder: where initial values lie.
    """
    batched = batch is not None
    if batching.messages("direct") and batching.messages("oldest"):
        yield "'sequence_batching' has both 'direct' and 'oldest'; Triton takes one of them"
    for oldest in batching.messages("oldest"):
        if oldest.integer("max_candidate_sequences") < 1:
            yield "'oldest' needs a 'max_candidate_sequences' of 1 or more"
    if batched and (flags := {BEGUN, ENDING, END_CONTROL} & inputs.keys()):
        yield (
            f"the graph has '{min(flags)}', which must be the same for all streams of a run, and with 'max_batch_size' "
            "above 0 Triton joins streams at different points. Set it to 0"
        )
    for control in batching.messages("control_input"):
        yield from _control(control, inputs, batched=batched)
    states = batching.messages("state")
    for state in states:
        yield from _state(state, inputs, outputs, batch=batch, folder=folder)
    yield from _pairs([(one.text("input_name"), one.text("output_name")) for one in states])


def _pairs(pairs: list[tuple[str, str]]) -> Iterator[str]:
    """Triton keeps inputs and outputs in two sorted maps and takes what stands at the same place."""
    for side, names in (("input", [one for one, _ in pairs]), ("output", [one for _, one in pairs])):
        for name in sorted({one for one in names if names.count(one) > 1}):
            yield f"state {side} '{name}' is named more than once; Triton drops the second state"
    really = dict(zip(sorted(one for one, _ in pairs), sorted(one for _, one in pairs), strict=True))
    swapped = [(given, wanted, really[given]) for given, wanted in pairs if really[given] != wanted]
    if swapped:
        given, wanted, found = swapped[0]
        yield (
            f"Triton pairs states by the order of their sorted names, not as written: '{given}' would be given "
            f"'{found}' and not '{wanted}'. Rename outputs so that both sides sort alike"
        )


def _control(control: Message, inputs: Mapping[str, Face], *, batched: bool) -> Iterator[str]:
    name = control.text("name")
    face = inputs.get(name)
    if face is None:
        yield f"control '{name}' is not an input of the graph, which has {listing(inputs)}"
        return
    inner = control.messages("control")
    if not inner:
        yield f"control '{name}' does not say what it is: it has no 'control'"
    for one in inner:
        kind = one.text("kind") or _KINDS[0]
        if kind not in _KINDS:
            yield f"control '{name}' is of the kind '{kind}'; there are {', '.join(_KINDS)}"
            continue
        if kind == _KINDS[-1]:
            given = one.text("data_type")
        else:
            used = [data_type for field, data_type in _FLAGS.items() if one.all(field)]
            if len(used) != 1 or any(len(one.all(field)) not in {0, 2} for field in _FLAGS):
                yield f"control '{name}' needs exactly one of {', '.join(_FLAGS)}, with two values"
                continue
            given = used[0]
        if given != face.data_type:
            yield f"control '{name}' is {given}, in the graph {face.data_type}"
    rank = 2 if batched else 1
    last = face.shape[-1] if face.shape else None
    if len(face.shape) != rank or (isinstance(last, int) and last != 1):
        yield (
            f"control '{name}' has the shape {list(face.shape)} in the graph; Triton gives "
            f"{'(batch, 1)' if batched else '(1,)'}"
        )


def _state(
    state: Message,
    inputs: Mapping[str, Face],
    outputs: Mapping[str, Face],
    *,
    batch: set[str] | None,
    folder: Path,
) -> Iterator[str]:
    dims = state.integers("dims")
    for key, side, there in (("input_name", "input", inputs), ("output_name", "output", outputs)):
        name = state.text(key)
        face = there.get(name)
        if face is None:
            yield f"state {side} '{name}' is not in the graph, which has {listing(there)}"
            continue
        if state.text("data_type") != face.data_type:
            given = state.text("data_type") or "of no data type"
            yield f"state {side} '{name}' is {given}, in the graph {face.data_type}"
        # Triton compares nothing of this when it loads.
        yield from dims_disagree(f"state {side} '{name}'", dims, face, batched=batch is not None, batch=batch or set())
    name = state.text("input_name")
    if not dims:
        yield f"state '{name}' has no 'dims': Triton keeps no bytes for it. Set 'max_batch_size' to 0 and dims to [ 1 ]"
    initial = state.messages("initial_state")
    if len(initial) != 1:
        how = f"{len(initial)} times 'initial_state'" if initial else "no 'initial_state'"
        yield f"state '{name}' has {how}: without one its first step reads whatever is in memory. Give one"
        return
    yield from _initial(initial[0], state, name, folder)


def _initial(initial: Message, state: Message, name: str, folder: Path) -> Iterator[str]:
    what = f"'initial_state' of '{name}'"
    if not initial.text("name"):
        yield f"{what} has no 'name', which Triton asks for"
    if initial.text("data_type") != state.text("data_type"):
        yield f"{what} is {initial.text('data_type') or 'of no data type'}, the state {state.text('data_type')}"
    dims = initial.integers("dims")
    if -1 in dims:
        yield f"{what} has the dims {dims}; an initial value must have fixed ones"
    elif dims != state.integers("dims"):
        yield f"{what} has the dims {dims}, the state {state.integers('dims')}"
    file = initial.text("data_file")
    if bool(file) == bool(initial.all("zero_data")):
        yield f"{what} needs either 'zero_data: true' or a 'data_file'; else the first step reads whatever is in memory"
    elif file:
        yield from file_is_short(folder / file, initial, what)
    elif initial.last("zero_data") is not True:
        yield f"{what} has 'zero_data: false', which gives zeros all the same. Write true, or name a 'data_file'"
