"""Bodies with bytes behind the JSON, and bodies that are bytes alone."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest

from rnnx.errors import FeatureError, RequestError, RequestTooLargeError
from rnnx.runtime.serving.protocol.binary import parse_body, parse_raw
from rnnx.runtime.serving.protocol.limits import Limits
from rnnx.signature import parse_tensor

LIMITS = Limits()
VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)
LENGTHS = np.int64([3, 2])


def head(*tensors, pad=0) -> bytes:
    keys = ("name", "datatype", "shape", "binary_data_size")
    inputs = [dict(zip(keys, one, strict=True)) for one in tensors]
    for one in inputs:
        one["parameters"] = {"binary_data_size": one.pop("binary_data_size")}
    return json.dumps({"inputs": inputs}).encode() + b" " * pad


X = ("x", "FP32", [2, 3], 24)
N = ("n", "INT64", [2], 16)


def parse(body, length, limits=LIMITS, raw=None):
    return parse_body(body, length, model="m", limits=limits, raw_input=lambda: raw)


@pytest.mark.parametrize("pad", range(8))
def test_inputs_come_in_order_wherever_the_json_ends(pad):
    text = head(X, N, pad=pad)
    request = parse(text + VALUES.tobytes() + LENGTHS.tobytes(), str(len(text)))
    np.testing.assert_array_equal(request.inputs["x"], VALUES, strict=True)
    np.testing.assert_array_equal(request.inputs["n"], LENGTHS, strict=True)
    assert request.inputs["x"].flags.aligned
    assert request.inputs["n"].flags.aligned


def test_aligned_tensors_share_the_bodys_memory():
    text = head(X)
    # A bytes object's content stands at a multiple of 8 plus a fixed header, so that some padding aligns it.
    found = []
    for pad in range(4):
        body = text + b" " * pad + VALUES.tobytes()
        values = parse(body, str(len(text) + pad)).inputs["x"]
        found.append(np.shares_memory(values, np.frombuffer(body, np.uint8)))
    assert sorted(found) == [False, False, False, True]


def test_a_body_of_json_needs_no_header(one_input, dumps):
    np.testing.assert_array_equal(parse(dumps(one_input()), None).inputs["x"][1], [3, 4, 5.5])
    assert parse(dumps(one_input()), str(len(dumps(one_input())))).inputs["x"].shape == (2, 3)


BODY = head(X) + VALUES.tobytes()
LENGTH = str(len(head(X)))


@pytest.mark.parametrize(
    ("body", "length", "message"),
    [
        (BODY[:-1], LENGTH, "says that it has 24 bytes behind the JSON; 23 are left there"),
        (BODY[: len(head(X))], LENGTH, "says that it has 24 bytes behind the JSON; 0 are left there"),
        (BODY + b"!", LENGTH, "25 bytes follow the JSON, and the inputs say that they have 24"),
        (BODY, "9999", r"Inference-Header-Content-Length says 9999 bytes; the body has \d+"),
        (BODY, "10", "not JSON"),
        (BODY, None, "not JSON|not UTF-8"),
        (BODY, "-1", "must be a number of bytes; found '-1'"),
        (BODY, "+1", "must be a number of bytes"),
        (BODY, "1_0", "must be a number of bytes"),
        (BODY, " 10", "must be a number of bytes"),
        (BODY, "", "must be a number of bytes; found ''"),
        (BODY, "nan", "must be a number of bytes"),
        (BODY, "\u0661", "must be a number of bytes"),
        (BODY, "9" * 5000, "must be a number of bytes"),
        (
            head(("x", "FP32", [2, 3], 20)) + bytes(20),
            None,
            r"of datatype FP32 and shape \[2, 3\] takes 24 bytes; found 20",
        ),
        (head(("x", "FP32", [2, 3], 28)) + bytes(28), None, "takes 24 bytes; found 28"),
        (head(("x", "FP32", [2, 3], 0)), None, "takes 24 bytes; found 0"),
        (head(("x", "BOOL", [2], 2)) + b"\x01\x02", None, "of datatype BOOL has bytes other than 0 and 1"),
        (head(("x", "FP32", [2, 3], 10**30)), None, "says that it has 10{30} bytes|must be a number; found 1e.30"),
        (head(("x", "BYTES", [1], 5)) + b"\x01\0\0\0a", None, "no model here takes texts"),
    ],
)
def test_sizes_that_lie_are_refused(body, length, message):
    if length is None and body is not BODY:
        length = str(body.rindex(b"]}") + 2)
    with pytest.raises(RequestError, match=message):
        parse(body, length)


def test_a_large_body_is_refused():
    with pytest.raises(RequestTooLargeError, match="the body has 101 bytes; at most 100 are allowed"):
        parse(bytes(101), "0", Limits(body_bytes=100))


@pytest.mark.parametrize("shape", [[2**26], [8192, 8192], [0, 2**26], [10**18], [2**40, 0], [64, 1024, 1024]])
@pytest.mark.parametrize("form", ["bytes", "json"])
def test_a_lying_shape_allocates_nothing(shape, form):
    tensor = {"name": "x", "datatype": "FP64", "shape": shape}
    tensor |= {"data": [1.0]} if form == "json" else {"parameters": {"binary_data_size": 8}}
    text = json.dumps({"inputs": [tensor]}).encode()
    tracemalloc.start()
    try:
        with pytest.raises(RequestError):
            parse(text + (bytes(8) if form == "bytes" else b""), str(len(text)))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 100_000


class TestRaw:
    """The whole body is one tensor."""

    def test_the_time_axis_follows_from_the_bytes(self):
        spec = parse_tensor("x: float32[batch, time, 3]")
        request = parse(VALUES.tobytes(), "0", raw=spec)
        np.testing.assert_array_equal(request.inputs["x"], VALUES[np.newaxis], strict=True)
        assert request.binary

    def test_the_batch_follows_where_nothing_else_is_open(self):
        request = parse(VALUES.tobytes(), "0", raw=parse_tensor("x: float32[batch, 3]"))
        np.testing.assert_array_equal(request.inputs["x"], VALUES, strict=True)

    def test_a_fixed_shape(self):
        request = parse(VALUES.tobytes(), "0", raw=parse_tensor("x: float32[2, 3]"))
        np.testing.assert_array_equal(request.inputs["x"], VALUES, strict=True)

    def test_nothing_is_no_steps(self):
        assert parse(b"", "0", raw=parse_tensor("x: float32[batch, time, 3]")).inputs["x"].shape == (1, 0, 3)

    @pytest.mark.parametrize(
        ("declaration", "size", "message"),
        [
            ("x: float32[batch, time, 3]", 25, r"takes a multiple of 12 bytes in a raw body; found 25"),
            ("x: float32[2, 3]", 12, "takes 24 bytes in a raw body; found 12"),
            ("x: float32[2, 3]", 48, "takes 24 bytes in a raw body; found 48"),
            ("x: float32[batch, time, features]", 24, r"its axes \['features', 'time'\] may be of any size"),
        ],
    )
    def test_what_no_shape_fits_is_refused(self, declaration, size, message):
        with pytest.raises(RequestError, match=message):
            parse(bytes(size), "0", raw=parse_tensor(declaration))

    def test_its_elements_are_limited(self):
        with pytest.raises(RequestTooLargeError, match="at most 5"):
            parse_raw(bytes(24), parse_tensor("x: float32[batch, time, 3]"), model="m", limits=Limits(elements=5))

    def test_a_model_of_several_inputs_says_so(self):
        def refuse():
            raise FeatureError("two inputs")

        with pytest.raises(FeatureError, match="two inputs"):
            parse_body(b"", "0", model="m", limits=LIMITS, raw_input=refuse)
