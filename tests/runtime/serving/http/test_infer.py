"""Inference over HTTP: every form of body, and every wrong one with its status and message."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import zlib

import numpy as np
import pytest

from rnnx.runtime.serving.protocol.binary import parse_body
from rnnx.runtime.serving.protocol.limits import Limits


def asking(kit, web, path, *, limits=None, **options):
    """Run ``ask(client, service)`` against a service of one bundle."""

    def decorate(ask):
        async def main():
            given = {} if limits is None else {"limits": limits}
            async with (
                kit.serving(path, service_options=given, **options) as service,
                web.talking(web.create_app(service)) as client,
            ):
                return await ask(client, service)

        return kit.run(main())

    return decorate


def test_json_binary_raw_and_compressed_give_the_same_answer(kit, web, leaky_path):
    x = kit.frames(4, batch=2)

    @asking(kit, web, leaky_path)
    async def answers(client, service):
        plain = json.dumps(web.body(x)).encode()
        return [
            await client.post(web.INFER, json=web.body(x)),
            await client.post("/v2/models/leaky/versions/1/infer", json=web.body(x)),
            await client.post(web.INFER, **web.binary(x)),
            await client.post(web.INFER, content=gzip.compress(plain), headers={"content-encoding": "gzip"}),
            await client.post(web.INFER, content=zlib.compress(plain), headers={"content-encoding": "deflate"}),
            await client.post(web.INFER, content=plain, headers={"accept-encoding": "gzip"}),
        ]

    for answer in answers:
        assert answer.status_code == 200
        np.testing.assert_allclose(web.values(answer), kit.by_hand(x), atol=1e-5)
    assert [answer.headers["content-type"] for answer in answers[:3]] == [
        "application/json",
        "application/json",
        "application/octet-stream",
    ]


def test_a_raw_body_is_the_one_input(kit, web, leaky_path):
    x = kit.frames(5)

    @asking(kit, web, leaky_path)
    async def answers(client, service):
        head = {web.LENGTH: "0"}
        return [
            await client.post(web.INFER, content=x.tobytes(), headers=head),
            await client.post("/v2/models/leaky.streaming/infer", content=x.tobytes(), headers=head),
            await client.post(web.INFER, content=x.tobytes()[:-1], headers=head),
        ]

    for answer in answers[:2]:
        np.testing.assert_allclose(web.values(answer), kit.by_hand(x), atol=1e-5)
    assert answers[2].status_code == 400
    assert "takes a multiple of 12 bytes in a raw body; found 59" in answers[2].json()["error"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_large_answers_are_compressed_where_the_client_takes_that(kit, web, leaky_path, encoding):
    x = np.zeros((1, 3000, 3), np.float32)

    @asking(kit, web, leaky_path)
    async def answers(client, service):
        return [
            await client.post(web.INFER, json=web.body(x), headers={"accept-encoding": given})
            for given in (encoding, "identity")
        ]

    small, plain = answers
    assert (small.headers["content-encoding"], "content-encoding" in plain.headers) == (encoding, False)
    assert small.headers["vary"] == "accept-encoding"
    assert int(small.headers["content-length"]) < len(plain.content) / 10
    np.testing.assert_array_equal(web.values(small), web.values(plain))


def test_sequences_keep_their_state(kit, web, leaky_path):
    x = kit.frames(6)

    @asking(kit, web, leaky_path)
    async def answers(client, service):
        found = []
        for name in (7, "a name"):
            for start, part in ((True, x[:, :2]), (False, x[:, 2:5])):
                parameters = {"sequence_id": name, "sequence_start": start}
                found.append(await client.post(web.INFER, json=web.body(part, parameters=parameters)))
            parameters = {"sequence_id": name, "sequence_end": True}
            found.append(await client.post(web.INFER, **web.binary(x[:, 5:], parameters={**parameters})))
        return found

    for three in (answers[:3], answers[3:]):
        joined = np.concatenate([web.values(one) for one in three], axis=1)
        np.testing.assert_allclose(joined, kit.by_hand(x), atol=1e-5)
    assert answers[0].json()["parameters"] == {"sequence_id": 7, "sequence_start": True, "sequence_end": False}


X = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
GOOD = {"name": "x", "datatype": "FP32", "shape": [1, 2, 3], "data": X.ravel().tolist()}


def one(**changed):
    return {"inputs": [{**GOOD, **changed}]}


def sequence(name, **more):
    return {"inputs": [GOOD], "parameters": {"sequence_id": name, **more}}


#: Path or None for the model's own, JSON or content, headers, status, part of the message.
WRONG = [
    ("/v2/models/nobody/infer", one(), {}, 404, "model 'nobody' is not known here; ready are 'leaky'"),
    ("/v2/models/leaky/versions/2/infer", one(), {}, 404, "has no version '2'; it has version '1'"),
    (None, one(datatype="FP64"), {}, 400, "float64"),
    (None, one(datatype="FP33"), {}, 400, "has the datatype 'FP33'"),
    (None, one(datatype="BYTES"), {}, 501, "no model here takes texts"),
    (None, one(shape=[1, 3, 2]), {}, 400, "x: float32[batch, time, 3]"),
    (None, one(shape=[1, 2, 4]), {}, 400, "must have 8 elements; found 6"),
    (None, one(shape=[6]), {}, 400, "x"),
    (None, one(shape=[-1, 2, 3]), {}, 400, "must be of whole numbers from 0; found -1"),
    (None, one(shape=[1 << 60, 2, 3]), {}, 413, "at most"),
    (None, one(name="q"), {}, 400, "'q'"),
    (None, one(data=["a"] * 6), {}, 400, "must be numbers; found 'a' at element 0"),
    (None, one(data=None), {}, 400, "must be an array; found None"),
    (None, {"inputs": [GOOD, GOOD]}, {}, 400, "input 'x' stands twice"),
    (None, {"inputs": []}, {}, 400, "must be an array of at least one input"),
    (None, {"inputs": [GOOD], "outputs": [{"name": "z"}]}, {}, 400, "'z'"),
    (None, b"{", {}, 400, "the body is not JSON"),
    (None, b"", {}, 400, "the body is not JSON"),
    (None, b"[]", {}, 400, "must be an object with 'inputs'; found a list"),
    (None, b"\xff\xfe", {}, 400, "not UTF-8"),
    (None, b"[" * 100_000, {}, 413, "brackets deep"),
    (None, b"hello", {"content-encoding": "gzip"}, 400, "the body is not gzip"),
    (None, gzip.compress(b"{}" * 999)[:-9], {"content-encoding": "gzip"}, 400, "cut off"),
    (None, gzip.compress(b" " * (80 << 20), 1), {"content-encoding": "gzip"}, 413, "inflates to more than"),
    (None, b"{}", {"content-encoding": "br"}, 415, "Content-Encoding is 'br'"),
    (None, b"{}", {"Inference-Header-Content-Length": "7"}, 400, "says 7 bytes; the body has 2"),
    (None, b"{}", {"Inference-Header-Content-Length": "-1"}, 400, "must be a number of bytes; found '-1'"),
    (
        None,
        X.tobytes(),
        {"Inference-Header-Content-Length": "0", "content-type": "application/json"},
        400,
        "its Content-Type says that it is JSON",
    ),
    (None, sequence(float("nan")), {}, 400, "'sequence_id' must be a whole number"),
    (None, sequence(1.5), {}, 400, "'sequence_id' must be a whole number"),
    (None, sequence(-1), {}, 400, "'sequence_id' must be a whole number"),
    (None, sequence("x" * 1000), {}, 413, "has 1000 characters"),
    (None, sequence(0, sequence_start=True), {}, 400, "there is no 'sequence_id'"),
    (None, sequence(99), {}, 404, "stream 99 is not open: it was never begun"),
    (None, {"inputs": [GOOD], "parameters": {"timeout": "soon"}}, {}, 400, "'timeout' must be a whole number"),
    (None, {"inputs": [GOOD], "id": 5}, {}, 400, "the 'id' must be a text; found 5"),
    ("/v2/models/leaky.streaming/infer", sequence(3, sequence_start=True), {}, 400, "takes and gives the states"),
]


@pytest.fixture(scope="module")
def wrong_answers(kit, web, leaky_path):
    @asking(kit, web, leaky_path)
    async def answers(client, service):
        found = [
            await client.post(
                path or web.INFER,
                content=given if isinstance(given, bytes) else json.dumps(given).encode(),
                headers=headers,
            )
            for path, given, headers, *_ in WRONG
        ]
        last = await client.post(web.INFER, json=one())
        return found, last

    return answers


@pytest.mark.parametrize("index", range(len(WRONG)))
def test_wrong_requests(wrong_answers, index):
    *_, status, message = WRONG[index]
    answer = wrong_answers[0][index]
    assert (answer.status_code, message in answer.json()["error"]) == (status, True), answer.text
    assert wrong_answers[1].status_code == 200


def test_sizes_of_bytes_that_lie(kit, web, leaky_path):
    @asking(kit, web, leaky_path)
    async def answers(client, service):
        lies = ({"size": 23}, {"size": 25}, {"size": 1 << 40}, {"tail": b"1234"}, {"size": -1})
        found = [await client.post(web.INFER, **web.binary(X, **given)) for given in lies]
        cut = web.binary(X)
        found.append(await client.post(web.INFER, headers=cut["headers"], content=cut["content"][:-4]))
        return [(one.status_code, one.json()["error"]) for one in found]

    assert [status for status, _ in answers] == [400] * 6
    parts = ("takes 24 bytes; found 23", "24 are left", "24 are left", "28 bytes follow", "found -1", "20 are left")
    for (_, message), part in zip(answers, parts, strict=True):
        assert part in message


def test_a_sequence_begun_twice_and_one_that_idled_out(kit, web, leaky_path):
    @asking(kit, web, leaky_path, stream_idle_s=0.05)
    async def answers(client, service):
        first = await client.post(web.INFER, json=sequence(1, sequence_start=True))
        again = await client.post(web.INFER, json=sequence(1, sequence_start=True))
        await asyncio.sleep(0.1)
        late = await client.post(web.INFER, json=sequence(1))
        return first, again, late

    first, again, late = answers
    assert first.status_code == 200
    assert (again.status_code, "was begun already" in again.text) == (409, True)
    assert (late.status_code, "it was idle for 0.05 s" in late.text) == (404, True)


def test_ten_thousand_opens_beyond_the_maximum(kit, web, leaky_path):
    @asking(kit, web, leaky_path, max_streams=50)
    async def found(client, service):
        statuses = []
        limit = asyncio.Semaphore(20)

        async def begin(name):
            async with limit:
                # Not by the client: httpx takes a millisecond for each.
                statuses.append(await bare(client._transport.app, web.INFER, sequence(name, sequence_start=True)))

        await asyncio.gather(*(begin(name) for name in range(1, 10_001)))
        inside = await client.post(web.INFER, json=sequence(1))
        refused = await client.post(web.INFER, json=sequence("one more", sequence_start=True))
        return statuses, inside, refused, len(service.repository.find("leaky").model.table)

    statuses, inside, refused, held = found
    assert (statuses.count(200), statuses.count(429), held) == (50, 9950, 50)
    assert inside.status_code in {200, 404}  # any 50 of them got in
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert "50 streams are open, and 50 may" in refused.json()["error"]


async def bare(app, path, given):
    """The status of one request, without a client's work."""
    content = json.dumps(given).encode()
    messages = [{"type": "http.request", "body": content, "more_body": False}]
    statuses = []

    async def receive():
        if messages:
            return messages.pop()
        return await asyncio.Event().wait()

    async def send(message):
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    headers = [(b"content-length", b"%d" % len(content))]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "client": ("test", 1)}
    await app(scope, receive, send)
    return statuses[0]


