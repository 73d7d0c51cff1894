"""ModelStreamInfer: order, sequences, streams without ids, errors that are answers, cancelling, limits."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from rnnx.errors import QueueFullError
from rnnx.runtime.session import load

pytest.importorskip("grpc")


async def answers(call, number):
    """The next answers of a call."""
    return [await call.read() for _ in range(number)]


def outcome(answer):
    """Id, code and message of an answer."""
    found = answer.infer_response
    assert found.parameters["triton_final_response"].bool_param
    return found.id, found.parameters["grpc_status"].string_param, answer.error_message


async def until(true):
    """Wait for what has no event."""
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110  (see above)
            await asyncio.sleep(0.001)


def slowed(server, seconds=0.05):
    """Let every answer of a server take longer."""
    infer = server.service.infer

    async def slow(request, **options):
        await asyncio.sleep(seconds)
        return await infer(request, **options)

    server.service.infer = slow


def test_a_sequence_sent_ahead_is_answered_in_order(wire, kit, leaky_path):
    x = kit.frames(12)

    async def test(server):
        for name in (7, "seven"):
            call = server.stub.ModelStreamInfer()
            for at in range(6):
                part = x[:, 2 * at : 2 * at + 2]
                await call.write(
                    wire.chunk(part, at, 6, name, request_id=str(at), triton_enable_empty_final_response=True)
                )
            await call.done_writing()
            found = await answers(call, 6)
            assert [outcome(one) for one in found] == [(str(at), "", "") for at in range(6)]
            joined = np.concatenate([wire.values(one.infer_response) for one in found], axis=1)
            np.testing.assert_allclose(joined, kit.by_hand(x), atol=1e-5)
            assert await call.read() is wire.grpc.aio.EOF
            assert (await call.code()) is wire.grpc.StatusCode.OK

    wire.run(test, leaky_path)


def test_requests_run_side_by_side_and_are_answered_in_their_order(wire, kit, leaky_path):
    async def test(server):
        infer, running, most = server.service.infer, [], []

        async def slow(request, **options):
            running.append(request.id)
            most.append(len(running))
            # The first take longest, so that the last are ready first.
            await asyncio.sleep(0.1 - 0.02 * int(request.id))
            running.remove(request.id)
            return await infer(request, **options)

        server.service.infer = slow
        call = server.stub.ModelStreamInfer()
        for at in range(5):
            await call.write(wire.message(kit.frames(at + 1, seed=at), request_id=str(at)))
        for at in range(5):
            answer = (await call.read()).infer_response
            assert answer.id == str(at)
            np.testing.assert_allclose(wire.values(answer), kit.by_hand(kit.frames(at + 1, seed=at)), atol=1e-5)
        assert max(most) == 5

    wire.run(test, leaky_path)


def test_streams_of_many_calls_are_whole_runs(wire, kit, tmp_path):
    """Eight streams in random turns, some of a call in common, one cancelled mid-chunk: the rest are untouched."""
    path = kit.write(tmp_path / "leaky.rnnx")
    random = np.random.default_rng(5)
    whole = [kit.frames(40, seed=number) for number in range(8)]
    with load(path, provider="cpu", mode="offline") as session:
        wanted = [session.run({"x": x})["y"] for x in whole]

    async def test(server):
        calls = [server.stub.ModelStreamInfer() for _ in range(4)]
        victim = server.stub.ModelStreamInfer()
        await victim.write(wire.message(kit.frames(1), sequence_id=99, sequence_start=True))
        await victim.read()
        slowed(server, 0.001)
        given, parts, sent = [0] * 8, [[] for _ in range(8)], [[] for _ in range(4)]
        while min(given) < 40:
            for number in random.permutation(8).tolist():
                at, size = given[number], int(random.integers(1, 7))
                if at == 40:
                    continue
                given[number] = after = min(40, at + size)
                asked = wire.message(
                    whole[number][:, at:after],
                    sequence_id=number + 1,
                    sequence_start=at == 0,
                    sequence_end=after == 40,
                    request_id=f"{number} {at}",
                )
                await calls[number % 4].write(asked)
                sent[number % 4].append(asked.id)
            if victim is not None and min(given) > 10:
                await victim.write(wire.message(kit.frames(1000), sequence_id=99))
                victim.cancel()
                victim = None
            for call, ids in zip(calls, sent, strict=True):
                for name in ids:
                    answer = await call.read()
                    assert outcome(answer) == (name, "", "")
                    parts[int(name.split()[0])].append(wire.values(answer.infer_response))
                ids.clear()
        for number in range(8):
            np.testing.assert_allclose(np.concatenate(parts[number], axis=1), wanted[number], atol=1e-5)
        assert server.service.metrics.streams()["leaky"][0] == 1
        # The one that was cancelled stands where it was, and goes on.
        await until(lambda: not server.service.repository.find("leaky").model.users)
        answer = await server.stub.ModelInfer(wire.message(kit.frames(1), sequence_id=99))
        assert answer.parameters["sequence_id"].int64_param == 99

    wire.run(test, path)


def test_cancelling_takes_a_request_out_of_the_queue(wire, kit, leaky_path):
    long = kit.frames(400_000)

    async def test(server):
        engine = server.service.repository.find("leaky").model.offline.engine
        first = asyncio.ensure_future(server.stub.ModelInfer(wire.message(long)))
        await until(lambda: engine.statistics().running)
        call = server.stub.ModelStreamInfer()
        await call.write(wire.message(kit.frames(3)))
        await until(lambda: engine.statistics().queued == 1)
        call.cancel()
        await until(lambda: engine.statistics().queued == 0)
        assert engine.statistics().cancelled == 1
        await first

    wire.run(test, leaky_path, max_frames=1 << 20, options=[("grpc.max_receive_message_length", -1)])


def test_errors_are_answers_and_the_call_goes_on(wire, kit, leaky_path):
    x = kit.frames(4)

    async def test(server):
        call = server.stub.ModelStreamInfer()
        lying = wire.message(x, request_id="d")
        lying.raw_input_contents[0] = b"short"
        wrong = [
            (wire.message(x, model="no", request_id="a"), "NOT_FOUND", "model 'no' is not known here"),
            (wire.message(x, sequence_id=4, request_id="b"), "NOT_FOUND", "stream 4 is not open"),
            (wire.message(x[:, :, :1], request_id="c"), "INVALID_ARGUMENT", "input 'x'"),
            (lying, "INVALID_ARGUMENT", "found 5"),
        ]
        await call.write(wire.chunk(x[:, :2], 0, 2, 1, request_id="first"))
        assert outcome(await call.read()) == ("first", "", "")
        for request, code, text in wrong:
            await call.write(request)
            answer = await call.read()
            assert outcome(answer)[:2] == (request.id, code)
            assert text in answer.error_message
            assert answer.infer_response.model_name == request.model_name
        await call.write(wire.chunk(x[:, :2], 0, 2, 1))
        assert outcome(await call.read())[1] == "ALREADY_EXISTS"
        await call.write(wire.chunk(x[:, 2:, :2], 1, 2, 1))
        assert outcome(await call.read())[1] == "INVALID_ARGUMENT"
        # Each was awaited, so the sequence stands where it was.
        await call.write(wire.chunk(x[:, 2:], 1, 2, 1))
        np.testing.assert_allclose(wire.values((await call.read()).infer_response), kit.by_hand(x)[:, 2:], atol=1e-5)

    wire.run(test, leaky_path)


def test_bytes_that_are_no_message(wire, kit, leaky_path):
    async def test(server):
        raw = server.channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")()
        await raw.write(b"\x0a\xff\xff")
        answer = wire.pb.ModelStreamInferResponse.FromString(await raw.read())
        assert outcome(answer)[1] == "INVALID_ARGUMENT"
        assert "the bytes are no message of 'ModelStreamInfer'" in answer.error_message
        await raw.write(wire.message(kit.frames(1)).SerializeToString())
        answer = wire.pb.ModelStreamInferResponse.FromString(await raw.read())
        np.testing.assert_allclose(wire.values(answer.infer_response), kit.frames(1), atol=1e-6)

    wire.run(test, leaky_path)


def test_an_error_as_the_calls_status_where_that_is_asked_for(wire, kit, leaky_path):
    async def test(server):
        call = server.stub.ModelStreamInfer(metadata=(("triton_grpc_error", "true"),))
        await call.write(wire.message(kit.frames(1), request_id="good"))
        await call.write(wire.message(kit.frames(1), model="no"))
        assert outcome(await call.read())[0] == "good"
        await wire.refused(call.read(), "NOT_FOUND", "model 'no' is not known here")

    wire.run(test, leaky_path)


@pytest.mark.parametrize("broken", ["parsed", "refused"])
def test_a_gap_in_a_sequence_that_is_sent_ahead_ends_it(wire, kit, leaky_path, broken):
    x = kit.frames(6)

    async def test(server):
        infer = server.service.infer

        async def full(request, **options):
            await asyncio.sleep(0.02)
            if request.id == "2" and broken == "refused":
                raise QueueFullError("as many requests wait as may. Try again later.")
            return await infer(request, **options)

        server.service.infer = full
        call = server.stub.ModelStreamInfer()
        for at in range(6):
            asked = wire.chunk(x[:, at : at + 1], at, 6, 1, request_id=str(at))
            if at == 2 and broken == "parsed":
                asked.raw_input_contents[0] = b""
            await call.write(asked)
        found = [outcome(one)[:2] for one in await answers(call, 6)]
        code = "INVALID_ARGUMENT" if broken == "parsed" else "UNAVAILABLE"
        assert found == [("0", ""), ("1", ""), ("2", code), ("3", "NOT_FOUND"), ("4", "NOT_FOUND"), ("5", "NOT_FOUND")]
        await call.write(wire.chunk(x[:, :1], 0, 6, 1))
        assert outcome(await call.read())[1] == ""

    wire.run(test, leaky_path)


def test_a_call_without_ids_is_one_stream_of_a_model_that_only_streams(wire, kit, tmp_path):
    path = kit.write(tmp_path / "pairs.rnnx", modes=("streaming",), chunks=kit.PAIRS)
    x = kit.frames(7)

    async def test(server):
        call = server.stub.ModelStreamInfer()
        first = []
        for at in (0, 3):
            await call.write(wire.message(x[:, at : at + 3], model="pairs", request_id=str(at)))
            first.append(await call.read())
        await call.write(wire.message(x[:, 6:, :2], model="pairs"))
        assert outcome(await call.read())[1] == "INVALID_ARGUMENT"
        await call.write(wire.message(x[:, 6:], model="pairs", request_id="6"))
        first.append(await call.read())
        assert server.service.metrics.streams()["pairs"][0] == 1
        await call.done_writing()
        last = await call.read()
        assert [outcome(one)[0] for one in (*first, last)] == ["0", "3", "6", "6"]
        parts = [wire.values(one.infer_response) for one in (*first, last) if one.infer_response.outputs]
        np.testing.assert_allclose(np.concatenate(parts, axis=1), kit.by_hand(x), atol=1e-5)
        assert await call.read() is wire.grpc.aio.EOF
        assert server.service.metrics.streams()["pairs"][0] == 0
        other = server.stub.ModelStreamInfer()
        await other.write(wire.message(x[:, :3], model="pairs"))
        await other.read()
        other.cancel()
        await until(lambda: server.service.metrics.streams()["pairs"][0] == 0)
        push = server.service.push

        async def slow(*given, **options):
            await asyncio.sleep(0.1)
            return await push(*given, **options)

        server.service.push = slow
        ahead = server.stub.ModelStreamInfer()
        for part in (x[:, :4], x[:, 4:, :2], x[:, 4:]):
            await ahead.write(wire.message(part, model="pairs"))
        assert [outcome(one)[1] for one in await answers(ahead, 3)] == ["", "INVALID_ARGUMENT", "NOT_FOUND"]

    wire.run(test, path)


def test_no_more_is_read_than_may_be_in_flight(wire, kit, leaky_path):
    async def test(server):
        infer, seen, going = server.service.infer, [], asyncio.Event()

        async def held(request, **options):
            seen.append(request.id)
            await going.wait()
            return await infer(request, **options)

        server.service.infer = held
        call = server.stub.ModelStreamInfer()
        for at in range(10):
            await call.write(wire.message(kit.frames(2), request_id=str(at)))
        await call.done_writing()
        await until(lambda: len(seen) == 3)
        await asyncio.sleep(0.1)
        assert seen == ["0", "1", "2"]
        going.set()
        assert [outcome(one)[0] for one in await answers(call, 10)] == [str(at) for at in range(10)]

    wire.run(test, leaky_path, calls={"in_flight": 3})


def test_an_idle_call_ends(wire, kit, leaky_path):
    async def test(server):
        call = server.stub.ModelStreamInfer()
        await call.write(wire.message(kit.frames(1)))
        assert outcome(await call.read())[1] == ""
        await wire.refused(call.read(), "UNAVAILABLE", "the call was idle for 0.2 s")

    wire.run(test, leaky_path, calls={"idle_s": 0.2})


def test_a_client_that_does_not_read_is_cut_off(wire, kit, leaky_path):
    x = kit.frames(100_000)

    async def test(server):
        call = server.stub.ModelStreamInfer()
        streams = server.handle._streams
        for _ in range(12):  # 1.2 MB each, more than windows and buffers hold
            await call.write(wire.message(x))
        await until(lambda: len(streams) == 0)
        np.testing.assert_allclose(
            wire.values(await server.stub.ModelInfer(wire.message(kit.frames(2)))),
            kit.by_hand(kit.frames(2)),
            atol=1e-5,
        )

    wire.run(test, leaky_path, limits={"request_s": 1.0})
