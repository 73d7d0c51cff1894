"""Streams over WebSocket: order, forms, resumption, back-pressure, and every way to end."""

from __future__ import annotations

import asyncio
import json
import time

import numpy as np
import pytest


def talk(kit, web, path, *, http=None, **options):
    """Run ``ask(app, service)`` against a service of one bundle."""

    def decorate(ask):
        async def main():
            async with kit.serving(path, **options) as service:
                return await ask(web.create_app(service, options=http), service)

        return kit.run(main())

    return decorate


def chunk(web, x, **more):
    return {"inputs": [web.tensor(x)], **more}


def bytes_of(x, **more):
    """JSON and the tensor's bytes."""
    one = {"name": "x", "datatype": "FP32", "shape": list(x.shape), "parameters": {"binary_data_size": x.nbytes}}
    return {"inputs": [one], **more}, x.tobytes()


def output(message):
    (one,) = message["outputs"]
    assert one["name"] == "y"
    return np.array(one["data"], np.float32).reshape(one["shape"])


def joined(messages):
    return np.concatenate([output(one) for one in messages], axis=1)


def test_chunks_are_answered_in_order_in_the_form_they_came_in(kit, web, leaky_path):
    x = kit.frames(8)

    @talk(kit, web, leaky_path)
    async def heard(app, service):
        socket = web.Socket(app, subprotocols=["other", "rnnx.stream.v1"])
        accepted = await socket.accepted()
        socket.say({"type": "start", **chunk(web, x[:, :2])})
        socket.say({"type": "chunk", "id": "second", **chunk(web, x[:, 2:3])})
        socket.say(*bytes_of(x[:, 3:6], id="third"))
        socket.say({"type": "finish", **chunk(web, x[:, 6:])})
        found = [await socket.hear() for _ in range(6)]
        with pytest.raises(web.Closed) as closed:
            await socket.hear()
        await socket.task
        assert len(service.repository.find("leaky").model.table) == 0
        return accepted, found, closed.value.code

    accepted, found, code = heard
    assert accepted["subprotocol"] == "rnnx.stream.v1"
    assert found[0] == {"type": "started", "model_name": "leaky", "resumed": False, "in_flight": 4}
    assert [one["type"] for one in found[1:]] == ["answer"] * 4 + ["finished"]
    assert [one["sequence"] for one in found[1:]] == [1, 2, 3, 4, 4]
    assert [one.get("id") for one in found[1:5]] == [None, "second", "third", None]
    np.testing.assert_allclose(joined(found[1:5]), kit.by_hand(x), atol=1e-5)
    assert code == 1000


@pytest.mark.parametrize("form", ["json", "binary"])
def test_one_form_for_all_answers(kit, web, leaky_path, form):
    x = kit.frames(4)

    @talk(kit, web, leaky_path)
    async def heard(app, service):
        async with web.started(app, format=form) as socket:
            socket.say(chunk(web, x[:, :2]))
            socket.say(*bytes_of(x[:, 2:]))
            socket.say({"type": "finish"})
            kinds = []
            for _ in range(3):
                message = await socket.outgoing.get()
                kinds.append("bytes" if message.get("bytes") is not None else "text")
            return kinds

    assert heard == ["bytes" if form == "binary" else "text"] * 3


def test_frames_that_wait_come_with_the_end(kit, web, tmp_path):
    path = kit.write(tmp_path / "pairs.rnnx", chunks=kit.PAIRS)
    x = kit.frames(5)

    @talk(kit, web, path)
    async def heard(app, service):
        socket = web.Socket(app, path="/v2/models/pairs/stream")
        await socket.accepted()
        socket.say({"type": "start"})
        for t in range(5):
            socket.say(chunk(web, x[:, t : t + 1]))
        socket.say({"type": "finish"})
        found = [await socket.hear() for _ in range(8)]
        await socket.task
        return found[1:]

    assert [output(one).shape[1] for one in heard[:-1]] == [0, 2, 0, 2, 0, 1]
    assert [one["sequence"] for one in heard] == [1, 2, 3, 4, 5, 6, 6]
    np.testing.assert_allclose(joined(heard[:-1]), kit.by_hand(x), atol=1e-5)