def test_a_request_that_takes_too_long_is_given_up(kit, web, leaky_path):
    @asking(kit, web, leaky_path, limits=Limits(request_s=0.001))
    async def answer(client, service):
        return await client.post(web.INFER, **web.binary(np.zeros((1, 200_000, 3), np.float32)))

    assert answer.status_code == 504
    assert "no answer came within 0.001 s" in answer.json()["error"]


def test_a_client_that_goes_away_cancels_its_request(kit, web, leaky_path):
    async def main():
        async with kit.serving(leaky_path) as service:
            content = json.dumps(web.body(kit.frames(2))).encode()
            messages = [{"type": "http.request", "body": content, "more_body": False}]
            cancelled = []

            async def infer(request, client):
                try:
                    await asyncio.sleep(30)
                except asyncio.CancelledError:
                    cancelled.append(request.model)
                    raise

            async def receive():
                return messages.pop() if messages else {"type": "http.disconnect"}

            service.infer = infer
            app, sent = web.create_app(service), []
            scope = {"type": "http", "method": "POST", "path": web.INFER, "headers": [], "client": None}
            going = asyncio.create_task(app(scope, receive, sent.append))
            done, _ = await asyncio.wait({going}, timeout=5)
            return cancelled, sent, len(done)

    assert kit.run(main()) == (["leaky"], [], 1)


