"""Clients over gRPC: sequences in one ModelStreamInfer, that end, are cancelled within a chunk, or idle."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

from .visit import Visit, cuts

if TYPE_CHECKING:
    import random

_IDS = itertools.count(1)


async def visit_by_grpc(visit: Visit, draw: random.Random) -> None:
    """Stream after stream, over one channel."""
    import grpc.aio  # noqa: PLC0415  (an extra)

    from ...runtime.serving.protocol.proto import inference_pb2_grpc as stubs  # noqa: PLC0415

    async with grpc.aio.insecure_channel(f"127.0.0.1:{visit.grpc}") as channel:
        stub = stubs.GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
        while visit.goes_on():
            way = draw.choices(("end", "cancel", "idle"), (65, 25, 10))[0]
            try:
                async with asyncio.timeout(60):
                    await _one(visit, stub, draw, way)
            except Exception as error:  # noqa: BLE001  (whatever it is, it is told at the end)
                visit.fail(f"gRPC, {way}: {type(error).__name__}: {error}")
                await asyncio.sleep(0.1)


async def _one(visit: Visit, stub: Any, draw: random.Random, way: str) -> None:  # noqa: ANN401  (generated)
    """One stream from its beginning to its end, whichever that is."""
    number, sequence = draw.randrange(len(visit.truth.streams)), next(_IDS)
    parts = list(cuts(draw))
    turn = draw.randrange(len(parts) - 1)
    call = stub.ModelStreamInfer()
    visit.counts["streams begun"] += 1
    for at, span in enumerate(parts):
        message = _message(visit, number, span, sequence, start=at == 0, end=at == len(parts) - 1)
        await call.write(message)
        if at == turn and way == "cancel":
            await asyncio.sleep(draw.random() * 0.002)
            call.cancel()
            visit.counts["calls cancelled"] += 1
            return
        answer = await call.read()
        if answer.error_message or answer.infer_response.id != message.id:
            visit.fail(f"gRPC, {way}: {answer.error_message or f'{answer.infer_response.id} came for {message.id}'}")
            return
        visit.check_part(f"gRPC, {way}", answer.infer_response.raw_output_contents[0], number, span)
        if at == turn and way == "idle":
            await asyncio.sleep(visit.idle_s + 2.5)
            later = parts[at + 1]
            await call.write(_message(visit, number, later, sequence, start=False, end=False))
            answer = await call.read()
            if not answer.error_message:
                visit.fail("gRPC: a stream that idled for too long went on.")
            visit.counts["streams idled out"] += 1
            break
    else:
        visit.counts["streams finished"] += 1
    await call.done_writing()
    await call.code()


def _message(visit: Visit, number: int, span: slice, sequence: int, *, start: bool, end: bool) -> Any:  # noqa: ANN401
    """A chunk as a message (generated class)."""
    from ...runtime.serving.protocol.proto import inference_pb2 as pb  # noqa: PLC0415  (an extra)

    chunk = visit.truth.streams[number][:, span]
    message = pb.ModelInferRequest(model_name=visit.truth.model, id=f"{sequence}-{span.start}")
    message.inputs.add(name=visit.truth.names.input, datatype="FP32", shape=chunk.shape)
    message.raw_input_contents.append(chunk.tobytes())
    message.parameters["sequence_id"].int64_param = sequence
    message.parameters["sequence_start"].bool_param = start
    message.parameters["sequence_end"].bool_param = end
    return message
