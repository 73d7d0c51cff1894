"""Requests, sequences and carried states through the service, without a transport."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from rnnx.errors import (
    DeadlineError,
    FeatureError,
    InputError,
    ModelNotFoundError,
    ModelUnavailableError,
    QueueFullError,
    RequestTooLargeError,
    ShapeError,
    StreamBusyError,
    StreamExistsError,
    StreamNotFoundError,
    TooManyStreamsError,
)
from rnnx.runtime.serving.protocol.limits import Limits

#: Steps of a sequence that takes long enough for something else to happen meanwhile.
LONG = 200_000


def close_to(found, expected):
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_whole_sequences(kit, leaky_path):
    async def main():
        async with kit.serving(leaky_path) as service:
            x = kit.frames(6, batch=2)
            response = await service.infer(kit.request(x, id="a", outputs=("y",)))
            assert (response.model, response.version, response.id) == ("leaky", "1", "a")
            close_to(response.outputs["y"], kit.by_hand(x))
            assert response.parameters == {}

    kit.run(main())


@pytest.mark.parametrize("chunks", [None, "PAIRS"])
def test_a_sequence_gives_the_whole_answer(kit, tmp_path, chunks):
    path = kit.write(tmp_path / "leaky.rnnx", chunks=chunks and kit.PAIRS)
    x = kit.frames(5)

    async def main():
        async with kit.serving(path) as service:
            parts = []
            for first, last, marks in ((0, 1, ("start",)), (1, 4, ()), (4, 5, ("end",))):
                response = await service.infer(kit.request(x[:, first:last], sequence=("a", *marks)))
                assert response.parameters["sequence_id"] == "a"
                parts.append(response.outputs["y"])
            if chunks:
                # The first frame waits for its pair, and the last one comes out because the sequence ends.
                assert [part.shape[1] for part in parts] == [0, 4, 1]
            close_to(np.concatenate(parts, axis=1), kit.by_hand(x))
            with pytest.raises(StreamNotFoundError, match="stream 'a' is not open: it has ended"):
                await service.infer(kit.request(x, sequence=("a",)))

    kit.run(main())


def test_a_sequence_that_ends_without_frames(kit, tmp_path):
    path = kit.write(tmp_path / "leaky.rnnx", chunks=kit.PAIRS)
    x = kit.frames(3)

    async def main():
        async with kit.serving(path) as service:
            first = await service.infer(kit.request(x, sequence=(1, "start")))
            last = await service.infer(kit.request(sequence=(1, "end")))
            close_to(np.concatenate([first.outputs["y"], last.outputs["y"]], axis=1), kit.by_hand(x))

    kit.run(main())


def test_numbers_and_texts_are_different_streams_and_models_have_their_own(kit, leaky_path, tmp_path):
    other = kit.write(tmp_path / "other.rnnx")
    x = kit.frames(4)

    async def main():
        async with kit.serving(leaky_path, other) as service:
            for model, key in (("leaky", 1), ("leaky", "1"), ("other", 1)):
                await service.infer(kit.request(x[:, :2], model=model, sequence=(key, "start")))
            await service.infer(kit.request(x[:, 2:], sequence=("1", "end")))
            rest = await service.infer(kit.request(x[:, 2:], sequence=(1, "end")))
            close_to(rest.outputs["y"], kit.by_hand(x)[:, 2:])
            assert service.metrics.streams() == {"leaky": (0, 0), "other": (1, 12)}

    kit.run(main())


def test_wrong_uses_of_sequences(kit, leaky_path):
    x = kit.frames(2)

    async def main():
        async with kit.serving(leaky_path, max_streams=1, max_batch=2) as service:
            with pytest.raises(StreamNotFoundError, match="never begun"):
                await service.infer(kit.request(x, sequence=(7,)))
            with pytest.raises(ShapeError):
                await service.infer(kit.request(x[:, :, :1], sequence=(7, "start")))
            with pytest.raises(StreamNotFoundError, match="its first chunk failed"):
                await service.infer(kit.request(x, sequence=(7,)))
            with pytest.raises(ShapeError, match="first chunk is of 3 streams; model 'leaky' runs up to 2"):
                await service.infer(kit.request(kit.frames(1, batch=3), sequence=(7, "start")))
            await service.infer(kit.request(x, sequence=(7, "start")))
            with pytest.raises(StreamExistsError, match="begun already"):
                await service.infer(kit.request(x, sequence=(7, "start")))
            with pytest.raises(TooManyStreamsError, match="1 streams are open"):
                await service.infer(kit.request(x, sequence=(8, "start")))
            with pytest.raises(InputError, match="output 'z' is not known"):
                await service.infer(kit.request(x, sequence=(7,), outputs=("z",)))
            # None of this has moved the stream.
            last = await service.infer(kit.request(x, sequence=(7, "end")))
            close_to(last.outputs["y"], kit.by_hand(np.concatenate([x, x], axis=1))[:, 2:])
            with pytest.raises(
                InputError, match=r"'leaky\.streaming' takes and gives the states, so it has no sequences"
            ):
                await service.infer(kit.request(x, model="leaky.streaming", sequence=(7, "start")))

    kit.run(main())


def test_two_requests_of_one_stream_at_once(kit, leaky_path):
    x = kit.frames(LONG)

    async def main():
        async with kit.serving(leaky_path) as service:
            first = asyncio.create_task(service.infer(kit.request(x, sequence=(1, "start"))))
            await asyncio.sleep(0.005)
            with pytest.raises(StreamBusyError, match="stream 1 is in use"):
                await service.infer(kit.request(x[:, :1], sequence=(1,)))
            assert (await first).outputs["y"].shape[1] == LONG

    kit.run(main())


def test_an_idle_stream_ends(kit, leaky_path):
    x = kit.frames(1)

    async def main():
        async with kit.serving(leaky_path, stream_idle_s=0.02) as service:
            await service.infer(kit.request(x, sequence=(1, "start")))
            handle = service.stream_session("leaky")
            await handle.push({"x": x})
            await asyncio.sleep(0.05)
            await service.tend()
            assert service.metrics.streams()["leaky"][0] == 0
            assert "idled" in await asyncio.wait_for(handle.wait_ended(), 1)
            with pytest.raises(StreamNotFoundError, match=r"was idle for 0\.02 s"):
                await service.infer(kit.request(x, sequence=(1,)))

    kit.run(main())


def test_the_client_carries_the_states(kit, leaky_path):
    x = kit.frames(4, batch=2)

    async def main():
        async with kit.serving(leaky_path) as service:
            first = await service.infer(kit.request(x[:, :3], model="leaky.streaming"))
            assert list(first.outputs) == ["y", "sum_next"]
            given = {"x": x[:, 3:], "sum": first.outputs["sum_next"]}
            double = {**given, "sum": given["sum"].astype(np.float64)}
            second = await service.infer(kit.request(inputs=given, model="leaky.streaming", outputs=("sum_next", "y")))
            assert list(second.outputs) == ["sum_next", "y"]
            close_to(second.outputs["y"], kit.by_hand(x)[:, 3:])
            close_to(second.outputs["sum_next"], kit.by_hand(x)[:, -1])
            with pytest.raises(ShapeError, match=r"state 'sum' is float32\[1, 3\]; for this chunk it must be"):
                await service.infer(kit.request(inputs={**given, "sum": given["sum"][:1]}, model="leaky.streaming"))
            with pytest.raises(ShapeError, match="state 'sum' is float64"):
                await service.infer(kit.request(inputs=double, model="leaky.streaming"))
            with pytest.raises(InputError, match="output 'z' is not known; the model has 'y', 'sum_next'"):
                await service.infer(kit.request(x, model="leaky.streaming", outputs=("z",)))
            assert len(service.repository.find("leaky").model.table) == 0

    kit.run(main())


def test_states_with_waiting_frames_are_not_carried(kit, tmp_path):
    path = kit.write(tmp_path / "pairs.rnnx", chunks=kit.PAIRS)

    async def main():
        async with kit.serving(path) as service:
            with pytest.raises(
                ModelNotFoundError, match=r"some of its frames wait for others.*sequence_id with 'pairs'"
            ):
                await service.infer(kit.request(kit.frames(2), model="pairs.streaming"))
            assert [one["name"] for one in service.repository_index()] == ["pairs"]

    kit.run(main())


def test_bundles_of_one_variant(kit, tmp_path):
    whole = kit.write(tmp_path / "whole.rnnx", modes=("offline",))
    chunks = kit.write(tmp_path / "chunks.rnnx", modes=("streaming",))
    x = kit.frames(2)

    async def main():
        async with kit.serving(whole, chunks) as service:
            with pytest.raises(InputError, match="model 'whole' has no streaming variant, so it takes no sequences"):
                await service.infer(kit.request(x, model="whole", sequence=(1, "start")))
            with pytest.raises(InputError, match="model 'chunks' has only a streaming variant: give sequence_id"):
                await service.infer(kit.request(x, model="chunks"))
            with pytest.raises(ModelNotFoundError, match="it has no streaming variant"):
                await service.infer(kit.request(x, model="whole.streaming"))
            answer = await service.infer(kit.request(x, model="chunks", sequence=(1, "start", "end")))
            close_to(answer.outputs["y"], kit.by_hand(x))
            told = service.model_metadata("chunks")
            assert [one["name"] for one in told["inputs"] + told["outputs"]] == ["x", "y"]
            assert "sequence_batching" in service.model_config("chunks")
            assert "sequence_batching" not in service.model_config("whole")
            # Its streams are counted under its own name: there is nothing else to be counted there.
            (told,) = service.statistics("chunks")["model_stats"]
            assert (told["name"], told["inference_stats"]["success"]["count"]) == ("chunks", 1)

    kit.run(main())


def test_unknown_models_and_versions(kit, leaky_path):
    async def main():
        async with kit.serving(leaky_path) as service:
            with pytest.raises(ModelNotFoundError, match="model 'other' is not known here; ready are 'leaky'"):
                await service.infer(kit.request(kit.frames(1), model="other"))
            with pytest.raises(ModelNotFoundError, match="model 'leaky' has no version '2'; it has version '1'"):
                await service.infer(kit.request(kit.frames(1), version="2"))
            with pytest.raises(ModelNotFoundError):
                service.model_ready("../leaky")
            assert service.model_ready("leaky", "1")
            # A client's text makes no labels.
            assert b"other" not in service.metrics.exposition()[0]

    kit.run(main())


def test_time_that_is_over(kit, leaky_path):
    async def main():
        async with kit.serving(leaky_path, service_options={"limits": Limits(request_s=0.02)}) as service:
            with pytest.raises(DeadlineError, match=r"no answer came within 0\.02 s"):
                await service.infer(kit.request(kit.frames(LONG)))
            with pytest.raises(DeadlineError, match=r"no answer came within 0\.001 s"):
                await service.infer(kit.request(kit.frames(LONG), timeout_us=1000))
            with pytest.raises(DeadlineError):  # a client cannot ask for more than the server allows
                await service.infer(kit.request(kit.frames(LONG), timeout_us=10_000_000))
            assert service.metrics.of("leaky").deadline_misses == 3

    kit.run(main())


def test_more_frames_than_are_taken_at_once(kit, leaky_path):
    async def main():
        async with kit.serving(leaky_path, max_frames=10) as service:
            await service.infer(kit.request(kit.frames(5, batch=2)))
            await service.infer(kit.request(kit.frames(5), sequence=(1, "start")))
            for asked in (
                kit.request(kit.frames(4, batch=3)),
                kit.request(kit.frames(11), model="leaky.streaming"),
                kit.request(kit.frames(11), sequence=(1,)),
            ):
                with pytest.raises(RequestTooLargeError, match=r"input 'x' has 1[12] frames, .*; up to 10 are taken"):
                    await service.infer(asked)
            await service.infer(kit.request(kit.frames(5), sequence=(1, "end")))

    kit.run(main())


def test_a_full_queue_refuses(kit, leaky_path):
    async def main():
        async with kit.serving(leaky_path, max_queue=1) as service:
            running = asyncio.create_task(service.infer(kit.request(kit.frames(LONG))))
            await asyncio.sleep(0.005)
            asked = [asyncio.create_task(service.infer(kit.request(kit.frames(1)))) for _ in range(3)]
            done = await asyncio.gather(running, *asked, return_exceptions=True)
            assert [type(one) for one in done].count(QueueFullError) == 2
            counts = service.metrics.of("leaky")
            assert (counts.refusals, counts.reasons, counts.success.count) == (2, {"REJECTED": 2}, 2)
            assert counts.pending == 0

    kit.run(main())


def test_a_client_that_goes_away_leaves_its_stream_where_it_was(kit, leaky_path):
    x = kit.frames(2)

    async def main():
        async with kit.serving(leaky_path) as service:
            await service.infer(kit.request(x, sequence=(1, "start")))
            gone = asyncio.create_task(service.infer(kit.request(kit.frames(LONG), sequence=(1,))))
            await asyncio.sleep(0.005)
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
            assert service.metrics.of("leaky.streaming").reasons == {"CANCELED": 1}
            last = await service.infer(kit.request(x, sequence=(1, "end")))
            close_to(last.outputs["y"], kit.by_hand(np.concatenate([x, x], axis=1))[:, 2:])

    kit.run(main())


def test_nothing_new_is_begun_while_the_server_goes_down(kit, leaky_path):
    x = kit.frames(1)

    async def main():
        async with kit.serving(leaky_path) as service:
            await service.infer(kit.request(x, sequence=(1, "start")))
            handle = service.stream_session("leaky")
            await handle.push({"x": x})
            assert service.ready()
            service.close_down("the server is going down")
            assert service.live()
            assert not service.ready()
            assert not service.model_ready("leaky")
            await service.infer(kit.request(x, sequence=(1,)))
            with pytest.raises(ModelUnavailableError, match="nothing new is begun here: the server is going down"):
                await service.infer(kit.request(x, sequence=(2, "start")))
            with pytest.raises(ModelUnavailableError):
                service.stream_session("leaky")
            close_to((await service.infer(kit.request(x))).outputs["y"], kit.by_hand(x))
            down = asyncio.create_task(service.wait_down())
            await asyncio.sleep(0)
            assert not down.done()
            service.end_streams("the server is going down")
            assert await down == await handle.wait_ended() == "the server is going down"
            with pytest.raises(StreamNotFoundError, match="the server is going down"):
                await service.infer(kit.request(x, sequence=(1,)))

    kit.run(main())


def test_a_chunk_under_way_is_answered_though_its_stream_is_ended(kit, leaky_path):
    x = kit.frames(LONG)

    async def main():
        async with kit.serving(leaky_path) as service:
            chunk = asyncio.create_task(service.infer(kit.request(x, sequence=(1, "start"))))
            await asyncio.sleep(0.005)
            service.end_streams("the server is going down")
            close_to((await chunk).outputs["y"][:, :9], kit.by_hand(x[:, :9]))

    kit.run(main())


def test_loading_with_parameters_is_refused(kit, leaky_path):
    async def main():
        async with kit.serving(leaky_path) as service:
            for name in ("config", "file:1/model.onnx"):
                with pytest.raises(FeatureError, match=f"parameter '{name}' is not offered"):
                    await service.load("leaky", {name: "x"})
            with pytest.raises(FeatureError, match="parameter 'force' is not offered"):
                await service.unload("leaky", {"force": True})
            await service.unload("leaky", {"unload_dependents": True})
            assert not service.model_ready("leaky")

    kit.run(main())
