"""Single calls: answers, refusals with code and message, limits, the token and TLS."""

from __future__ import annotations

import asyncio
import logging
import time

import numpy as np
import pytest

from rnnx.errors import ServerError
from rnnx.runtime.session import load

pytest.importorskip("grpc")


def test_whole_sequences_are_what_a_session_gives(wire, kit, leaky_path):
    x = kit.frames(7, batch=3)
    with load(leaky_path, provider="cpu", mode="offline") as session:
        wanted = session.run({"x": x})["y"]

    async def test(server):
        for raw in (True, False):
            answer = await server.stub.ModelInfer(wire.message(x, request_id="a", raw=raw))
            assert (answer.model_name, answer.model_version, answer.id) == ("leaky", "1", "a")
            np.testing.assert_array_equal(wire.values(answer), wanted)
        packed = await server.stub.ModelInfer(wire.message(x), compression=wire.grpc.Compression.Gzip)
        np.testing.assert_array_equal(wire.values(packed), wanted)
        np.testing.assert_allclose(wanted, kit.by_hand(x), atol=1e-5)

    wire.run(test, leaky_path)


def test_sequences_by_single_calls(wire, kit, leaky_path):
    x = kit.frames(6)

    async def test(server):
        for name in (2**62, "a stream"):
            parts = [
                await server.stub.ModelInfer(wire.chunk(x[:, 2 * at : 2 * at + 2], at, 3, name)) for at in range(3)
            ]
            assert [part.parameters["sequence_end"].bool_param for part in parts] == [False, False, True]
            joined = np.concatenate([wire.values(part) for part in parts], axis=1)
            np.testing.assert_allclose(joined, kit.by_hand(x), atol=1e-5)

    wire.run(test, leaky_path)


def test_what_the_server_says_of_itself(wire, leaky_path):
    pb = wire.pb

    async def test(server):
        stub = server.stub
        assert (await stub.ServerLive(pb.ServerLiveRequest())).live
        assert (await stub.ServerReady(pb.ServerReadyRequest())).ready
        for name, version, ready in (
            ("leaky", "", True),
            ("leaky", "1", True),
            ("leaky", "2", False),
            ("x", "", False),
        ):
            assert (await stub.ModelReady(pb.ModelReadyRequest(name=name, version=version))).ready == ready
        told = await stub.ServerMetadata(pb.ServerMetadataRequest())
        assert told.name == "rnnx"
        assert "sequence" in told.extensions
        told = await stub.ModelMetadata(pb.ModelMetadataRequest(name="leaky"))
        assert [(one.name, one.datatype, list(one.shape)) for one in told.inputs] == [("x", "FP32", [-1, -1, 3])]
        told = await stub.ModelConfig(pb.ModelConfigRequest(name="leaky"))
        assert told.config.name == "leaky"
        await stub.ModelInfer(wire.message(np.ones((2, 3, 3), np.float32)))
        told = await stub.ModelStatistics(pb.ModelStatisticsRequest(name="leaky"))
        assert told.model_stats[0].inference_stats.success.count == 1

    wire.run(test, leaky_path)


def test_models_are_listed_unloaded_and_loaded(wire, kit, leaky_path):
    pb = wire.pb

    async def test(server):
        stub = server.stub

        async def states():
            told = await stub.RepositoryIndex(pb.RepositoryIndexRequest())
            return {one.name: one.state for one in told.models}

        assert await states() == {"leaky": "READY", "leaky.streaming": "READY"}
        await stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="leaky"))
        assert await states() == {"leaky": "UNAVAILABLE"}
        assert not (await stub.RepositoryIndex(pb.RepositoryIndexRequest(ready=True))).models
        await wire.refused(
            stub.ModelInfer(wire.message(kit.frames(1))), "UNAVAILABLE", "'leaky' is UNAVAILABLE: unloaded"
        )
        await stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="leaky"))
        assert (await states())["leaky"] == "READY"
        load = pb.RepositoryModelLoadRequest(model_name="leaky", repository_name="other")
        await wire.refused(stub.RepositoryModelLoad(load), "INVALID_ARGUMENT", "there is one repository here")
        load = pb.RepositoryModelLoadRequest(model_name="leaky")
        load.parameters["file:1/model.onnx"].bytes_param = b"evil"
        await wire.refused(
            stub.RepositoryModelLoad(load), "UNIMPLEMENTED", "parameter 'file:1/model.onnx' is not offered"
        )
        load = pb.RepositoryModelLoadRequest(model_name="../etc")
        await wire.refused(stub.RepositoryModelLoad(load), "NOT_FOUND", "model '../etc' is not known here")

    wire.run(test, leaky_path)


def _lying(wire, kit):
    found = wire.message(kit.frames(2))
    found.raw_input_contents[0] = found.raw_input_contents[0][:-1]
    return found


