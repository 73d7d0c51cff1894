"""Three ways to be answered: whole sequences, chunks of a stream that the server holds, chunks with their states."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import InputError, StreamExistsError, StreamNotFoundError

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from ..engine.request import Answer
    from ..engine.table import Lease
    from ..state import State
    from .model import ServedModel
    from .repository import Repository


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What one answer is asked for.

    Attributes:
        inputs: arrays by name.
        outputs: names of the outputs; None for all.
        timeout_s: how long it may take, seconds.
        client: whose turn it takes.
    """

    inputs: Mapping[str, NDArray[Any]]
    outputs: Sequence[str] | None
    timeout_s: float
    client: str = ""


async def answer_whole(model: ServedModel, asked: Asked) -> Answer:
    """Whole sequences, by the offline variant.

    Raises:
        InputError: the bundle has none, or the inputs are wrong.
        RnnxError: it was refused, came too late, or failed.
    """
    if model.offline is None:
        raise InputError(
            f"model '{model.name}' has only a streaming variant: give sequence_id with sequence_start, or ask "
            f"'{model.name}.streaming', which takes and gives the states."
        )
    model.offline.check_frames(asked.inputs, model.options.max_frames)
    return await model.offline.engine.infer(
        asked.inputs, outputs=asked.outputs, give_up_s=asked.timeout_s, client=asked.client
    )


async def answer_carried(model: ServedModel, asked: Asked) -> tuple[Answer, dict[str, NDArray[Any]]]:
    """One chunk whose states came with it; the answer and its outputs, the states among them.

    Raises:
        InputError: an output is not known, or an input or state is wrong.
        RnnxError: it was refused, came too late, or failed.
    """
    running, _ = model.table_of_streams()
    signature = running.session.signature
    known = {spec.name for spec in signature.outputs}
    wrong = [name for name in asked.outputs or () if name not in known]
    if wrong:
        allowed = ", ".join(f"'{spec.name}'" for spec in signature.outputs)
        raise InputError(f"output '{wrong[0][:64]}' is not known; the model has {allowed}.")
    running.check_frames(asked.inputs, model.options.max_frames)
    chunk, state = model.carried_state(asked.inputs)
    answer = await running.engine.infer(chunk, state=state, give_up_s=asked.timeout_s, client=asked.client)
    assert answer.state is not None, "an engine gives the state of a stream that goes on"
    following = {one.output: answer.state.values[one.name] for one in signature.states if one.output is not None}
    found = {**answer.outputs, **following}
    return answer, {spec.name: found[spec.name] for spec in signature.outputs if spec.name in found}


async def answer_chunk(model: ServedModel, lease: Lease[Hashable], asked: Asked, *, end: bool = False) -> Answer:
    """One chunk of a stream that is held; its state goes on only if all of it goes well.

    Args:
        model: the bundle that the stream began in.
        lease: the stream, held for this chunk and given back here.
        asked: the chunk; without inputs where the stream only ends.
        end: whether the stream ends behind it; answers that were still to come are joined to this one's, along time.

    Raises:
        RnnxError: the chunk is wrong, was refused, came too late, or failed.
    """
    running, _ = model.table_of_streams()
    if not model.kept.isdisjoint(asked.inputs):
        lease.release()
        name = min(model.kept & asked.inputs.keys())
        raise InputError(
            f"input '{name}' is a state, which the server keeps in a stream. Leave it out, or ask "
            f"'{model.name}.streaming', which takes and gives the states."
        )
    model.users += 1
    try:
        with lease:
            running.check_frames(asked.inputs, model.options.max_frames)
            answer = await running.engine.infer(
                asked.inputs,
                state=lease.state,
                finish=end,
                outputs=asked.outputs,
                give_up_s=asked.timeout_s,
                client=asked.client,
            )
            # A stream that the server ended meanwhile gets this last answer; the next chunk is told why.
            with contextlib.suppress(StreamNotFoundError):
                if answer.state is None:
                    lease.end()
                else:
                    lease.commit(answer.state)
            return answer
    finally:
        model.users -= 1


def begin(repository: Repository, model: ServedModel, key: Hashable, state: State) -> Lease[Hashable]:
    """Begin a stream of the model that is served now.

    Raises:
        StreamExistsError: a stream of this key is open, perhaps in a bundle that was replaced.
        TooManyStreamsError: the table is full.
    """
    _, table = model.table_of_streams()
    for old in repository.retiring(model.name):
        if old.table is not None and key in old.table:
            raise StreamExistsError(
                f"stream {key!r} of model '{model.name}' is open still, in the bundle that was replaced meanwhile. "
                "End it, or begin one of another id."
            )
    return table.begin(key, state)


def go_on(repository: Repository, model: ServedModel, key: Hashable) -> tuple[ServedModel, Lease[Hashable]]:
    """A stream that is open, and the bundle that it began in.

    Raises:
        StreamNotFoundError: there is none: it was never begun, has ended, or idled for too long.
        StreamBusyError: another request of it is being answered.
    """
    _, table = model.table_of_streams()
    for old in repository.retiring(model.name):
        if old.table is not None and key in old.table:
            return old, old.table.lease(key)
    return model, table.lease(key)