def test_a_token_goes_on_where_it_was_taken_also_twice(kit, web, leaky_path):
    x = kit.frames(7)

    @talk(kit, web, leaky_path)
    async def heard(app, service):
        async with web.started(app) as socket:
            socket.say(chunk(web, x[:, :3]))
            socket.say({"type": "token"})
            first, token = await socket.hear(), await socket.hear()
        rest = []
        for _ in range(2):
            async with web.started(app, resume=token["token"]) as socket:
                socket.say({"type": "finish", **chunk(web, x[:, 3:])})
                rest.append(await socket.hear())
        return first, token, rest

    first, token, rest = heard
    assert (token["type"], token["sequence"]) == ("token", 1)
    for one in rest:
        np.testing.assert_allclose(joined([first, one]), kit.by_hand(x), atol=1e-5)


def test_wrong_messages_are_told_and_the_stream_goes_on(kit, web, leaky_path):
    x = kit.frames(4)
    wrong = [
        (("{",), 400, "the message is not JSON"),
        (("[]",), 400, "the message must be an object; found a list"),
        (({"type": "dance"},), 400, "'type' must be start, chunk, token or finish; found 'dance'"),
        (({},), 400, "found None"),
        (({"type": "start"},), 400, "has started already"),
        ((b"\x01\x00",), 400, "begins with 4 bytes of length; found 2 bytes"),
        ((b"\xff\x00\x00\x00{}",), 400, "its JSON has 255 bytes; 2 follow"),
        ((chunk(web, x.astype(np.float64)),), 400, "float64"),
        ((chunk(web, x[:, :, :2]),), 400, "x"),
        ((chunk(web, x, parameters={"sequence_id": 1}),), 400, "a WebSocket is one stream"),
        (({"inputs": []},), 400, "at least one input"),
        (({"inputs": 5},), 400, "at least one input"),
        ((bytes_of(x)[0], x.tobytes()[:-4]), 400, "are left there"),
        ((chunk(web, x, outputs=[{"name": "z"}]),), 400, "'z'"),
        (({"type": "chunk", "id": "me", "inputs": [web.tensor(x, name="sum")]},), 400, "is a state"),
    ]

    @talk(kit, web, leaky_path)
    async def heard(app, service):
        found = []
        async with web.started(app) as socket:
            socket.say(chunk(web, x[:, :2]))
            first = await socket.hear()
            for given, *_ in wrong:
                socket.say(*given)
                found.append(await socket.hear())
            socket.say(chunk(web, x[:, 2:]))
            return first, found, await socket.hear()

    first, found, last = heard
    for told, (_, status, message) in zip(found, wrong, strict=True):
        assert (told["type"], told["status"], message in told["error"]) == ("error", status, True), told
        assert told["retry"] is False
    assert found[-1]["id"] == "me"
    np.testing.assert_allclose(joined([first, last]), kit.by_hand(x), atol=1e-5)
    # Chunks that were refused count: an answer and an error alike say which chunk they are for.
    numbered = [one["sequence"] for one in found if "sequence" in one]
    assert numbered == list(range(2, 2 + len(numbered)))
    assert last["sequence"] == 2 + len(numbered)