def _both(wire, kit):
    found = wire.message(kit.frames(2))
    found.inputs[0].contents.fp32_contents.append(1.0)
    return found


def _dtype(wire, kit):
    found = wire.message(kit.frames(2).astype(np.float64))
    found.inputs[0].datatype = "FP64"
    return found


def _name(wire, kit):
    found = wire.message(kit.frames(2))
    found.inputs[0].name = "z"
    return found


WRONG = {
    "unknown model": (lambda w, k: w.message(k.frames(1), model="no"), "NOT_FOUND", "model 'no' is not known here"),
    "dtype": (_dtype, "INVALID_ARGUMENT", "float64"),
    "rank": (lambda w, k: w.message(k.frames(2)[0]), "INVALID_ARGUMENT", "input 'x'"),
    "size": (lambda w, k: w.message(k.frames(2)[:, :, :2]), "INVALID_ARGUMENT", "input 'x'"),
    "name": (_name, "INVALID_ARGUMENT", "input 'x' is missing"),
    "lying size": (_lying, "INVALID_ARGUMENT", "takes 24 bytes; found 23"),
    "both contents": (_both, "INVALID_ARGUMENT", "Send one of the two"),
    "unknown sequence": (lambda w, k: w.message(k.frames(1), sequence_id=5), "NOT_FOUND", "stream 5 is not open"),
    "start without id": (lambda w, k: w.message(k.frames(1), sequence_start=True), "INVALID_ARGUMENT", "'sequence_id'"),
    "shared memory": (
        lambda w, k: w.message(k.frames(1), sequence_id=-1),
        "INVALID_ARGUMENT",
        "must be a whole number from 0",
    ),
}


def test_wrong_requests(wire, kit, leaky_path):
    async def test(server):
        for make, code, text in WRONG.values():
            await wire.refused(server.stub.ModelInfer(make(wire, kit)), code, text)
        start = wire.message(kit.frames(1), sequence_id=9, sequence_start=True)
        await server.stub.ModelInfer(start)
        await wire.refused(server.stub.ModelInfer(start), "ALREADY_EXISTS", "stream 9")
        np.testing.assert_allclose(
            wire.values(await server.stub.ModelInfer(wire.message(kit.frames(2)))),
            kit.by_hand(kit.frames(2)),
            atol=1e-5,
        )

    wire.run(test, leaky_path)


def test_bytes_that_are_no_message(wire, leaky_path):
    async def test(server):
        path = "/inference.GRPCInferenceService/"
        for method, kind in (("ModelInfer", "unary_unary"), ("ServerLive", "unary_unary")):
            call = getattr(server.channel, kind)(path + method)
            await wire.refused(call(b"\x0a\xff\xff"), "INVALID_ARGUMENT", f"the bytes are no message of '{method}'")
        await wire.refused(server.channel.unary_unary(path + "TraceSetting")(b""), "UNIMPLEMENTED", "")

    wire.run(test, leaky_path)


def test_one_id_used_by_two_calls_at_a_time(wire, kit, leaky_path):
    long = kit.frames(200_000)

    async def test(server):
        start = wire.message(long[:, :1], sequence_id=3, sequence_start=True)
        await server.stub.ModelInfer(start)
        first = asyncio.ensure_future(server.stub.ModelInfer(wire.message(long, sequence_id=3)))
        while not server.service.repository.find("leaky").model.users:  # noqa: ASYNC110  (it has no event)
            await asyncio.sleep(0.001)
        await wire.refused(server.stub.ModelInfer(wire.message(long[:, :1], sequence_id=3)), "ABORTED", "stream 3")
        await first

    wire.run(test, leaky_path, max_frames=1 << 20)


def test_limits_of_size(wire, kit, leaky_path):
    large = kit.frames(20_000)

    async def test(server):
        await wire.refused(server.stub.ModelInfer(wire.message(large)), "RESOURCE_EXHAUSTED", "larger than max")
        packed = server.stub.ModelInfer(wire.message(np.zeros_like(large)), compression=wire.grpc.Compression.Gzip)
        await wire.refused(packed, "RESOURCE_EXHAUSTED", "")
        headers = (("x-large", "a" * 20_000),)
        await wire.refused(
            server.stub.ModelInfer(wire.message(kit.frames(1)), metadata=headers), "RESOURCE_EXHAUSTED", ""
        )
        await server.stub.ModelInfer(wire.message(kit.frames(1)))

    wire.run(test, leaky_path, limits={"body_bytes": 100_000})


def test_more_calls_than_may_be(wire, kit, leaky_path):
    async def test(server):
        calls = [server.stub.ModelStreamInfer() for _ in range(2)]
        for call in calls:
            await call.write(wire.message(kit.frames(1)))
            await call.read()
        await wire.refused(server.stub.ServerLive(wire.pb.ServerLiveRequest()), "RESOURCE_EXHAUSTED", "limit exceeded")
        for call in calls:
            await call.done_writing()
            assert await call.read() is wire.grpc.aio.EOF
        assert (await server.stub.ServerLive(wire.pb.ServerLiveRequest())).live

    wire.run(test, leaky_path, calls={"calls": 2})


