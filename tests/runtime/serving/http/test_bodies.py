"""Bodies that are too large, too slow or too many, through the application alone."""

from __future__ import annotations

import asyncio
import json

import pytest

from rnnx.runtime.serving.http.answers import RefusedError
from rnnx.runtime.serving.http.bodies import Held
from rnnx.runtime.serving.protocol.limits import Limits


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Nobody waits here for clients that are refused."""
    monkeypatch.setattr("rnnx.runtime.serving.http.bodies._LINGER_S", 0.1)


SMALL = Limits(body_bytes=1000, json_bytes=1000)


async def exchange(app, path, messages, headers=()):
    """Status, JSON, headers and how many messages of the body were taken."""
    waiting, sent = list(messages), []

    async def receive():
        if waiting:
            message = waiting.pop(0)
            if isinstance(message, float):
                await asyncio.sleep(message)
                return await receive()
            return message
        return await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    given = [(name.encode(), str(value).encode()) for name, value in headers]
    scope = {"type": "http", "method": "POST", "path": path, "headers": given, "client": ("test", 1)}
    await asyncio.wait_for(app(scope, receive, send), 10)
    assert [one["type"] for one in sent[1:]] == ["http.response.body"] * (len(sent) - 1)
    assert [one.get("more_body", False) for one in sent[1:]] == [True] * (len(sent) - 2) + [False]
    content = b"".join(one["body"] for one in sent[1:])
    return sent[0]["status"], json.loads(content), dict(sent[0]["headers"]), len(messages) - len(waiting)


def part(content, *, more=True):
    return {"type": "http.request", "body": content, "more_body": more}


def service_of(kit, leaky_path, ask, **options):
    async def main():
        async with kit.serving(leaky_path, **options) as service:
            return await ask(service)

    return kit.run(main())


def test_a_declared_length_is_refused_before_anything_is_read(kit, web, leaky_path):
    async def ask(service):
        app = web.create_app(service)
        service.repository.find = lambda *_: taken.append("found")
        taken = []
        parts = [part(b"x" * 400), part(b"x" * 601, more=False)]
        return await exchange(app, web.INFER, parts, [("content-length", 1001)])

    status, told, headers, taken = service_of(kit, leaky_path, ask, service_options={"limits": SMALL})
    assert (status, told["error"][:44]) == (413, "the body has 1001 bytes; at most 1000 are al")
    # The answer was sent first; what follows is thrown away, so that the client gets to read it.
    assert (headers[b"connection"], taken) == (b"close", 2)


@pytest.mark.parametrize("path", ["/v2/models/leaky/infer", "/v2/models/nobody/infer", "/nothing"])
def test_a_chunked_body_is_counted_while_it_is_read(kit, web, leaky_path, path):
    async def ask(service):
        parts = [part(b"x" * 100)] * 10_000
        return await exchange(web.create_app(service), path, parts, [("transfer-encoding", "chunked")])

    status, told, headers, _ = service_of(kit, leaky_path, ask, service_options={"limits": SMALL})
    expected = {"leaky": (413, "more than 1000 bytes"), "nobody": (404, "not known"), "nothing": (404, "nothing at")}
    wanted = next(value for name, value in expected.items() if name in path)
    assert (status, wanted[1] in told["error"]) == (wanted[0], True)
    assert headers[b"connection"] == b"close"


def test_a_body_that_does_not_come_in_time(kit, web, leaky_path):
    async def ask(service):
        app = web.create_app(service, options=web.HttpOptions(body_s=0.05))
        slow = await exchange(app, web.INFER, [part(b"{"), 0.2, part(b"}", more=False)], [("content-length", 2)])
        never = await exchange(app, web.INFER, [5.0], [("transfer-encoding", "chunked")])
        # A large one has more time: a second for each of so many bytes.
        patient = web.create_app(service, options=web.HttpOptions(body_s=0.05, body_bytes_per_s=1000))
        content = json.dumps(web.body(kit.frames(2))).encode().ljust(300)
        parts = [part(content), 0.2, part(b"", more=False)]
        return slow, never, await exchange(patient, web.INFER, parts, [("content-length", len(content))])

    slow, never, patient = service_of(kit, leaky_path, ask)
    assert (slow[0], "did not come within 0.05 s: 1 bytes came" in slow[1]["error"]) == (408, True)
    assert (never[0], never[2][b"connection"]) == (408, b"close")
    assert patient[0] == 200


def test_a_body_shorter_than_declared(kit, web, leaky_path):
    async def ask(service):
        return await exchange(web.create_app(service), web.INFER, [part(b"{}", more=False)], [("content-length", 3)])

    status, told, *_ = service_of(kit, leaky_path, ask)
    assert (status, told["error"]) == (400, "the body has 2 bytes; its Content-Length says 3.")


def test_all_bodies_together_are_bounded_and_given_back(kit, web, leaky_path):
    content = json.dumps(web.body(kit.frames(2))).encode()

    async def ask(service):
        app = web.create_app(service, options=web.HttpOptions(held_bytes=len(content) + 10))
        going = [part(content[:5]), 0.2, part(content[5:], more=False)]
        length = [("content-length", len(content))]
        first = asyncio.create_task(exchange(app, web.INFER, going, length))
        await asyncio.sleep(0.05)
        second = await exchange(app, web.INFER, [part(content, more=False)], length)
        first = await first
        return first, second, await exchange(app, web.INFER, [part(content, more=False)], length)

    first, second, third = service_of(kit, leaky_path, ask)
    assert [one[0] for one in (first, second, third)] == [200, 503, 200]
    assert second[2][b"retry-after"] == b"1"
    assert "the bodies of all requests together" in second[1]["error"]


def test_compressed_bodies_count_as_what_they_can_become():
    held = Held(2000)
    held.take(1500)
    with pytest.raises(RefusedError, match="have 1500 bytes, and 2000 are allowed"):
        held.take(501)
    held.give(1500)
    held.take(2000)


@pytest.mark.parametrize("value", [0, -1, float("inf"), "1"])
def test_options_that_are_no_limits(web, value):
    with pytest.raises(ValueError, match="the option 'body_s' is"):
        web.HttpOptions(body_s=value)