def test_before_a_stream_has_started(kit, web, leaky_path):
    @talk(kit, web, leaky_path, max_streams=1)
    async def heard(app, service):
        found = []
        socket = web.Socket(app)
        await socket.accepted()
        for given in (
            chunk(web, kit.frames(1)),
            {"type": "start", "resume": 5},
            {"type": "start", "format": "xml"},
            {"type": "start", "resume": "bm90aGluZw=="},
        ):
            socket.say(given)
            found.append(await socket.hear())
        socket.say({"type": "start"})
        assert (await socket.hear())["type"] == "started"
        socket.say({"type": "token"})
        found.append(await socket.hear())
        async with web.started(app, **chunk(web, kit.frames(1))) as other:
            await other.hear()
            socket.say(chunk(web, kit.frames(1)))
            found.append(await socket.hear())
        socket.say(chunk(web, kit.frames(1)))
        last = await socket.hear()
        await socket.leave()
        return found, last

    found, last = heard
    expected = [
        (400, "the first message must be"),
        (400, "'resume' must be a token, a text; found 5"),
        (400, "'format' must be json or binary; found 'xml'"),
        (400, "the token was altered"),
        (404, "nothing to go on from"),
        (429, "1 streams are open, and 1 may"),
    ]
    assert [(one["status"], message in one["error"]) for one, (_, message) in zip(found, expected, strict=True)] == [
        (status, True) for status, _ in expected
    ]
    assert found[-1]["retry"] is True
    assert last["type"] == "answer"


def test_handshakes_that_are_refused(kit, web, leaky_path, tmp_path):
    offline = kit.write(tmp_path / "offline.rnnx", modes=("offline",))

    async def main():
        found = []
        async with kit.serving(leaky_path, offline) as service:
            app = web.create_app(service)
            for name in ("nobody", "offline"):
                with pytest.raises(web.Closed) as refused:
                    await web.Socket(app, path=f"/v2/models/{name}/stream").accepted()
                found.append((refused.value.code, refused.value.reason))
            service.close_down("the server is going down")
            with pytest.raises(web.Closed) as refused:
                await web.Socket(app).accepted()
            found.append((refused.value.code, refused.value.reason))
        return found

    found = kit.run(main())
    assert [code for code, _ in found] == [404, 400, 503]
    assert "no streaming variant" in found[1][1]
    assert "the server is going down" in found[2][1]


def test_no_more_is_taken_than_may_be_in_flight(kit, web, leaky_path):
    x = kit.frames(20)

    @talk(kit, web, leaky_path, http=web.HttpOptions(in_flight=3))
    async def counts(app, service):
        async with web.started(app) as socket:
            before = socket.taken
            socket.writable.clear()  # a client that does not read
            for t in range(20):
                socket.say(chunk(web, x[:, t : t + 1]))
            await asyncio.sleep(0.3)
            taken = socket.taken - before
            socket.writable.set()
            answers = [await socket.hear() for _ in range(20)]
            return taken, joined(answers)

    taken, answers = counts
    assert taken == 3
    np.testing.assert_allclose(answers, kit.by_hand(x), atol=1e-5)


def test_a_client_that_does_not_read_is_given_up(kit, web, leaky_path):
    @talk(kit, web, leaky_path, http=web.HttpOptions(write_s=0.1))
    async def held(app, service):
        async with web.started(app) as socket:
            socket.writable.clear()
            socket.say(chunk(web, kit.frames(1)))
            await asyncio.wait_for(socket.task, 5)
            return len(service.repository.find("leaky").model.table), socket.outgoing.qsize()

    assert held == (0, 0)


def test_a_client_that_leaves_ends_its_stream_and_its_run(kit, web, leaky_path):
    @talk(kit, web, leaky_path)
    async def found(app, service):
        table = service.repository.find("leaky").model.table
        async with web.started(app) as socket:
            socket.say(chunk(web, kit.frames(1)))
            await socket.hear()
            assert len(table) == 1
            cancelled = []

            async def push(*given, **more):
                try:
                    await asyncio.sleep(30)
                except asyncio.CancelledError:
                    cancelled.append(True)
                    raise

            service.push = push
            socket.say(chunk(web, kit.frames(1)))
            await asyncio.sleep(0.05)
            begun = time.monotonic()
            await socket.leave()
            assert time.monotonic() - begun < 5
        return len(table), cancelled

    assert found == (0, [True])