def test_faults_of_ours_are_logged_and_not_told(kit, web, leaky_path, caplog):
    @asking(kit, web, leaky_path)
    async def answer(client, service):
        async def infer(request, client):
            raise ZeroDivisionError("a secret")

        service.infer = infer
        return await client.post(web.INFER, json=one())

    assert answer.status_code == 500
    assert "a secret" not in answer.text
    assert "a secret" in caplog.text


def test_nan_and_infinity_pass_through(kit, web, leaky_path):
    x = np.array([[[np.nan, np.inf, 1.0]]], np.float32)

    @asking(kit, web, leaky_path)
    async def answers(client, service):
        content = json.dumps(web.body(x)).encode()
        return [await client.post(web.INFER, **web.binary(x)), await client.post(web.INFER, content=content)]

    for answer in answers:
        np.testing.assert_array_equal(web.values(answer), x)


def test_what_takes_long_to_read_is_read_in_another_thread(kit, web, leaky_path, monkeypatch):
    names = []

    def parse(*given, **more):
        names.append(threading.current_thread() is threading.main_thread())
        return parse_body(*given, **more)

    monkeypatch.setattr("rnnx.runtime.serving.http.infer.parse_body", parse)
    x = kit.frames(3000)

    @asking(kit, web, leaky_path)
    async def answers(client, service):
        plain = json.dumps(one()).encode()
        return [
            await client.post(web.INFER, json=one()),
            await client.post(web.INFER, **web.binary(x)),
            await client.post(web.INFER, json=web.body(x)),
            await client.post(web.INFER, content=gzip.compress(plain), headers={"content-encoding": "gzip"}),
        ]

    assert names == [True, True, False, False]
    np.testing.assert_allclose(web.values(answers[2]), kit.by_hand(x), atol=1e-4)
