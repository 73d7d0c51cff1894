"""Bodies of JSON: what is read from them, and what is refused with which words."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rnnx.errors import FeatureError, RequestError, RequestTooLargeError
from rnnx.runtime.serving.protocol.json_form import parse_json, render, render_error
from rnnx.runtime.serving.protocol.limits import Limits
from rnnx.runtime.serving.protocol.request import InferRequest, InferResponse, RequestedOutput, Sequence

pytestmark = pytest.mark.usefixtures("json_library")
LIMITS = Limits()


def parse(text, limits=LIMITS) -> InferRequest:
    raw = text if isinstance(text, bytes) else json.dumps(text).encode()
    return parse_json(raw, memoryview(b""), model="m", limits=limits)


def test_everything_that_a_client_says_is_read():
    request = parse(
        {
            "id": "seven",
            "model_name": "ignored",
            "parameters": {
                "sequence_id": 9,
                "sequence_start": True,
                "sequence_end": False,
                "timeout": 1500,
                "priority": 2,
                "binary_data_output": True,
                "triton_enable_empty_final_response": True,
                "temperature": 0.5,
                "headers": "kept",
            },
            "inputs": [
                {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2.5], "unknown": {}},
                {"name": "n", "shape": [1], "datatype": "INT64", "data": [2], "parameters": {"note": "here"}},
            ],
            "outputs": [{"name": "y", "parameters": {"binary_data": False}}, {"name": "z"}],
        }
    )
    assert (request.model, request.version, request.id) == ("m", "", "seven")
    assert request.sequence == Sequence(id=9, start=True)
    assert request.timeout_us == 1500
    assert request.binary
    assert request.parameters == {
        "priority": 2,
        "triton_enable_empty_final_response": True,
        "temperature": 0.5,
        "headers": "kept",
    }
    assert request.outputs == (RequestedOutput(name="y", binary=False), RequestedOutput(name="z"))
    assert list(request.inputs) == ["x", "n"]
    np.testing.assert_array_equal(request.inputs["x"], np.float32([[1, 2.5]]), strict=True)
    np.testing.assert_array_equal(request.inputs["n"], np.int64([2]), strict=True)


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ([2, 3], [0, 1, 2, 3, 4, 5]),
        ([2, 3], [[0, 1, 2], [3, 4, 5]]),
        ([6], [0, 1, 2, 3, 4, 5]),
        ([1, 2, 3], [[[0, 1, 2], [3, 4, 5]]]),
        ([3, 2, 1], [[[0], [1]], [[2], [3]], [[4], [5]]]),
    ],
)
def test_data_is_flat_or_nested_row_by_row(one_input, shape, data):
    values = parse(one_input(shape=shape, data=data)).inputs["x"]
    np.testing.assert_array_equal(values, np.arange(6, dtype=np.float32).reshape(shape), strict=True)


@pytest.mark.parametrize(
    ("shape", "data"), [([0], []), ([2, 0], []), ([2, 0], [[], []]), ([0, 3], []), ([2, 0, 3], [[], []])]
)
def test_tensors_of_nothing(one_input, shape, data):
    assert parse(one_input(shape=shape, data=data)).inputs["x"].shape == tuple(shape)


def test_a_scalar_is_one_element(one_input):
    np.testing.assert_array_equal(parse(one_input(shape=[], data=[7])).inputs["x"], np.float32(7))


def test_nan_and_infinities_are_read_as_triton_writes_them():
    body = b'{"inputs":[{"name":"x","shape":[3],"datatype":"FP32","data":[NaN,Infinity,-Infinity]}]}'
    np.testing.assert_array_equal(parse(body).inputs["x"], np.float32([np.nan, np.inf, -np.inf]), strict=True)


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("UINT64", [2**64 - 1, 0]),
        ("INT64", [-(2**63), 2**63 - 1]),
        ("UINT8", [255, 0]),
        ("INT8", [-128, 127]),
        ("BOOL", [True, False]),
        ("FP64", [2**70, 1e300]),
        ("FP16", [65504, -0.5]),
    ],
)
def test_the_ends_of_each_range_fit(one_input, datatype, data):
    assert parse(one_input(shape=[2], datatype=datatype, data=data)).inputs["x"].tolist() == data


WRONG_INPUTS = [
    ({"data": 5}, "the data of input 'x' must be an array; found 5"),
    ({"data": "abcdef"}, "must be an array; found 'abcdef'"),
    ({"data": [1, 2]}, r"of shape \[2, 3\] must have 6 elements; found 2"),
    ({"data": [[1, 2], [3, 4], [5, 6]]}, "axis 0 has 2 elements; found 3"),
    ({"data": [[1, 2, 3], [4, 5]]}, "axis 1 has 3 elements; found 2"),
    ({"data": [[1, 2, 3], 4]}, "axis 1 has 3 elements; found a value"),
    ({"data": [[[1], [2], [3]], [[4], [5], [6]]]}, "must be numbers; found a list at element 0"),
    ({"data": [1, 2, 3, 4, 5, [6]]}, "must be numbers; found a list at element 5"),
    ({"data": [1, 2, 3, 4, 5, None]}, "must be numbers; found None at element 5"),
    ({"data": [1, 2, 3, 4, 5, "6"]}, "must be numbers; found '6' at element 5"),
    ({"data": [1, 2, 3, 4, 5, True]}, "must be numbers; found True at element 5"),
    ({"data": [1, 2, 3, 4, 5, {}]}, "must be numbers; found an object at element 5"),
    ({"data": [1, 2, 3, 4, 5, 1e39]}, "has 1e.39, which is out of the range of FP32"),
    ({"data": [1, 2, 3, 4, 5, -70000], "datatype": "FP16"}, "-70000.0, which is out of the range of FP16"),
    ({"data": [1, 2, 3, 4, 5, 6.0], "datatype": "INT32"}, "whole numbers, without a point; found 6.0 at element 5"),
    ({"data": [1, 2, 3, 4, 5, True], "datatype": "INT32"}, "whole numbers, without a point; found True"),
    ({"data": [1, 2, 3, 4, 5, 300], "datatype": "UINT8"}, "has 300, which is out of the range of UINT8: 0 to 255"),
    ({"data": [1, 2, 3, 4, 5, -1], "datatype": "UINT8"}, "has -1, which is out of the range of UINT8"),
    ({"data": [1, 2, 3, 4, 5, -1], "datatype": "UINT64"}, "has -1, which is out of the range of UINT64"),
    ({"data": [1, 2, 3, 4, 5, 2**31], "datatype": "INT32"}, "out of the range of INT32: -2147483648 to 2147483647"),
    ({"data": [1, 2, 3, 4, 5, 2**63], "datatype": "INT64"}, "out of the range of INT64"),
    ({"data": [1, 2, 3, 4, 5, 2**64], "datatype": "UINT64"}, "out of the range of UINT64|without a point"),
    ({"data": [0, 1, 0, 1, 0, 1], "datatype": "BOOL"}, "must be true or false; found 0 at element 0"),
    ({"data": None}, "neither 'data' nor the parameter 'binary_data_size'"),
    ({"parameters": {"binary_data_size": 24}}, "both 'data' and the parameter 'binary_data_size'"),
    ({"data": None, "parameters": {"binary_data_size": 24}}, "says that it has 24 bytes behind the JSON; 0 are left"),
    (
        {"data": None, "parameters": {"binary_data_size": -1}},
        "'binary_data_size' of input 'x' must be a number; found -1",
    ),
    ({"data": None, "parameters": {"binary_data_size": 24.0}}, "must be a number; found 24.0"),
    ({"data": None, "parameters": {"binary_data_size": True}}, "must be a number; found True"),
    ({"datatype": "BF16"}, "input 'x' has the datatype 'BF16'.*send FP32"),
    ({"datatype": "BYTES", "data": ["a"]}, "no model here takes texts"),
    ({"datatype": "FP128"}, "has the datatype 'FP128'. The datatypes are BOOL, UINT8"),
    ({"datatype": None}, "has the datatype None"),
    ({"datatype": ["FP32"]}, "has the datatype a list"),
    ({"shape": None}, "must have a 'shape', an array of numbers; found None"),
    ({"shape": "2,3"}, "must have a 'shape'"),
    ({"shape": [2, -3]}, "must be of whole numbers from 0; found -3"),
    ({"shape": [2, 3.0]}, "must be of whole numbers from 0; found 3.0"),
    ({"shape": [True, 6]}, "must be of whole numbers from 0; found True"),
    ({"shape": [2, "3"]}, "must be of whole numbers from 0; found '3'"),
    ({"shape": [2, None]}, "must be of whole numbers from 0; found None"),
    ({"shape": [float("nan")]}, "must be of whole numbers from 0; found nan"),
    ({"shape": [0, 10**12]}, "has an axis of 1000000000000; at most 67108864"),
    ({"shape": [10**300]}, "a number of 997 bits|found 1e"),
    ({"shape": [65536, 65536]}, "input 'x' has 4294967296 elements; at most 67108864"),
    ({"shape": [1] * 9}, "the shape of input 'x' has 9 axes; at most 8"),
    ({"name": None}, "the name of input 0 must be a text; found None"),
    ({"name": ""}, "the name of input 0 must not be empty"),
    ({"name": 5}, "the name of input 0 must be a text; found 5"),
    ({"name": "x" * 300}, "the name of input 0 has 300 characters; at most 256"),
    ({"name": "\ud800"}, "the name of input 0 is not valid Unicode"),
    ({"parameters": []}, "the parameters of input 'x' must be an object; found a list"),
    ({"parameters": {"a": None}}, "the parameter 'a' of input 'x' must be a boolean, a number or a text; found None"),
    ({"parameters": {"a": {}}}, "must be a boolean, a number or a text; found an object"),
    ({"parameters": {"": 1}}, "a parameter's name of input 'x' must not be empty"),
    ({"parameters": {"a": "b" * 5000}}, "the parameter 'a' of input 'x' has 5000 characters; at most 4096"),
    ({"parameters": {str(i): i for i in range(65)}}, "65 parameters of input 'x'; at most 64"),
    ({"parameters": {"shared_memory_region": "r"}}, "shared memory is not offered"),
]


@pytest.mark.parametrize(("changed", "message"), WRONG_INPUTS)
def test_a_wrong_input_is_refused(one_input, changed, message):
    with pytest.raises(RequestError, match=message):
        parse(one_input(**changed))


WRONG_REQUESTS = [
    (b"", "not JSON"),
    (b"{", "not JSON"),
    (b"[]", "must be an object with 'inputs'; found a list"),
    (b"5", "must be an object"),
    (b"{} {}", "not JSON"),
    (b'{"inputs": [}', "not JSON: .* at character 12. Where bytes follow"),
    (b'{"inputs": "\xff"}', "not UTF-8 at byte 12"),
    (b'{"inputs": ' + b"9" * 5000 + b"}", "cannot be read|at least one input"),
    ({}, "'inputs' must be an array of at least one input"),
    ({"inputs": []}, "at least one input"),
    ({"inputs": {}}, "at least one input"),
    ({"inputs": [5]}, "input 0 must be an object; found 5"),
    ({"id": 5}, "the 'id' must be a text; found 5"),
    ({"id": None}, "the 'id' must be a text; found None"),
    ({"id": float("nan")}, "the 'id' must be a text; found nan"),
    ({"id": "i" * 257}, "the 'id' has 257 characters; at most 256"),
    ({"id": "\udc00"}, "the 'id' is not valid Unicode"),
    ({"outputs": {}}, "'outputs' must be an array; found an object"),
    ({"outputs": [{"name": "y"}, {"name": "y"}]}, "output 'y' stands twice"),
    ({"outputs": ["y"]}, "output 0 must be an object; found 'y'"),
    ({"outputs": [{}]}, "the name of output 0 must be a text"),
    ({"outputs": [{"name": str(i)} for i in range(65)]}, "65 outputs; at most 64"),
    ({"outputs": [{"name": "y", "parameters": {"binary_data": 1}}]}, "'binary_data' must be true or false; found 1"),
    ({"outputs": [{"name": "y", "parameters": {"classification": 3}}]}, "classification is not offered"),
    ({"parameters": {"binary_data_output": "yes"}}, "'binary_data_output' must be true or false; found 'yes'"),
    ({"parameters": {"sequence_id": float("nan")}}, "'sequence_id' must be a whole number from 0 .*; found nan"),
    ({"parameters": {"sequence_id": 5.0}}, "'sequence_id' must be a whole number from 0 .*; found 5.0"),
    ({"parameters": {"sequence_id": -5}}, "'sequence_id' must be a whole number from 0 .*; found -5"),
    ({"parameters": {"sequence_id": 2**64}}, "'sequence_id' must be a whole number from 0 .*; found 1.?84467440737095"),
    ({"parameters": {"sequence_id": True}}, "'sequence_id' must be a whole number from 0 .*; found True"),
    ({"parameters": {"sequence_id": None}}, "must be a boolean, a number or a text; found None"),
    ({"parameters": {"sequence_id": "s" * 257}}, "'sequence_id' has 257 characters"),
    ({"parameters": {"sequence_id": 1, "sequence_start": 1}}, "'sequence_start' must be true or false; found 1"),
    ({"parameters": {"sequence_id": 1, "sequence_end": "true"}}, "'sequence_end' must be true or false; found 'true'"),
    ({"parameters": {"sequence_start": True}}, "'sequence_start' is true and there is no 'sequence_id'"),
    ({"parameters": {"sequence_id": "", "sequence_end": True}}, "'sequence_end' is true and there is no 'sequence_id'"),
    ({"parameters": {"timeout": -1}}, "'timeout' must be a whole number from 0"),
    ({"parameters": {"timeout": "soon"}}, "'timeout' must be a whole number from 0 .*; found 'soon'"),
    ({"parameters": {"timeout": float("inf")}}, "'timeout' must be a whole number from 0 .*; found inf"),
    ({"parameters": {"priority": 1.5}}, "'priority' must be a whole number from 0"),
    ({"parameters": "none"}, "the parameters of the request must be an object"),
]


@pytest.mark.parametrize(("body", "message"), WRONG_REQUESTS)
def test_a_wrong_request_is_refused(one_input, body, message):
    if isinstance(body, dict) and body and "inputs" not in body:
        body = one_input() | body
    with pytest.raises(RequestError, match=message):
        parse(body)


def test_an_input_stands_once(one_input):
    tensor = one_input()["inputs"][0]
    with pytest.raises(RequestError, match="input 'x' stands twice in the request"):
        parse({"inputs": [tensor, tensor]})


def test_too_many_inputs(one_input):
    tensor = one_input()["inputs"][0]
    with pytest.raises(RequestTooLargeError, match="3 inputs; at most 2"):
        parse({"inputs": [tensor | {"name": str(i)} for i in range(3)]}, Limits(tensors=2))


@pytest.mark.parametrize(
    ("parameters", "sequence"),
    [
        ({}, None),
        ({"sequence_id": 0}, None),
        ({"sequence_id": ""}, None),
        ({"sequence_id": 0, "sequence_start": False}, None),
        ({"sequence_id": 2**64 - 1}, Sequence(id=2**64 - 1)),
        ({"sequence_id": "a", "sequence_end": True}, Sequence(id="a", end=True)),
        ({"sequence_id": "0"}, Sequence(id="0")),
    ],
)
def test_sequences(one_input, parameters, sequence):
    assert parse(one_input() | {"parameters": parameters}).sequence == sequence


def test_no_timeout_is_none(one_input):
    assert parse(one_input()).timeout_us is None
    assert parse(one_input() | {"parameters": {"timeout": 0}}).timeout_us is None


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'["]]]]",', b"[[],"])
def test_ten_thousand_brackets(opening):
    with pytest.raises(RequestTooLargeError, match=r"is \d+ brackets deep; at most 16 are allowed"):
        parse(b'{"inputs":' + opening * 10_000)


def test_brackets_in_texts_are_no_depth(one_input):
    assert parse(one_input() | {"id": "[{" * 100, "note": 'a"\\' + "[" * 50}).id == "[{" * 100


def test_a_deeper_limit_than_pythons_is_still_an_error_of_ours():
    with pytest.raises(RequestError, match=r"cannot be read|not JSON"):
        parse(b"[" * 200_000 + b"]" * 200_000, Limits(nesting=10**6))


def test_many_small_lists_are_refused_before_they_are_read():
    with pytest.raises(RequestTooLargeError, match="the JSON of the body has 300002 brackets; at most 262144"):
        parse(b'{"inputs":[' + b"[]," * 300_000 + b"0]}")


def test_json_has_a_limit_of_its_own(one_input):
    with pytest.raises(RequestTooLargeError, match=r"the JSON of the body has .* bytes; at most 50 are allowed"):
        parse(one_input(), Limits(json_bytes=50))


def test_bytes_without_an_owner_are_refused(one_input, dumps):
    with pytest.raises(RequestError, match="4 bytes follow the JSON, and the inputs say that they have 0"):
        parse_json(dumps(one_input()), memoryview(b"1234"), model="m", limits=LIMITS)


def test_features_that_are_missing_are_told_apart(one_input):
    with pytest.raises(FeatureError, match="BF16"):
        parse(one_input(datatype="BF16"))


def answer(**outputs) -> InferResponse:
    return InferResponse(model="m", version="1", outputs=outputs)


def test_an_answer_in_json():
    request = InferRequest(model="m", inputs={}, id="7")
    response = InferResponse(
        model="m",
        version="1",
        id="7",
        outputs={"y": np.float32([[0.1, 2]]), "k": np.int64([3]), "b": np.array([True])},
        parameters={"sequence_id": 5, "sequence_end": True},
    )
    body = render(response, request)
    assert body.json_bytes is None
    found = json.loads(body.content)
    assert np.float32(found["outputs"][0].pop("data")).tolist() == np.float32([0.1, 2]).tolist()
    assert found == {
        "model_name": "m",
        "model_version": "1",
        "id": "7",
        "parameters": {"sequence_id": 5, "sequence_end": True},
        "outputs": [
            {"name": "y", "datatype": "FP32", "shape": [1, 2]},
            {"name": "k", "datatype": "INT64", "shape": [1], "data": [3]},
            {"name": "b", "datatype": "BOOL", "shape": [1], "data": [True]},
        ],
    }


def test_nan_and_infinities_are_written_as_triton_does():
    content = render(answer(y=np.float32([np.nan, np.inf, -np.inf, 1])), InferRequest(model="m", inputs={})).content
    assert b"[NaN,Infinity,-Infinity,1.0]" in content
    np.testing.assert_array_equal(json.loads(content)["outputs"][0]["data"], [np.nan, np.inf, -np.inf, 1])


@pytest.mark.parametrize(
    ("default", "asked", "binary"),
    [(False, None, False), (True, None, True), (False, True, True), (True, False, False), (False, False, False)],
)
def test_each_output_comes_in_the_form_that_was_asked_for(default, asked, binary):
    request = InferRequest(model="m", inputs={}, outputs=(RequestedOutput(name="y", binary=asked),), binary=default)
    values = np.float32([[1, 2]]).T
    body = render(answer(y=values), request)
    if not binary:
        assert body.json_bytes is None
        assert json.loads(body.content)["outputs"][0]["data"] == [1, 2]
        return
    found = json.loads(body.content[: body.json_bytes])
    assert found["outputs"] == [
        {"name": "y", "datatype": "FP32", "shape": [2, 1], "parameters": {"binary_data_size": 8}}
    ]
    assert body.content[body.json_bytes :] == values.tobytes()


def test_mixed_forms_keep_their_order():
    asked = (RequestedOutput(name="a", binary=True), RequestedOutput(name="b"), RequestedOutput(name="c", binary=True))
    request = InferRequest(model="m", inputs={}, outputs=asked)
    body = render(answer(a=np.int8([1]), b=np.int8([2]), c=np.int16([3])), request)
    assert body.content[body.json_bytes :] == b"\x01\x03\x00"
    assert [("data" in one) for one in json.loads(body.content[: body.json_bytes])["outputs"]] == [False, True, False]


def test_an_error_is_an_object():
    assert json.loads(render_error('wrong "x" \ud800')) == {"error": 'wrong "x" \ud800'}
