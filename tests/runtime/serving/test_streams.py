"""The handle of a connection that is one stream, and going on from its token."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from rnnx.errors import InputError, ModelNotFoundError, StateError, StreamBusyError, StreamNotFoundError, TokenError
from rnnx.runtime.serving.tokens import TokenKeeper

KEY = b"k" * 32


def test_a_stream_is_pushed_and_finished(kit, tmp_path):
    path = kit.write(tmp_path / "leaky.rnnx", chunks=kit.PAIRS)
    x = kit.frames(5)

    async def main():
        async with kit.serving(path) as service:
            handle = service.stream_session("leaky")
            parts = [await handle.push({"x": x[:, :3]}), await handle.push({"x": x[:, 3:]}), await handle.finish()]
            joined = np.concatenate([part["y"] for part in parts], axis=1)
            np.testing.assert_allclose(joined, kit.by_hand(x), atol=1e-5)
            assert handle.reason == "the stream was finished"
            with pytest.raises(StreamNotFoundError, match="the stream has ended: the stream was finished"):
                await handle.push({"x": x})
            assert service.metrics.streams() == {"leaky": (0, 0)}

    kit.run(main())


def test_a_wrong_chunk_leaves_the_stream_where_it_was(kit, leaky_path):
    x = kit.frames(4)

    async def main():
        async with kit.serving(leaky_path) as service:
            handle = service.stream_session("leaky")
            with pytest.raises(InputError, match="input 'x' is missing; given are 'z'"):
                await handle.push({"z": x})
            with pytest.raises(InputError, match="input 'sum' is a state, which the server keeps"):
                await handle.push({"x": x, "sum": x[:, 0]})
            await handle.push({"x": x[:, :2]})
            for wrong in ({"x": x[:, :, :1]}, {}, {"x": np.concatenate([x, x])}):
                with pytest.raises((InputError, StateError)):
                    await handle.push(wrong)
            rest = await handle.finish({"x": x[:, 2:]})
            np.testing.assert_allclose(rest["y"], kit.by_hand(x)[:, 2:], atol=1e-5)

    kit.run(main())


def test_one_chunk_at_a_time_and_closing_under_way(kit, leaky_path):
    long = kit.frames(200_000)

    async def main():
        async with kit.serving(leaky_path) as service:
            handle = service.stream_session("leaky")
            await handle.push({"x": long[:, :1]})
            first = asyncio.create_task(handle.push({"x": long}))
            await asyncio.sleep(0.005)
            with pytest.raises(StreamBusyError):
                await handle.push({"x": long[:, :1]})
            with pytest.raises(StreamBusyError):
                handle.token()
            handle.close()
            await first
            assert service.metrics.streams() == {"leaky": (0, 0)}

    kit.run(main())


def test_a_stream_that_never_began(kit, leaky_path):
    async def main():
        async with kit.serving(leaky_path) as service:
            handle = service.stream_session("leaky")
            with pytest.raises(StreamNotFoundError, match="has not begun"):
                handle.token()
            assert await handle.finish() == {}
            with pytest.raises(StreamNotFoundError):
                handle.token()
            with pytest.raises(ModelNotFoundError):
                service.stream_session("other")

    kit.run(main())


def test_a_token_goes_on_elsewhere(kit, leaky_path):
    x = kit.frames(6, batch=2)

    async def main():
        async with kit.serving(leaky_path, service_options={"tokens": TokenKeeper(KEY)}) as one:
            handle = one.stream_session("leaky")
            await handle.push({"x": x[:, :4]})
            token = handle.token()
            assert one.metrics.streams()["leaky"] == (1, 24)
            handle.close()
            assert one.metrics.streams()["leaky"] == (0, 0)
        async with kit.serving(leaky_path, service_options={"tokens": TokenKeeper(KEY)}) as other:
            handle = other.stream_session("leaky", token=token)
            rest = await handle.push({"x": x[:, 4:]})
            np.testing.assert_allclose(rest["y"], kit.by_hand(x)[:, 4:], atol=1e-5)
        async with kit.serving(leaky_path) as stranger:
            with pytest.raises(TokenError, match="another server's key signed it"):
                stranger.stream_session("leaky", token=token)

    kit.run(main())


def test_a_token_of_another_bundle_is_refused(kit, tmp_path):
    one, other = (kit.write(tmp_path / f"{name}.rnnx", decay=decay) for name, decay in (("one", 0.5), ("other", 0.25)))

    async def main():
        async with kit.serving(one, other) as service:
            handle = service.stream_session("one")
            await handle.push({"x": kit.frames(1)})
            with pytest.raises(StateError, match="of another bundle or variant than model 'other'"):
                service.stream_session("other", token=handle.token())
            assert service.metrics.streams()["other"] == (0, 0)

    kit.run(main())


def test_a_stream_that_the_server_ended_leaves_a_token(kit, leaky_path):
    x = kit.frames(4)

    async def main():
        keeper = {"tokens": TokenKeeper(KEY)}
        async with kit.serving(leaky_path, service_options=keeper) as one:
            handle, unbegun = one.stream_session("leaky"), one.stream_session("leaky")
            await handle.push({"x": x[:, :2]})
            one.end_streams("the server is going down")
            assert await handle.wait_ended() == "the server is going down"
            token = handle.farewell()
            assert unbegun.farewell() == ""
        async with kit.serving(leaky_path, service_options=keeper) as other:
            handle = other.stream_session("leaky", token=token)
            rest = await handle.finish({"x": x[:, 2:]})
            np.testing.assert_allclose(rest["y"], kit.by_hand(x)[:, 2:], atol=1e-5)
            assert handle.farewell() == ""

    kit.run(main())
