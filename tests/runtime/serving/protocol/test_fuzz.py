"""Whatever comes: it is read, or refused with an error of ours, and nothing large is made of it."""

from __future__ import annotations

import json
import random
import tracemalloc

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rnnx.errors import RnnxError
from rnnx.runtime.serving.protocol import grpc_form
from rnnx.runtime.serving.protocol.binary import parse_body
from rnnx.runtime.serving.protocol.compression import decompress
from rnnx.runtime.serving.protocol.limits import Limits
from rnnx.runtime.serving.protocol.proto import inference_pb2 as pb
from rnnx.signature import parse_tensor

LIMITS = Limits(body_bytes=1 << 16)
SPEC = parse_tensor("x: float32[batch, time, 3]")
COMMON = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

TENSORS = [
    {"name": "x", "shape": [2, 3], "datatype": "FP32", "parameters": {"binary_data_size": 24}},
    {"name": "n", "shape": [2], "datatype": "INT64", "data": [3, 2]},
    {"name": "b", "shape": [2, 1], "datatype": "BOOL", "data": [[True], [False]]},
]
HEAD = json.dumps(
    {
        "id": "7",
        "parameters": {"sequence_id": 5, "sequence_start": True, "timeout": 100},
        "inputs": TENSORS,
        "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
    }
).encode()
BODY = HEAD + np.arange(6, dtype=np.float32).tobytes()
#: What turns up in attacks more often than by chance.
PIECES = [
    b"[",
    b"]",
    b"{",
    b"}",
    b'"',
    b"\\",
    b"-",
    b"1e999",
    b"NaN",
    b"null",
    b"\x00",
    b"\xff",
    b",",
    b"9" * 30,
    b"[" * 50,
]


def read(body, length) -> None:
    try:
        parse_body(body, length, model="m", limits=LIMITS, raw_input=lambda: SPEC)
    except RnnxError as error:
        assert 0 < len(str(error)) < 1000  # noqa: PT017  (it may also succeed)
        str(error).encode()


def mutated(seed: int, body: bytes) -> bytes:
    chance = random.Random(seed)  # noqa: S311  (no secret)
    made = bytearray(body)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(made) + 1)
        match chance.randrange(4):
            case 0:
                made[at:at] = chance.choice(PIECES)
            case 1:
                del made[at : at + chance.randint(1, 8)]
            case 2:
                made[at : at + 1] = bytes([chance.randrange(256)])
            case _:
                other = chance.randrange(len(made) + 1)
                made[at:at] = made[other : other + chance.randint(1, 30)]
    return bytes(made)


@COMMON
@given(body=st.binary(max_size=300), length=st.none() | st.integers(0, 300).map(str) | st.text(max_size=5))
def test_random_bytes(json_library, body, length):
    read(body, length)


def test_the_bodies_that_are_mutated_are_right():
    request = parse_body(BODY, str(len(HEAD)), model="m", limits=LIMITS, raw_input=None)
    assert list(request.inputs) == ["x", "n", "b"]


def test_mutated_bodies(json_library):
    for seed in range(1500):
        head = mutated(seed, HEAD)
        read(head + BODY[len(HEAD) :], str(len(head)))
        read(mutated(seed, BODY), str(len(HEAD)))


WRONG = [
    None,
    True,
    -1,
    0,
    1.5,
    10**30,
    float("nan"),
    float("inf"),
    "",
    "x",
    "\ud800",
    [],
    [[]],
    {},
    {"a": []},
    [1, [2]],
]


def places(value, path=()):
    """Every place in a JSON value."""
    yield path
    for key, one in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(one, (*path, key))


@pytest.mark.parametrize("path", list(places(json.loads(HEAD)))[1:], ids=str)
def test_every_place_takes_every_wrong_value(json_library, path):
    for wrong in WRONG:
        made = json.loads(HEAD)
        inner = made
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = wrong
        head = json.dumps(made).encode()
        read(head + BODY[len(HEAD) :], str(len(head)))


def flipped(seed: int, body: bytes) -> bytes:
    """A body with one or two bytes changed: lengths in protobuf are numbers, and most other mutations break them."""
    chance = random.Random(seed)  # noqa: S311  (no secret)
    made = bytearray(body)
    for _ in range(chance.randint(1, 2)):
        made[chance.randrange(len(made))] = chance.choice([0, 1, 2, 127, 128, 255, chance.randrange(256)])
    return bytes(made)


def message() -> bytes:
    made = pb.ModelInferRequest(model_name="m", id="7")
    made.inputs.add(name="x", datatype="FP32", shape=(2, 3))
    made.raw_input_contents.append(bytes(24))
    made.parameters["sequence_id"].int64_param = 5
    made.outputs.add(name="y")
    return made.SerializeToString()


def typed_message() -> bytes:
    made = pb.ModelInferRequest(model_name="m")
    made.inputs.add(name="x", datatype="INT8", shape=(2,)).contents.int_contents.extend([1, 2])
    return made.SerializeToString()


@pytest.mark.parametrize("original", [message(), typed_message()], ids=["raw", "typed"])
def test_mutated_messages(original):
    read_ones = 0
    for seed in range(1500):
        try:
            found = pb.ModelInferRequest.FromString(flipped(seed, original))
        except DecodeError:
            continue
        read_ones += 1
        try:
            grpc_form.parse_message(found, LIMITS)
        except RnnxError as error:
            assert len(str(error)) < 1000  # noqa: PT017  (it may also succeed)
    assert read_ones > 300


@COMMON
@given(body=st.binary(max_size=200), encoding=st.sampled_from(["gzip", "deflate", "identity", "br"]))
def test_random_compressed_bodies(body, encoding):
    try:
        assert len(decompress(body, encoding, 100)) <= 100
    except RnnxError as error:
        assert str(error)  # noqa: PT017  (it may also succeed)


@COMMON
@given(shape=st.lists(st.integers(-1, 2**70), max_size=10), size=st.integers(-1, 2**70), typed=st.booleans())
def test_no_size_that_lies_makes_memory(shape, size, typed):
    tensor = {"name": "x", "datatype": "FP64", "shape": shape}
    tensor |= {"data": [1]} if typed else {"parameters": {"binary_data_size": size}}
    body = json.dumps({"inputs": [tensor]}).encode()
    tracemalloc.start()
    try:
        read(body, str(len(body)))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 100_000
