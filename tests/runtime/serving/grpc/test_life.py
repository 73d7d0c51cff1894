"""Health and its changes, reflection, TLS, and the end of a server with calls under way."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time

import numpy as np
import pytest

pytest.importorskip("grpc")
health_pb2 = pytest.importorskip("grpc_health.v1.health_pb2")

from grpc_health.v1 import health_pb2_grpc  # noqa: E402  (only where there is grpc)
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc  # noqa: E402

SERVICE = "inference.GRPCInferenceService"
SERVING, NOT_SERVING, UNKNOWN = 1, 2, 3


def test_health_of_the_server_and_of_each_model(wire, leaky_path):
    async def test(server):
        stub = health_pb2_grpc.HealthStub(server.channel)

        async def check(name):
            return (await stub.Check(health_pb2.HealthCheckRequest(service=name))).status

        names = ("", SERVICE, "leaky", "leaky.streaming")
        assert [await check(name) for name in names] == [SERVING] * 4
        await wire.refused(check("other"), "NOT_FOUND", "no service or model of this name")
        listed = (await stub.List(health_pb2.HealthListRequest())).statuses
        assert {name: one.status for name, one in listed.items()} == dict.fromkeys(names, SERVING)
        server.service.close_down("going")
        assert [await check(name) for name in names] == [NOT_SERVING] * 4

    wire.run(test, leaky_path)


def test_health_is_watched(wire, leaky_path):
    async def test(server):
        stub = health_pb2_grpc.HealthStub(server.channel)
        names = ("leaky", "", "other")
        watched = {name: stub.Watch(health_pb2.HealthCheckRequest(service=name)) for name in names}
        told = [(await watched[name].read()).status for name in names]
        assert told == [SERVING, SERVING, UNKNOWN]
        gone = stub.Watch(health_pb2.HealthCheckRequest())
        await gone.read()
        gone.cancel()
        await server.service.unload("leaky")
        assert (await watched["leaky"].read()).status == NOT_SERVING
        await server.service.load("leaky")
        assert (await watched["leaky"].read()).status == SERVING
        begun = time.monotonic()
        server.service.close_down("going")
        assert (await watched["leaky"].read()).status == NOT_SERVING
        assert (await watched[""].read()).status == NOT_SERVING
        assert time.monotonic() - begun < 1
        await server.handle.stop(1)
        for call in watched.values():
            while (answer := await call.read()) is not wire.grpc.aio.EOF:
                assert answer.status in {NOT_SERVING, UNKNOWN}
            assert await call.code() is wire.grpc.StatusCode.OK

    wire.run(test, leaky_path)


def test_reflection_tells_of_every_service(wire, leaky_path):
    async def test(server):
        call = reflection_pb2_grpc.ServerReflectionStub(server.channel).ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        listed = (await call.read()).list_services_response.service
        names = [one.name for one in listed]
        assert names == ["grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection", SERVICE]
        for name in names:
            await call.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol=name))
            assert (await call.read()).file_descriptor_response.file_descriptor_proto
        await call.done_writing()

    wire.run(test, leaky_path)


def test_the_end_answers_what_was_read_and_says_why(wire, kit, leaky_path):
    async def test(server):
        infer = server.service.infer
        begun = []

        async def slow(request, **options):
            begun.append(request.id)
            await asyncio.sleep(0.2)
            return await infer(request, **options)

        server.service.infer = slow
        idle, busy = server.stub.ModelStreamInfer(), server.stub.ModelStreamInfer()
        await idle.write(wire.message(kit.frames(1)))
        await idle.read()
        for at in range(3):
            await busy.write(wire.message(kit.frames(2), request_id=str(at)))
        single = asyncio.ensure_future(server.stub.ModelInfer(wire.message(kit.frames(2))))
        while len(begun) < 5:  # noqa: ASYNC110  (it has no event)
            await asyncio.sleep(0.001)
        stopping = asyncio.create_task(server.handle.stop(5))
        await wire.refused(idle.read(), "UNAVAILABLE", "the server is shutting down")
        for at in range(3):
            answer = (await busy.read()).infer_response
            assert answer.id == str(at)
            np.testing.assert_allclose(wire.values(answer), kit.by_hand(kit.frames(2)), atol=1e-5)
        await wire.refused(busy.read(), "UNAVAILABLE", "the server is shutting down")
        np.testing.assert_allclose(wire.values(await single), kit.by_hand(kit.frames(2)), atol=1e-5)
        await asyncio.wait_for(stopping, 3)
        await wire.refused(server.stub.ModelInfer(wire.message(kit.frames(1))), "UNAVAILABLE", "")

    wire.run(test, leaky_path)


def test_what_is_left_after_the_grace_time_is_cut_off(wire, kit, leaky_path):
    async def test(server):
        begun = asyncio.Event()

        async def stuck(request, **options):
            begun.set()
            await asyncio.sleep(60)

        server.service.infer = stuck
        call = server.stub.ModelStreamInfer()
        await call.write(wire.message(kit.frames(2)))
        await begun.wait()
        at = time.monotonic()
        await server.handle.stop(0.2)
        assert time.monotonic() - at < 5
        with pytest.raises((wire.grpc.aio.AioRpcError, asyncio.CancelledError)):
            await call.read()

    wire.run(test, leaky_path)


def test_tls(wire, kit, leaky_path, tmp_path):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl makes the certificate")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    pem = cert.read_bytes()

    async def test(server):
        from rnnx.runtime.serving.protocol.proto import inference_pb2_grpc as stubs

        trust = wire.grpc.ssl_channel_credentials(pem)
        options = [("grpc.ssl_target_name_override", "localhost")]
        async with wire.grpc.aio.secure_channel(f"127.0.0.1:{server.handle.port}", trust, options=options) as channel:
            answer = await stubs.GRPCInferenceServiceStub(channel).ModelInfer(wire.message(kit.frames(2)))
            np.testing.assert_allclose(wire.values(answer), kit.by_hand(kit.frames(2)), atol=1e-5)
        await wire.refused(server.stub.ModelInfer(wire.message(kit.frames(2))), "UNAVAILABLE", "")

    wire.run(test, leaky_path, tls=(pem, key.read_bytes()))
