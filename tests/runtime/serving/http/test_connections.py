"""What no application sees: heads, slow clients and the end of connections, over real sockets."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from rnnx.runtime.serving.protocol.limits import Limits

TOKEN = "s3cret"  # noqa: S105  (nobody's)
GET = b"GET /v2/health/live HTTP/1.1\r\nhost: here\r\n\r\n"


def on_port(kit, web, path, *, options=None, limits=None, token=""):
    """Run ``ask(port, service)`` against a server of one bundle."""

    def decorate(ask):
        async def main():
            given = {} if limits is None else {"limits": limits}
            async with (
                kit.serving(path, service_options=given) as service,
                web.listening(service, options=options, token=token) as port,
            ):
                return await asyncio.wait_for(ask(port, service), 30)

        return kit.run(main())

    return decorate


async def send(port, *parts, pause=0.0, silence=3.0):
    """Everything that a server answers to these bytes until it closes, or is silent for a while."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
        return await read(reader, silence)
    except ConnectionError as error:
        return type(error).__name__.encode()
    finally:
        writer.close()


async def read(reader, silence=3.0):
    """Bytes until the end (told by a last line) or a silence."""
    found = b""
    try:
        while True:
            got = await asyncio.wait_for(reader.read(1 << 16), silence)
            if not got:
                return found + b"\n<closed>"
            found += got
    except TimeoutError:
        return found


def status(answer):
    return int(answer.split(b" ", 2)[1])


def test_heads_that_are_too_large(kit, web, leaky_path):
    long = b"GET /v2 HTTP/1.1\r\nhost: here\r\n" + b"x-a: " + b"a" * 17_000 + b"\r\n\r\n"
    many = b"GET /v2 HTTP/1.1\r\nhost: here\r\n" + b"".join(b"x-%d: 1\r\n" % i for i in range(2000)) + b"\r\n"
    path = b"GET /" + b"p" * 17_000 + b" HTTP/1.1\r\nhost: here\r\n\r\n"
    endless = [b"GET /v2 HTTP/1.1\r\nhost: here\r\nx-a: "] + [b"a" * 4000] * 8

    @on_port(kit, web, leaky_path)
    async def found(port, service):
        answers = [await send(port, one) for one in (long, many, path)]
        answers.append(await send(port, *endless, pause=0.01))
        return answers, await send(port, GET)

    answers, good = found
    for answer in answers:
        assert status(answer) == 431
        assert answer.endswith(b"\n<closed>")
        assert b'{"error":"the head of the request has more than 16384 bytes' in answer
    assert status(good) == 200


def test_pipelined_requests_are_no_large_head(kit, web, leaky_path):
    @on_port(kit, web, leaky_path)
    async def answer(port, service):
        last = GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
        return await send(port, GET * 499 + last, silence=25)

    assert answer.count(b"HTTP/1.1 200 OK") == 500


def test_trailers_count_too(kit, web, leaky_path):
    body = json.dumps(web.body(np.zeros((1, 1, 3), np.float32))).encode()
    head = b"POST " + web.INFER.encode() + b" HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n"
    chunks = b"%x\r\n%b\r\n0\r\n" % (len(body), body)

    @on_port(kit, web, leaky_path)
    async def found(port, service):
        good = await send(port, head + chunks + b"x-sum: 1\r\n\r\n")
        return good, await send(port, head + chunks, *[b"x-sum: " + b"1" * 3000] * 8, pause=0.01)

    good, bad = found
    assert status(good) == 200
    assert bad.endswith(b"<closed>") or bad == b"ConnectionResetError"
    assert b" 200 OK" not in bad


@pytest.mark.parametrize("begun", [b"", b"\r\n\r\n", b"GET /v2 HTTP/1.1\r\nho"])
def test_a_head_that_does_not_come(kit, web, leaky_path, begun):
    @on_port(kit, web, leaky_path, options=web.HttpOptions(head_s=0.2))
    async def answer(port, service):
        return await send(port, begun)

    assert status(answer) == 408
    assert b"did not come within 0.2 s" in answer
    assert answer.endswith(b"<closed>")