def test_a_server_that_goes_down_gives_a_token_first(kit, web, leaky_path):
    x = kit.frames(6)

    @talk(kit, web, leaky_path)
    async def heard(app, service):
        async with web.started(app) as socket:
            socket.say(chunk(web, x[:, :2]))
            first = await socket.hear()
            # The last chunk is under way when the server begins to end.
            running, going = service.push, asyncio.Event()

            async def push(*given, **more):
                going.set()
                await asyncio.sleep(0.05)
                return await running(*given, **more)

            service.push = push
            socket.say(chunk(web, x[:, 2:4]))
            await going.wait()
            service.close_down("the server is going down")
            await asyncio.sleep(0.2)
            service.push = running
            second = await socket.hear()
            service.end_streams("the server is going down")
            token = await socket.hear()
            with pytest.raises(web.Closed) as closed:
                await socket.hear()
            await socket.task
        service.closing = ""
        async with web.started(app, resume=token["token"]) as socket:
            socket.say(chunk(web, x[:, 4:]))
            return [first, second, await socket.hear()], token, closed.value

    answers, token, closed = heard
    assert (token["type"], token["sequence"]) == ("token", 2)
    assert (closed.code, closed.reason) == (1001, "the server is going down")
    np.testing.assert_allclose(joined(answers), kit.by_hand(x), atol=1e-5)


def test_a_stream_that_idles_is_ended_with_a_reason_and_a_token(kit, web, leaky_path):
    @talk(kit, web, leaky_path, stream_idle_s=0.05)
    async def heard(app, service):
        async with web.started(app) as socket:
            socket.say(chunk(web, kit.frames(1)))
            await socket.hear()
            await asyncio.sleep(0.1)
            await service.tend()
            token = await socket.hear()
            with pytest.raises(web.Closed) as closed:
                await socket.hear()
            return token["type"], closed.value.code, closed.value.reason

    assert heard == ("token", 1008, "it idled for too long, or its model was replaced or unloaded")


@pytest.mark.parametrize("start", [False, True])
def test_a_connection_that_says_nothing(kit, web, leaky_path, start):
    @talk(kit, web, leaky_path, http=web.HttpOptions(start_s=0.1))
    async def closed(app, service):
        socket = web.Socket(app)
        await socket.accepted()
        if start:
            socket.say({"type": "start"})
            await socket.hear()
        with pytest.raises(web.Closed) as found:
            await socket.hear()
        await socket.task
        return found.value.code, found.value.reason

    assert closed == (1008, f"no first {'chunk' if start else 'message'} came within 0.1 s.")


def test_messages_that_are_too_large(kit, web, leaky_path):
    @talk(kit, web, leaky_path, http=web.HttpOptions(message_bytes=1000))
    async def closed(app, service):
        async with web.started(app) as socket:
            socket.say(" " * 1001)
            with pytest.raises(web.Closed) as found:
                await socket.hear()
            return found.value.code, found.value.reason

    assert closed == (1009, "messages have up to 1000 bytes.")


def test_a_fault_of_ours_closes_and_is_not_told(kit, web, leaky_path, caplog):
    @talk(kit, web, leaky_path)
    async def heard(app, service):
        async def push(*given, **more):
            raise ZeroDivisionError("a secret")

        async with web.started(app) as socket:
            service.push = push
            socket.say(chunk(web, kit.frames(1)))
            told = await socket.hear()
            with pytest.raises(web.Closed) as closed:
                await socket.hear()
            return told, closed.value.code

    told, code = heard
    assert (told["status"], code) == (500, 1011)
    assert "a secret" not in json.dumps(told)
    assert "a secret" in caplog.text


def test_large_chunks_are_read_and_written_in_another_thread(kit, web, leaky_path):
    x = kit.frames(6000)

    @talk(kit, web, leaky_path)
    async def heard(app, service):
        async with web.started(app) as socket:
            socket.say(chunk(web, x))
            return await socket.hear()

    np.testing.assert_allclose(output(heard), kit.by_hand(x), atol=1e-4)