def test_deadlines(wire, kit, leaky_path):
    long = kit.frames(200_000)

    async def test(server):
        call = server.stub.ModelInfer(wire.message(long, timeout=1000))
        await wire.refused(call, "DEADLINE_EXCEEDED", "no answer came within 0.001 s")
        begun = time.monotonic()
        await wire.refused(server.stub.ModelInfer(wire.message(long), timeout=0.05), "DEADLINE_EXCEEDED", "")
        assert time.monotonic() - begun < 5
        await server.stub.ModelInfer(wire.message(kit.frames(1)), timeout=20)

    wire.run(test, leaky_path, max_frames=1 << 20)


def test_the_clients_deadline_is_the_engines(wire, kit, leaky_path):
    seen = []

    async def test(server):
        infer = server.service.infer

        def noted(request, **options):
            seen.append(request.timeout_us)
            return infer(request, **options)

        server.service.infer = noted
        await server.stub.ModelInfer(wire.message(kit.frames(1)), timeout=10)
        await server.stub.ModelInfer(wire.message(kit.frames(1), timeout=3_000_000), timeout=10)
        await server.stub.ModelInfer(wire.message(kit.frames(1), timeout=30_000_000), timeout=10)
        await server.stub.ModelInfer(wire.message(kit.frames(1)))

    wire.run(test, leaky_path)
    assert 9e6 < seen[0] < 10.5e6  # it travels rounded up
    assert seen[1] == 3_000_000
    assert 9e6 < seen[2] < 10.5e6
    assert seen[3] is None


def test_a_bug_is_told_by_an_id_and_logged(wire, kit, leaky_path, caplog):
    async def test(server):
        infer = server.service.infer

        def broken(*_, **__):
            raise ZeroDivisionError("a secret")

        server.service.infer = broken
        with pytest.raises(wire.grpc.aio.AioRpcError) as found:
            await server.stub.ModelInfer(wire.message(kit.frames(1)))
        assert found.value.code() is wire.grpc.StatusCode.INTERNAL
        assert "secret" not in found.value.details()
        (record,) = [one for one in caplog.records if one.exc_info]
        assert record.fields["id"] in found.value.details()
        server.service.infer = infer
        await server.stub.ModelInfer(wire.message(kit.frames(1)))

    with caplog.at_level(logging.ERROR, "rnnx.serve"):
        wire.run(test, leaky_path)


def test_the_token_is_asked_of_everything_but_health(wire, kit, leaky_path):
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    async def test(server):
        request = wire.message(kit.frames(1))
        for given in ((), (("authorization", "Bearer wrong"),), (("authorization", "secret"),)):
            await wire.refused(server.stub.ModelInfer(request, metadata=given), "UNAUTHENTICATED", "a bearer token")
        call = server.stub.ModelStreamInfer()
        await wire.refused(call.read(), "UNAUTHENTICATED", "a bearer token")
        await server.stub.ModelInfer(request, metadata=(("authorization", "Bearer secret"),))
        asked = health_pb2_grpc.HealthStub(server.channel).Check(health_pb2.HealthCheckRequest())
        assert (await asked).status == health_pb2.HealthCheckResponse.SERVING

    wire.run(test, leaky_path, token="secret")  # noqa: S106  (a test's own)


def test_the_clients_name_of_a_call_is_logged(wire, kit, leaky_path, caplog):
    async def test(server):
        await server.stub.ModelInfer(wire.message(kit.frames(1)), metadata=(("x-request-id", "abc"),))
        await server.stub.ModelInfer(wire.message(kit.frames(1), request_id="own"))

    with caplog.at_level(logging.INFO, "rnnx.serve"):
        wire.run(test, leaky_path)
    told = [one.fields["request_id"] for one in caplog.records if one.getMessage() == "request"]
    assert told == ["abc", "own"]


def test_a_port_in_use_and_a_wrong_certificate(kit, leaky_path):
    from rnnx.runtime.serving.grpc import start_grpc

    async def main():
        async with kit.serving(leaky_path) as service:
            first = await start_grpc(service, "127.0.0.1", 0)
            try:
                with pytest.raises(
                    ServerError, match=f"port {first.port} of '127.0.0.1' cannot be listened on for gRPC"
                ):
                    await start_grpc(service, "127.0.0.1", first.port)
                with pytest.raises(ServerError, match="cannot be listened on for gRPC with TLS"):
                    await start_grpc(service, "127.0.0.1", 0, tls=(b"no", b"pem"))
            finally:
                await first.stop(0)

    kit.run(main())