def test_a_body_that_does_not_come(kit, web, leaky_path):
    head = b"POST " + web.INFER.encode() + b" HTTP/1.1\r\nhost: here\r\ncontent-length: 100\r\n\r\n{"

    @on_port(kit, web, leaky_path, options=web.HttpOptions(body_s=0.2))
    async def answer(port, service):
        return await send(port, head)

    assert status(answer) == 408
    assert b"1 bytes came" in answer


def test_a_large_body_is_refused_and_its_client_sees_why(kit, web, leaky_path):
    head = b"POST " + web.INFER.encode() + b" HTTP/1.1\r\nhost: here\r\ncontent-length: 9000000\r\n\r\n"
    asking = head.replace(b"\r\n\r\n", b"\r\nexpect: 100-continue\r\n\r\n")

    @on_port(kit, web, leaky_path, limits=Limits(body_bytes=1 << 20))
    async def answers(port, service):
        return await send(port, head, *[b"x" * 100_000] * 90), await send(port, asking)

    for answer in answers:
        assert status(answer) == 413
        assert b"connection: close" in answer
        assert b"the body has 9000000 bytes; at most 1048576 are allowed here" in answer


@pytest.mark.parametrize(
    "wrong", [b"hello\r\n\r\n", b"GET /v2 HTTP/1.1\r\ncontent-length: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"]
)
def test_what_is_no_http(kit, web, leaky_path, wrong):
    @on_port(kit, web, leaky_path)
    async def answer(port, service):
        return await send(port, wrong)

    assert status(answer) == 400
    assert b'{"error":"this is no request of HTTP/1.1' in answer


def test_a_reader_that_does_not_read_is_given_up(kit, web, leaky_path):
    x = np.zeros((1, 200_000, 3), np.float32)
    given = web.binary(x)
    head = f"POST {web.INFER} HTTP/1.1\r\nhost: here\r\ncontent-length: {len(given['content'])}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in given["headers"].items()) + "\r\n"

    @on_port(kit, web, leaky_path, options=web.HttpOptions(write_s=0.3))
    async def lengths(port, service):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.transport.pause_reading()
        for _ in range(12):  # far more than the system's own buffers take
            writer.write(head.encode() + given["content"])
        before, quiet = -1, 0
        while quiet < 8:
            quiet = quiet + 1 if before == service.metrics.of("leaky").success.count > 0 else 0
            before = service.metrics.of("leaky").success.count
            await asyncio.sleep(0.1)
        writer.transport.resume_reading()
        try:
            return len(await asyncio.wait_for(reader.read(-1), 10))
        except ConnectionError:
            return 0
        finally:
            writer.close()

    assert lengths < 12 * x.nbytes


def test_websockets_over_a_real_socket(kit, web, leaky_path, caplog):
    asyncio_client = pytest.importorskip("websockets.asyncio.client")
    exceptions = pytest.importorskip("websockets.exceptions")
    x = kit.frames(4)

    @on_port(kit, web, leaky_path, options=web.HttpOptions(message_bytes=10_000), token=TOKEN)
    async def found(port, service):
        uri = f"ws://127.0.0.1:{port}/v2/models/leaky/stream"
        bearer = {"authorization": "Bearer s3cret"}
        statuses = []
        for address, headers in (
            (uri, {}),
            (uri.replace("leaky", "nobody"), bearer),
            (uri.replace("stream", "dream"), bearer),
            (uri, {**bearer, "x-long": "a" * 9000}),
        ):
            with pytest.raises(exceptions.InvalidStatus) as refused:
                await asyncio_client.connect(address, additional_headers=headers)
            statuses.append(refused.value.response.status_code)
            assert "error" in json.loads(refused.value.response.body)
        async with asyncio_client.connect(uri, additional_headers=bearer) as socket:
            await socket.send(json.dumps({"type": "start"}))
            assert json.loads(await socket.recv())["type"] == "started"
            await socket.send(json.dumps(web.body(x)))
            answer = json.loads(await socket.recv())
            await socket.send(" " * 20_000)
            with pytest.raises(exceptions.ConnectionClosed):
                await socket.recv()
            return statuses, answer, socket.close_code

    statuses, answer, code = found
    assert statuses == [401, 404, 404, 431]
    np.testing.assert_allclose(np.array(answer["outputs"][0]["data"]).reshape(1, 4, 3), kit.by_hand(x), atol=1e-5)
    assert code == 1009
    assert "handshake" not in caplog.text
