"""Any tensor survives each of the three forms, there and back, to the bit."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rnnx.runtime.serving.protocol import grpc_form, json_form, json_text
from rnnx.runtime.serving.protocol.binary import parse_body
from rnnx.runtime.serving.protocol.datatypes import DTYPES, datatype_of
from rnnx.runtime.serving.protocol.limits import Limits
from rnnx.runtime.serving.protocol.proto import inference_pb2 as pb
from rnnx.runtime.serving.protocol.request import InferRequest, InferResponse

LIMITS = Limits()
COMMON = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
tensors = st.sampled_from(sorted(DTYPES)).flatmap(lambda name: hnp.arrays(DTYPES[name], shapes))


def same(found, expected):
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    if expected.dtype.kind == "f":  # every NaN is as good as another
        np.testing.assert_array_equal(found, expected)
        kept = ~np.isnan(expected)
        assert (np.signbit(found) == np.signbit(expected))[kept].all()
    else:
        assert found.tobytes() == expected.tobytes()


def tensor_of(values) -> dict:
    return {"name": "x", "datatype": datatype_of(values.dtype), "shape": list(values.shape)}


def answered(values, *, binary) -> np.ndarray:
    """The array that a client reads from our answer, by code that shares nothing with ours."""
    request = InferRequest(model="m", inputs={}, binary=binary)
    body = json_form.render(InferResponse(model="m", version="1", outputs={"x": values}), request)
    (output,) = json.loads(body.content[: body.json_bytes])["outputs"]
    dtype = {"BOOL": "?", "FP16": "f2", "FP32": "f4", "FP64": "f8"}.get(output["datatype"], output["datatype"].lower())
    if binary:
        return np.frombuffer(body.content[body.json_bytes :], dtype).reshape(output["shape"])
    return np.array(output["data"], dtype).reshape(output["shape"])


@COMMON
@given(values=tensors)
@pytest.mark.parametrize("nested", [False, True])
def test_json(json_library, values, nested):
    data = values.tolist() if nested and values.ndim else values.ravel().tolist()
    text = json.dumps({"inputs": [tensor_of(values) | {"data": data}]}).encode()
    parsed = parse_body(text, None, model="m", limits=LIMITS, raw_input=None).inputs["x"]
    same(parsed, values)
    same(answered(values, binary=False), values)


@COMMON
@given(values=tensors, second=tensors, pad=st.integers(0, 7))
def test_bytes(values, second, pad):
    one = tensor_of(values) | {"parameters": {"binary_data_size": values.nbytes}}
    two = tensor_of(second) | {"name": "z", "parameters": {"binary_data_size": second.nbytes}}
    text = json.dumps({"inputs": [one, two]}).encode() + b" " * pad
    body = text + values.tobytes() + second.tobytes()
    parsed = parse_body(body, str(len(text)), model="m", limits=LIMITS, raw_input=None).inputs
    same(parsed["x"], values)
    same(parsed["z"], second)
    same(answered(values, binary=True), values)


@COMMON
@given(values=tensors)
@pytest.mark.parametrize("typed", [False, True])
def test_messages(values, typed):
    datatype = datatype_of(values.dtype)
    made = pb.ModelInferRequest(model_name="m")
    made.inputs.add(name="x", datatype=datatype, shape=values.shape)
    if typed and datatype != "FP16":
        kind = {"b": "bool", "i": "int", "u": "uint", "f": datatype.lower()}[values.dtype.kind]
        wide = "64" if values.dtype.kind in "iu" and values.itemsize == 8 else ""
        getattr(made.inputs[0].contents, f"{kind}{wide}_contents").extend(values.ravel().tolist())
    else:
        made.raw_input_contents.append(values.tobytes())
    same(grpc_form.parse_message(made, LIMITS).inputs["x"], values)
    message = grpc_form.render_message(InferResponse(model="m", version="1", outputs={"x": values}))
    found = np.frombuffer(message.raw_output_contents[0], values.dtype).reshape(message.outputs[0].shape)
    same(found, values)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def brackets(value) -> int:
    """How deep a value is, counted from the value itself."""
    if not isinstance(value, list | dict):
        return 0
    return 1 + max((brackets(one) for one in (value.values() if isinstance(value, dict) else value)), default=0)


@settings(max_examples=300, deadline=None)
@given(value=json_values)
def test_depth_is_told_without_parsing(value):
    assert json_text.depth_of(json.dumps(value).encode()) == brackets(value)
    assert json_text.depth_of(json.dumps(value, ensure_ascii=False).encode(errors="replace")) == brackets(value)


def test_depth_is_told_across_blocks(monkeypatch):
    monkeypatch.setattr(json_text, "_BLOCK", 3)
    assert json_text.depth_of(b"[[[[[]],[[[]]]]]]") == 6
