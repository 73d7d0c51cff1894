"""A server on a free port of this process, and a client over the project's own stubs."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace

import numpy as np
import pytest

grpc = pytest.importorskip("grpc")
pytest.importorskip("grpc_health")
pytest.importorskip("grpc_reflection")

from rnnx.runtime.serving.grpc import CallLimits, start_grpc  # noqa: E402  (only where there is grpc)
from rnnx.runtime.serving.protocol.limits import Limits  # noqa: E402
from rnnx.runtime.serving.protocol.proto import inference_pb2 as pb  # noqa: E402
from rnnx.runtime.serving.protocol.proto import inference_pb2_grpc as stubs  # noqa: E402


def message(x=None, *, model="leaky", request_id="", raw=True, **parameters):
    """A request of one input ``x``; parameters by name."""
    found = pb.ModelInferRequest(model_name=model, id=request_id)
    if x is not None:
        tensor = found.inputs.add(name="x", datatype="FP32", shape=x.shape)
        if raw:
            found.raw_input_contents.append(x.tobytes())
        else:
            tensor.contents.fp32_contents.extend(x.ravel().tolist())
    for name, value in parameters.items():
        field = {bool: "bool_param", int: "int64_param", str: "string_param"}[type(value)]
        setattr(found.parameters[name], field, value)
    return found


def values(answer, name="y"):
    """An output as an array."""
    at = [one.name for one in answer.outputs].index(name)
    assert answer.outputs[at].datatype == "FP32"
    return np.frombuffer(answer.raw_output_contents[at], np.float32).reshape(answer.outputs[at].shape)


def chunk(x, at, chunks, sequence_id, **options):
    """One chunk of a sequence."""
    start, end = at == 0, at == chunks - 1
    return message(x, sequence_id=sequence_id, sequence_start=start, sequence_end=end, **options)


@contextlib.asynccontextmanager
async def listening(service, *, metadata=None, options=None, **given):
    """The handle of a server for this service, a channel to it, and its stub."""
    handle = await start_grpc(service, "127.0.0.1", 0, **given)
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{handle.port}", options=options) as channel:
            yield SimpleNamespace(
                handle=handle, channel=channel, stub=stubs.GRPCInferenceServiceStub(channel), service=service
            )
    finally:
        await handle.stop(0)


@pytest.fixture(scope="session")
def wire(kit):
    """What tests here share."""

    def run(test, *paths, service_options=None, limits=None, token="", tls=None, calls=None, options=None, **models):
        """Run a test's coroutine against a server of these bundles."""

        async def main():
            serving = dict(service_options or {}) | ({} if limits is None else {"limits": Limits(**limits)})
            async with kit.serving(*paths, service_options=serving, **models) as service:
                given = {"token": token, "tls": tls, "limits": None if calls is None else CallLimits(**calls)}
                async with listening(service, options=options, **given) as found:
                    await asyncio.wait_for(test(found), 30)

        asyncio.run(main())

    async def refused(call, code, text):
        """Await a call that must be refused so."""
        with pytest.raises(grpc.aio.AioRpcError) as found:
            await call
        assert (found.value.code().name, text in found.value.details()) == (code, True), found.value

    return SimpleNamespace(chunk=chunk, message=message, values=values, run=run, refused=refused, pb=pb, grpc=grpc)
