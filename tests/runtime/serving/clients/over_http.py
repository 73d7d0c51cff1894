"""What tritonclient and websockets get from a server of the model `leaky`: run by a Python that has them, not rnnx.

Usage: over_http.py HOST:PORT. It ends with an error where anything is otherwise than it should be.
"""

from __future__ import annotations

import asyncio
import json
import sys

import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException
from websockets.asyncio.client import connect

DECAY = 0.5
X = np.random.default_rng(0).standard_normal((2, 5, 3)).astype(np.float32)


def by_hand(x):
    """``s' = decay * s + x`` for every step."""
    total, answers = 0.0, []
    for t in range(x.shape[1]):
        total = total * DECAY + x[:, t]
        answers.append(total)
    return np.stack(answers, 1)


def check(found, expected):
    np.testing.assert_allclose(found, expected, atol=1e-5)


def given(x, name="x", *, binary=True):
    found = triton.InferInput(name, list(x.shape), "FP32")
    found.set_data_from_numpy(np.ascontiguousarray(x), binary_data=binary)
    return found


def every_form(client):
    for binary in (True, False):
        for binary_output in (True, False):
            for compression in (None, "gzip", "deflate"):
                answer = client.infer(
                    "leaky",
                    [given(X, binary=binary)],
                    outputs=[triton.InferRequestedOutput("y", binary_data=binary_output)],
                    request_id="mine",
                    request_compression_algorithm=compression,
                    response_compression_algorithm=compression,
                )
                check(answer.as_numpy("y"), by_hand(X))
                assert answer.get_response()["id"] == "mine"
    large = np.zeros((1, 20_000, 3), np.float32)
    answer = client.infer("leaky", [given(large)], response_compression_algorithm="gzip")
    check(answer.as_numpy("y"), large)
    for one in [client.async_infer("leaky", [given(X)]) for _ in range(50)]:
        check(one.get_result().as_numpy("y"), by_hand(X))


def sequences(client):
    for name in (42, "a name"):
        parts = [
            client.infer(
                "leaky", [given(X[:, t : t + 1])], sequence_id=name, sequence_start=t == 0, sequence_end=t == 4
            ).as_numpy("y")
            for t in range(5)
        ]
        check(np.concatenate(parts, 1), by_hand(X))
    parts, state = [], []
    for t in range(5):  # the client carries the state
        answer = client.infer("leaky.streaming", [given(X[:, t : t + 1]), *state])
        state = [given(answer.as_numpy("sum_next"), "sum")]
        parts.append(answer.as_numpy("y"))
    check(np.concatenate(parts, 1), by_hand(X))


def administration(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("leaky", "1")
    assert not client.is_model_ready("nobody")
    assert client.get_server_metadata()["name"] == "rnnx"
    assert client.get_model_metadata("leaky")["inputs"][0]["shape"] == [-1, -1, 3]
    assert client.get_model_config("leaky")["max_batch_size"] == 64
    assert client.get_inference_statistics("leaky")["model_stats"][0]["inference_stats"]["success"]["count"] > 0
    for wrong, message in (
        (lambda: client.infer("nobody", [given(X)]), "model 'nobody' is not known"),
        (lambda: client.infer("leaky", [given(X)], sequence_id=5), "stream 5 is not open"),
        (lambda: client.load_model("leaky", config="{}"), "parameter 'config' is not offered"),
        (client.get_system_shared_memory_status, "there is nothing at this path"),
    ):
        try:
            wrong()
        except InferenceServerException as error:
            assert message in str(error), error  # noqa: PT017  (pytest is not there)
        else:
            raise AssertionError(message)
    client.unload_model("leaky")
    assert [one["state"] for one in client.get_model_repository_index()] == ["UNAVAILABLE"]
    client.load_model("leaky")
    assert client.is_model_ready("leaky")


async def asynchronous(address):
    async with triton_aio.InferenceServerClient(address) as client:
        answers = await asyncio.gather(*(client.infer("leaky", [given(X)]) for _ in range(20)))
    for one in answers:
        check(one.as_numpy("y"), by_hand(X))


async def stream(address):
    uri = f"ws://{address}/v2/models/leaky/stream"

    def chunk(t):
        x = X[:1, t : t + 1]
        return {"inputs": [{"name": "x", "datatype": "FP32", "shape": list(x.shape), "data": x.ravel().tolist()}]}

    async def ask(socket, message):
        await socket.send(json.dumps(message))
        return json.loads(await socket.recv())

    parts = []
    async with connect(uri, subprotocols=["rnnx.stream.v1"]) as socket:
        assert socket.subprotocol == "rnnx.stream.v1"
        assert (await ask(socket, {"type": "start"}))["type"] == "started"
        parts += [(await ask(socket, chunk(t)))["outputs"][0]["data"] for t in range(3)]
        token = (await ask(socket, {"type": "token"}))["token"]
    async with connect(uri) as socket:
        assert (await ask(socket, {"type": "start", "resume": token}))["resumed"] is True
        parts += [(await ask(socket, chunk(t)))["outputs"][0]["data"] for t in (3, 4)]
        assert (await ask(socket, {"type": "finish"}))["type"] == "finished"
        await socket.wait_closed()
        assert socket.close_code == 1000
    check(np.array(parts, np.float32)[None], by_hand(X[:1]))


def main(address):
    client = triton.InferenceServerClient(address, concurrency=4)
    every_form(client)
    sequences(client)
    asyncio.run(asynchronous(address))
    asyncio.run(stream(address))
    administration(client)
    sys.stdout.write("all as it should be\n")


main(sys.argv[1])
